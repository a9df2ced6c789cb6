"""The plots of the documentation. Only this module imports matplotlib."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import NullFormatter

from tests.benchmarks.questions import Question

# One colour and one mark for each, in every plot (Okabe and Ito's, which the colour-blind tell
# apart).
LOOKS = {
    "ours": ("#000000", "o"),
    "jax": ("#0072b2", "s"),
    "torch.func": ("#d55e00", "^"),
    "torch.autograd": ("#e69f00", "v"),
    "paddle": ("#cc79a7", "D"),
    "autograd": ("#009e73", "P"),
    "asdex": ("#56b4e9", "X"),
    "casadi": ("#999999", "*"),
}
KINDS = ("full", "sparse", "samples")


def ratios(rows: list[dict[str, Any]], file: str) -> None:
    """How many times as long as ours each peer takes, for each race."""
    shown = [row for row in rows if row["question"] in KINDS and row["best"] is not None]
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.28 * len(shown)), layout="constrained")
    seen = set()
    for place, row in enumerate(reversed(shown)):
        kind = Question.parse(row["question"]).kind
        for side in row["sides"][1:]:
            if side.get("ratio") and Question.parse(side["question"]).kind == kind:
                colour, mark = LOOKS[side["peer"]]
                label = None if side["peer"] in seen else side["peer"]
                seen.add(side["peer"])
                axes.plot(1 / side["ratio"], place, mark, color=colour, label=label, ls="")
    axes.axvline(1, color=LOOKS["ours"][0], lw=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(shown)), [row["name"] for row in reversed(shown)], fontsize=8)
    axes.set_xlabel("time of a call in its steady state, in those of lazyhess (right: slower)")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=7, fontsize=8)
    figure.savefig(file, dpi=150)
    plt.close(figure)


def curves(scaling: list[dict[str, Any]], file: str) -> None:
    """Time above, peak memory below, against the number of variables; slopes in the legends."""
    figure, grid = plt.subplots(
        2, len(scaling), figsize=(3.2 * len(scaling), 6), layout="constrained", squeeze=False
    )
    for column, made in enumerate(scaling):
        for row, (what, size) in enumerate((("steady", 1.0), ("memory", 1e6))):
            axes = grid[row, column]
            for peer in filter(None, ("ours", made["best"])):
                if peer not in made["sides"]:
                    continue
                side = made["sides"][peer]
                points = [
                    (n, v / size) for n, v in zip(made["sizes"], side[what], strict=False) if v
                ]
                if not points:
                    continue
                power = side[f"{what}_slope"]
                label = peer if power is None else f"{peer}, n^{power:.1f}"
                colour, mark = LOOKS[peer]
                axes.plot(*zip(*points, strict=True), marker=mark, color=colour, label=label)
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xticks(made["sizes"], [f"{n:g}" for n in made["sizes"]])
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.grid(alpha=0.3)
            axes.legend(fontsize=8)
        grid[0, column].set_title(made["title"], fontsize=10)
        grid[1, column].set_xlabel("variables n")
    grid[0, 0].set_ylabel("seconds, steady state")
    grid[1, 0].set_ylabel("peak memory, MB")
    figure.savefig(file, dpi=150)
    plt.close(figure)
