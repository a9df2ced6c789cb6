"""The races: what is asked of which workload, and what ours has to reach.

Sides are written as ``PEER`` (asked the same) or ``PEER: QUESTION``.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.peers import OWN, PEERS, able
from tests.benchmarks.questions import Question
from tests.benchmarks.race import Side

BEST = "best peer"

# The one race that no workload runs.
IMPORT = "import"


@dataclass(frozen=True)
class Goal:
    """A bound on ``steady``, ``first`` (seconds), ``memory`` (bytes), ``products`` or ``share`` of
    ours; `against` a side, or the best peer, on their ratio.

    A ``share`` is of rows: their time less 100 microseconds, over as many times the time per row of
    the whole.
    """

    of: str
    limit: float
    against: str | None = None

    def __str__(self) -> str:
        over = "" if self.against is None else f" / {self.against}'s"
        if self.of == "memory" and self.against is None:
            return f"memory <= {self.limit / 1e9:g} GB"
        unit = " s" if self.of in ("steady", "first") and self.against is None else ""
        return f"{self.of}{over} <= {self.limit:g}{unit}"


@dataclass(frozen=True)
class Race:
    """Ours and the peers on one question about one workload."""

    work: str
    question: str
    goals: tuple[Goal, ...] = ()
    sides: tuple[str, ...] | None = None  # beside ours; None: all peers that can
    also: tuple[str, ...] = ()  # more sides
    dense: bool = False  # counted in the geometric means of full dense Hessians

    @property
    def title(self) -> str:
        return f"{self.work} {self.question}"

    def make_sides(self, only: list[str] | None = None) -> list[Side]:
        """Ours first; with `only`, those of these peers."""
        kind = Question.parse(self.question).kind
        asked = tuple(able(kind)) if self.sides is None else self.sides
        asked += tuple(name for name in only or () if name in OWN and kind in PEERS[name].kinds)
        made = [Side("ours", self.question)]
        for side in asked + self.also:
            peer, _, question = side.partition(": ")
            if only is None or peer == "ours" or peer in only:
                made.append(Side(peer, question or self.question))
        return made


def _dense(*works: str, extra: tuple[Goal, ...] = ()) -> list[Race]:
    """The full Hessian, five rows and five columns; rows of what is recorded against the whole."""
    made = []
    for work in works:
        made.append(Race(work, "full", (Goal("steady", 0.9, BEST), *extra), dense=True))
        made.append(Race(work, "rows"))
        made.append(Race(work, "columns"))
        made.append(_slices(work))
    return made


def _slices(work: str, count: int = 5) -> Race:
    whole = "ours: recorded full"
    return Race(
        work, f"recorded rows/{count}", (Goal("share", 1.15, whole), Goal("products", count)),
        (whole,),
    )  # fmt: skip


def _sparse(work: str) -> list[Race]:
    prepared = ("asdex: sparse", "casadi: sparse")
    return [
        Race(work, "sparse", (Goal("first", 0.02), Goal("first", 0.01, "asdex: sparse"))),
        Race(
            work, "again sparse",
            (Goal("steady", 1.0, prepared[0]), Goal("steady", 0.5, prepared[1])), prepared,
        ),
    ]  # fmt: skip


def _product(work: str) -> list[Race]:
    """A Hessian-vector product against a gradient: ours, and each peer's own."""
    gradients = tuple(f"{peer}: gradient" for peer in ("ours", "jax", "torch.func"))
    return [
        Race(work, "product", (Goal("steady", 2.2, gradients[0]),), ("jax", "torch.func"), gradients)
    ]  # fmt: skip


_FACTOR = (Goal("steady", 0.1, BEST),)

TABLE: list[Race] = [
    Race(
        "logistic/2000/500", "full",
        (Goal("steady", 0.9, BEST), Goal("steady", 1.6, "ours: syrk")), also=("ours: syrk",),
        dense=True,
    ),
    Race("logistic/2000/500", "rows"),
    Race("logistic/2000/500", "columns"),
    _slices("logistic/2000/500"),
    *_dense("softmax/2000/50/10"),
    *(Race(f"laue-logistic/{n}", "full", (Goal("steady", 0.9, BEST),), dense=True) for n in (100, 200, 400)),
    *(Race(f"factorisation/{n}", "full", _FACTOR, dense=True) for n in (50, 100, 200)),
    Race("factorisation/200", "rows"),
    Race("factorisation/200", "columns"),
    *(Race(f"masked/{n}", "full", _FACTOR, dense=True) for n in (50, 100, 200)),
    *(Race(f"net/{n}", "full", (Goal("steady", 0.9, BEST),), dense=True) for n in (10, 20, 30)),
    *_dense("mlp", "attention", "gp"),
    Race("mlp/256/100/300/200/50", "rows"),
    Race("flat-mlp/256/784/1000/200/10", "rows", (), ("jax", "torch.func", "torch.autograd")),
    _slices("lj/100", 3),
    *_dense("lj/100", "lj-pairs/100"),
    *_dense("lj/300", extra=(Goal("steady", 0.2, BEST),)),
    Race("lj-pairs/300", "full", (Goal("steady", 0.9, BEST),), dense=True),
    Race("lj/1000", "full", (Goal("steady", 0.9, BEST),), ("jax",)),
    Race("lj/2483", "full", (Goal("first", 10.0), Goal("memory", 2.5e9)), ()),
    Race("lj/2483", "recorded rows/3", (Goal("steady", 0.01), Goal("products", 3)), ("jax",)),
    Race("lj/2483", "gradient", (), ("jax",)),
    Race("loop/300", "full", (Goal("steady", 0.9, BEST),), also=("casadi",), dense=True),
    Race("loop/2000", "full", (Goal("steady", 0.9, BEST),), ("jax", "torch.autograd", "casadi")),
    *_sparse("rosenbrock/100000"),
    *_sparse("surface/316"),
    *_sparse("springs/100000"),
    Race("batch/1000/20", "samples", (Goal("steady", 1.0, "jax"),)),
    Race("batch/10000/20", "recorded sample", (Goal("steady", 0.01, "ours: recorded samples"),), ("ours: recorded samples",)),
    Race("batch/10000/20", "sample", (), ()),
    Race("polynomial/1000", "recorded rows/1", (Goal("products", 1),), ()),
    Race("polynomial/1000", "recorded columns/1", (Goal("products", 1),), ()),
    *_product("flat-mlp"),
    *_product("residual"),
    *_product("attention/8/64/64/4"),
    Race(IMPORT, "over NumPy", (Goal("steady", 0.06),), ()),
]  # fmt: skip


def find(names: list[str]) -> list[Race]:
    """Races whose title has one of the names in it; all without names."""
    return [race for race in TABLE if not names or any(name in race.title for name in names)]


def known_peers() -> list[str]:
    return [name for name in PEERS if name != "ours"]
