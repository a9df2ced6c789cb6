"""Check a rule, or any Hessian: against differences, which know nothing of derivative rules.

Every check raises an AssertionError that says where a number is off, and by how much. The tests of
the library's own rules are made of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from lazyhess._api import gradient, hessian
from lazyhess._maps import Map
from lazyhess._maps.graph import CurvatureEdge
from lazyhess._proxy.hessian import Hessian
from lazyhess._record.linear import curvature
from lazyhess._record.primitive import Primitive
from lazyhess._record.variable import Variable, ancestors, value_of, variable
from lazyhess._sweep.linearization import Linearization
from lazyhess._tangents import Pattern, Sparse, dense
from lazyhess._trees import leaves
from lazyhess.testing.differences import (
    DIFFERENCE_STEP,
    Function,
    difference_gradient,
    difference_hessian,
    difference_rounding,
)

__all__ = [
    "check_hessian",
    "check_rule",
    "products",
]


# --- checks ---------------------------------------------------------------------------------------
def _compare(
    what: str, got: Any, want: Any, rtol: float, names: tuple[str, str], rounding: float = 0.0
) -> float:
    """The largest disagreement relative to the largest element, or an error that says where.

    Disagreements by no more than `rounding` of what is wanted are none.
    """
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        raise AssertionError(
            f"{what}: {names[0]} has shape {got.shape}, {names[1]} has shape {want.shape}"
        )
    if not got.size:
        return 0.0
    scale = float(np.max(np.abs(want), where=np.isfinite(want), initial=0))
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = np.abs(got - want)
        off = np.where(same | (apart <= rounding), 0, (apart - rounding) / scale)
    wrong = ~(off <= rtol)
    if wrong.any():
        size = np.where(wrong, np.nan_to_num(off, nan=np.inf), 0)
        worst = np.unravel_index(int(np.argmax(size)), off.shape)
        at = f"[{', '.join(map(str, worst))}]" if worst else ""
        raise AssertionError(
            f"{what}{at}: {names[0]} {got[worst]:.10g}, {names[1]} {want[worst]:.10g}, off by "
            f"{abs(got[worst] - want[worst]):.3g}, {off[worst]:.3g} of the largest element "
            f"{scale:.3g} (allowed {rtol:.3g}, and {rounding:.3g} for rounding); "
            f"{np.count_nonzero(wrong)} of {off.size} elements are off"
        )
    return float(np.max(off))


def check_hessian(
    function: Function,
    xs: Any,
    H: Any = None,
    *,
    rtol: float = 1e-6,
    step: float | None = None,
    dtype: Any = None,
) -> float:
    """Compare a Hessian, of any library, with differences of the function.

    Parameters
    ----------
    function : callable
        ``function(*xs)``, plain NumPy code that gives one real number.
    xs : array_like or tuple of array_like
        The real inputs.
    H : Hessian, array_like or nested tuple of them, optional
        What is checked: for one x of shape ``x.shape + x.shape``, for a tuple ``H[i][j]`` of shape
        ``xs[i].shape + xs[j].shape``. By default ``lazyhess.hessian(function, xs)``.
    rtol : float
        The largest disagreement that is allowed, relative to the largest element of the block; what
        rounding may make of the differences is allowed beside it.
    step, dtype
        As for `difference_hessian`.

    Returns
    -------
    float
        The largest disagreement beyond rounding, relative likewise.

    Raises
    ------
    AssertionError
        Naming the block, the element, both numbers, and how many elements are off.

    Examples
    --------
    >>> import numpy as np
    >>> import lazyhess as lh
    >>> x = np.array([0.3, 1.2])
    >>> lh.testing.check_hessian(lambda x: np.sum(np.sin(x)), x) < 1e-8
    True
    >>> lh.testing.check_hessian(lambda x: np.sum(x**2), x, np.diag([2.0, 2.5]))
    Traceback (most recent call last):
        ...
    AssertionError: Hessian[1, 1]: got 2.5, differences give 2..., off by 0.5, ...
    """
    one = not isinstance(xs, (tuple, list))
    inputs = [np.asarray(x) for x in ([xs] if one else xs)]
    if H is None:
        H = hessian(function, inputs[0] if one else tuple(inputs))
    want = difference_hessian(function, inputs, step, dtype)
    rounding = difference_rounding(2, function, inputs, step, dtype)
    worst = 0.0
    for i in range(len(inputs)):
        for j in range(len(inputs)):
            block, name = (H, "Hessian") if one else (H[i][j], f"block ({i}, {j}) of the Hessian")
            if isinstance(block, Hessian):
                block = value_of(block[...])
            names = ("got", "differences give")
            worst = max(worst, _compare(name, block, want[i][j], rtol, names, rounding))
    return worst


def check_rule(function: Function, *args: Any, rtol: float = 1e-6, third: bool = True) -> None:
    """Check everything that a rule says: the function of Variables, at one point.

    Its value against the plain function; gradient and Hessian of a weighted sum of its elements,
    and the derivative of that Hessian, against differences; every linear map against its
    transpose, and on sparse and dense blocks; the curvature for symmetry, and against the
    Jacobians.

    Parameters
    ----------
    function : callable
        Of arrays and Variables alike, giving an array of any shape.
    *args : array_like
        Floating ones are differentiated; others are passed on as they are.
    rtol : float
        For comparisons of Hessians with differences, relative to the largest element; gradients are
        held to a hundredth of it. float32 is compared at 1e-2 at the least.
    third : bool
        Whether third derivatives are checked.

    Raises
    ------
    AssertionError
        Saying what is off, where, and by how much.

    Examples
    --------
    >>> import numpy as np
    >>> import lazyhess as lh
    >>> lh.testing.check_rule(np.linalg.inv, np.array([[2.0, 1.0], [0.3, 1.0]]))
    >>> wrong = lh.extend.elementwise(lambda x: x * x, [lambda z, x: 3 * x], name="wrong")
    >>> lh.testing.check_rule(wrong, np.array([1.0, 2.0]))
    Traceback (most recent call last):
        ...
    AssertionError: gradient by argument 0, [1]: got 4.42086304, differences give 2.947242026, ...
    """
    rule = Rule(function, args, rtol)
    for check in Rule.CHECKS:
        if third or check != "third":
            getattr(rule, check)()


class Rule:
    """A function at a point, and the checks of `check_rule` one by one."""

    CHECKS = ("value", "gradient", "hessian", "maps", "symmetry", "curvature", "third")

    def __init__(
        self, function: Function, args: Sequence[Any], rtol: float = 1e-6, dtype: Any = None
    ) -> None:
        self.places = [k for k, x in enumerate(args) if np.asarray(value_of(x)).dtype.kind == "f"]
        self.args = list(args)
        self.dtype = dtype
        self.inputs = [np.asarray(value_of(args[k])) for k in self.places]
        self.outer = function
        single = any(x.dtype.itemsize < 8 for x in self.inputs)
        self.rtol = max(rtol, 1e-2) if single else rtol
        self.exact = 1e-4 if single else 1e-10
        self.xs = [variable(x) for x in self.inputs]
        with np.errstate(all="ignore"):
            self.out = self.function(*self.xs)
        shape = np.shape(value_of(self.out))
        self.weights = np.random.default_rng(3).uniform(0.5, 1.5, shape)

    def function(self, *xs: Any) -> Any:
        """The function of the differentiated arguments alone."""
        args = list(self.args)
        for k, x in zip(self.places, xs, strict=True):
            args[k] = x
        return self.outer(*args)

    def total(self, *xs: Any) -> Any:
        """The weighted sum of the elements."""
        return np.sum(self.weights * np.real(self.function(*xs)))

    def _maps(self) -> tuple[list[Map], list[list[CurvatureEdge]]]:
        """The Jacobians of the recorded steps, and their curvatures."""
        lin = Linearization(self.out, self.xs, np.asarray(self.weights, self.out.dtype))
        with np.errstate(all="ignore"):
            curvatures = [curvature.edges for curvature in lin.maps.curvature.values()]
        return [jacobian for _, jacobian, _ in lin.maps.graph.edges], curvatures

    def value(self) -> None:
        """The value, its shape and its dtype are those of the plain function."""
        assert isinstance(self.out, Variable), "the function of Variables gives no Variable"
        with np.errstate(all="ignore"):
            want = np.asarray(self.function(*self.inputs))
        assert self.out.dtype == want.dtype, (
            f"the value is {self.out.dtype}, of plain arrays {want.dtype}"
        )
        _compare("value", self.out.value, want, self.exact, ("recorded", "plain"), self._rounding())

    def _rounding(self) -> float:
        """What rounding may make of the value: relative to all that was computed for it."""
        nodes = [node for node in ancestors([self.out]) if node._primitive is not None]
        values = [np.abs(node._value) for node in nodes]
        largest = max([np.max(x, where=np.isfinite(x), initial=0) for x in values], default=0)
        return 64 * float(largest) * float(np.finfo(self.out.dtype).eps)

    def gradient(self) -> None:
        """The gradient is that of differences."""
        got = gradient(np.sum(self.weights * np.real(self.out)), self.xs)
        want = difference_gradient(self.total, self.inputs, dtype=self.dtype)
        rounding = difference_rounding(1, self.total, self.inputs, dtype=self.dtype)
        for k, (a, b) in enumerate(zip(got, want, strict=True)):
            assert a.dtype == self.inputs[k].dtype
            what = f"gradient by argument {self.places[k]}, "
            _compare(what, a, b, self.rtol / 100, _NAMES, rounding)

    def hessian(self) -> None:
        """The Hessian is that of differences."""
        H = hessian(np.sum(self.weights * np.real(self.out)), tuple(self.xs))
        check_hessian(self.total, tuple(self.inputs), H, rtol=self.rtol, dtype=self.dtype)

    def maps(self) -> None:
        """Transposes are adjoint, and sparse blocks give what dense ones give."""
        rng = np.random.default_rng(4)
        jacobians, curvatures = self._maps()
        for map_ in jacobians + [c for edges in curvatures for _, _, c in edges]:
            count = 3
            t, u = (rng.normal(size=(count, *shape)) for shape in (map_.inp, map_.out))
            forward = dense(map_.apply(t), count, map_.out, float)
            back = dense(map_.T.apply(u), count, map_.inp, float)
            # Tangents and adjoints pair by the real part of their product.
            left, right = np.sum((forward * u).real), np.sum((t * back).real)
            terms = float(np.abs(forward * u).sum() + np.abs(t * back).sum())
            room = self.exact * terms + self._rounding()
            assert abs(left - right) <= room, (
                f"{type(map_).__name__} and its transpose disagree: {left} and {right}"
            )
            for one in (map_, map_.T):
                sparse = _some_block(rng, count, one.inp)
                a = dense(one.apply(sparse), count, one.out, float)
                b = dense(one.apply(sparse.dense()), count, one.out, float)
                names = ("sparse block", "dense block")
                _compare(type(one).__name__, a, b, self.exact, names)

    def _forms(self, pairs: Any, rng: np.random.Generator) -> list[tuple[float, float]]:
        """A curvature as a bilinear form at random tangents, both ways round; see `_paired`."""
        shapes = {k: c.out for k, _, c in pairs} | {l: c.inp for _, l, c in pairs}
        t, u = ({s: rng.normal(size=(1, *shapes[s])) for s in sorted(shapes)} for _ in range(2))
        return [_paired(pairs, a, b) for a, b in ((t, u), (u, t))]

    def symmetry(self) -> None:
        """Every curvature is symmetric."""
        for edges in self._maps()[1]:
            (a, size), (b, _) = self._forms(edges, np.random.default_rng(5))
            assert abs(a - b) <= 10 * self.exact * size + self._rounding(), (
                f"a curvature is not symmetric: {a} one way, {b} the other"
            )

    def curvature(self) -> None:
        """Every curvature that a primitive states is what follows from its Jacobians."""
        for node in ancestors([self.out]):
            primitive = node._primitive
            if primitive is None or type(primitive).curvature is Primitive.curvature:
                continue
            args = tuple(value_of(x) for x in node._operands)
            active = tuple(k for k, x in enumerate(node._operands) if isinstance(x, Variable))
            adjoint = np.random.default_rng(6).uniform(0.5, 1.5, node.shape).astype(node.dtype)
            with np.errstate(all="ignore"):
                stated = list(primitive.curvature(args, node._value, adjoint, active))
                derived = list(curvature(primitive, args, node._value, adjoint, active))
                (a, _), (b, size) = (self._form(pairs, args) for pairs in (stated, derived))
            assert abs(a - b) <= 100 * self.exact * size + self._rounding(), (
                f"{primitive.name}: the curvature as stated gives {a}, the Jacobians give {b}"
            )

    def _form(self, pairs: Any, args: tuple[Any, ...]) -> tuple[float, float]:
        rng = np.random.default_rng(7)
        t, u = ([rng.normal(size=(1, *np.shape(x))) for x in args] for _ in range(2))
        return _paired(pairs, t, u)

    def third(self) -> None:
        """The gradient of a weighted sum over the Hessian is that of differences."""
        rng = np.random.default_rng(8)

        def blocks(xs: Any, create_graph: bool) -> Any:
            y = np.sum(self.weights * np.real(self.function(*xs)))
            if not isinstance(y, Variable):
                return []
            H = hessian(y, tuple(xs), create_graph=create_graph)
            return [block for row in H for block in row]

        def mixed(found: Any) -> Any:
            return sum(np.sum(w * block[...]) for w, block in zip(weights, found, strict=True))

        with np.errstate(all="ignore"):
            found = blocks(self.xs, True)
            weights = [rng.uniform(0.5, 1.5, block.shape) for block in found]
            got = gradient(mixed(found), self.xs)

            def plain(*xs: Any) -> Any:
                return mixed(blocks([variable(np.asarray(x, float)) for x in xs], False))

            want = difference_gradient(plain, self.inputs, dtype=np.float64)
            rounding = difference_rounding(1, plain, self.inputs, dtype=np.float64)
            # Derivatives that cancel are rounded as the Hessian is, and that as the value.
            sizes = [np.abs(value_of(block[...])) for block in found]
            largest = max([np.max(x, where=np.isfinite(x), initial=0) for x in sizes], default=0)
            rounding += self.rtol * float(largest) + self._rounding() / DIFFERENCE_STEP
        for k, (a, b) in enumerate(zip(got, want, strict=True)):
            what = f"derivative of the Hessian by argument {self.places[k]}, "
            _compare(what, a, b, 10 * self.rtol, _NAMES, rounding)


_NAMES = ("got", "differences give")


def _paired(pairs: Any, t: Any, u: Any) -> tuple[float, float]:
    """The sum of ``t[k] · C u[l]`` over pairs, and of the sizes of its terms."""
    terms = [(t[k] * dense(c.apply(u[l]), 1, c.out, float)).real for k, l, c in pairs]
    return (
        float(sum(np.sum(term) for term in terms)),
        float(sum(np.sum(np.abs(term)) for term in terms)),
    )


def _some_block(rng: np.random.Generator, count: int, shape: tuple[int, ...]) -> Sparse:
    """A sparse block, with repeats."""
    size = int(np.prod(shape))
    entries = min(2 * size, 6)
    seed = np.sort(rng.integers(0, count, entries))
    pos = rng.integers(0, size, entries) if size else np.zeros(0, np.intp)
    return Sparse(Pattern(count, shape, seed[: len(pos)], pos), rng.normal(size=len(pos)))


@contextmanager
def products(H: Any) -> Iterator[Callable[[], int]]:
    """Count the Hessian-vector products that a block of code runs.

    Parameters
    ----------
    H : Hessian or nested containers of them
        Of one `lazyhess.hessian` call, whose blocks count together.

    Yields
    ------
    callable
        ``count()`` is the number of products since the start.

    Examples
    --------
    >>> import numpy as np
    >>> import lazyhess as lh
    >>> H = lh.hessian(lambda x: np.sum(x**3), np.arange(4.0))
    >>> with lh.testing.products(H) as count:
    ...     _ = H[1], H[:, 1], H[1, 2:]
    >>> count()
    1
    """
    _, first = next(iter(leaves(H)))
    before = first.cache_info().products
    yield lambda: first.cache_info().products - before
