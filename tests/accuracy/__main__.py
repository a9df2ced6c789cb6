"""``python -m tests.accuracy``: the page docs/accuracy.md, measured on this machine.

It is printed, or only the rows of the functions that are named. ``--write`` writes it, ``--check``
tells whether the committed page lists what there is to list and nothing measured here is above the
bounds it states. Digits differ with NumPy's own functions, from processor to processor, and are not
compared.
"""

from __future__ import annotations

import argparse
import platform
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.accuracy.grids import GRIDS
from tests.accuracy.measure import (
    BOUND,
    DIGITS,
    DTYPES,
    UNDERFLOW,
    Worst,
    bound_of,
    label,
    measure,
    measured_names,
    quantities,
)

PAGE = Path(__file__).parents[2] / "docs" / "accuracy.md"

TEXT = """\
# Accuracy

The first and second derivatives of NumPy's elementwise functions are within **{bound:g} ulp**, in
float64 and in float32, of the exact ones at the given floating-point operands: next to poles, in
the tails and at both ends of the range too. This page is what `python -m tests.accuracy` measured;
the tests hold every rule to its bound, and a rule without a grid of points fails them.

## What is measured

- The formulas of `lazyhess/_primitives`, evaluated as the sweeps evaluate them, at NumPy's value.
- Against mpmath with {digits} digits, at the same operands: they are exact, so no error is forgiven
  as one of the operands. `expm1`, tails of `tanh` and `logaddexp`, both sides of every pole count in
  full.
- In units in the last place (ulp) of the exact result: its own spacing of floating-point numbers.
  Two quantities cross zero because rounded terms cancel, and are counted in ulp of the larger term:
  the mixed derivative of `power`, x**(y-1) (1 + y log x), and the value of `logaddexp` and
  `logaddexp2`, which is NumPy's.
- Points: all magnitudes of the dtype with random digits, moderate numbers, neighbours of poles,
  zeros and ends of the range by 1, 2 and 5 ulp and by each power of two, close and far pairs, whole
  quotients and their neighbours, and the worst points that searches found: 2 million random points
  for each of 26 functions, and every float32 number of several binades for ten of them.
- Too large a result has to be infinite. Below {underflow} times the smallest normal number anything
  as small is right (the reciprocal of a number that overflows is there). Where the value itself is
  too large nothing is measured; nor are derivatives made of the value where that is subnormal and
  has lost its digits (`exp2`, `hypot`, `power` by its exponent). Operands are normal numbers or zero.
  For `power` exponents go up to 1e6 and values up to 1e-12 of the largest number.
- Conventions at kinks (`abs` at 0, `power` at 0) are tests of their own.

The rows *value* are NumPy's function, not ours: what the derivatives that are made of it inherit.
Where NumPy's function of float32 is off by 3 ulp (`tan`, `log`), the derivatives are worked out in
float64. NumPy's functions differ with the processor: without SIMD the C library's `tanh` is off by 2
ulp, and a search found 4.03 ulp in the second derivative of it there, at -0.2637; on the grid all
stays below the bound there, too.

Here: Python {python}, NumPy {numpy}, {machine}, SIMD {simd}.
"""
OF_NUMPY = """\

## Worst cases

In ulp, and at which operands. The bound of all is {bound:g}.

"""
OF_OTHERS = """\

## Worst cases: {package}

The values, and the derivatives that are made of them, have the errors of the package's own
functions. Each bound stands in its row, for float64 and float32.

"""


def number(x: float) -> str:
    return f"{x:.9g}"


def row(name: str, quantity: str, found: list[Worst]) -> str:
    cells = [f"`{name}`", quantity]
    for worst in found:
        cells += [f"{worst.ulp:.2f}", ", ".join(map(number, worst.at))]
    if "." in name:
        cells.append(", ".join(f"{worst.bound:g}" for worst in found))
    return "| " + " | ".join(cells) + " |"


def table(found: dict[tuple[str, str], list[Worst]], package: str) -> str:
    head = ["function", "of"]
    for dtype in DTYPES:
        head += [dtype, "at"]
    if package:
        head.append("bounds")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for (name, quantity), worst in found.items():
        if name.rpartition(".")[0] == package:
            lines.append(row(name, quantity, worst))
    return "\n".join(lines) + "\n"


def simd() -> str:
    config: Any = np.show_config(mode="dicts")
    return ", ".join(config["SIMD Extensions"].get("found", [])) or "baseline"


def everything(names: Sequence[str]) -> dict[tuple[str, str], list[Worst]]:
    """The worst cases by function and quantity, one for each dtype."""
    found: dict[tuple[str, str], list[Worst]] = {}
    for name in names:
        for dtype in DTYPES:
            for worst in measure(name, dtype):
                found.setdefault((name, worst.label), []).append(worst)
    return found


def page(found: dict[tuple[str, str], list[Worst]]) -> str:
    text = TEXT.format(
        bound=BOUND,
        digits=DIGITS,
        underflow=UNDERFLOW,
        python=platform.python_version(),
        numpy=np.__version__,
        machine=platform.machine(),
        simd=simd(),
    )
    text += OF_NUMPY.format(bound=BOUND) + table(found, "")
    for package in sorted({name.rpartition(".")[0] for name, _ in found} - {""}):
        text += OF_OTHERS.format(package=package) + table(found, package)
    return text


def stated(text: str) -> dict[tuple[str, str], list[float]]:
    """What a page states: ulp by function and quantity."""
    rows = re.findall(r"^\| `([\w.]+)` \| (\S+) \|(.*)\|$", text, re.M)
    return {(name, of): [float(x) for x in rest.split("|")[:4:2]] for name, of, rest in rows}


def complaints(text: str) -> list[str]:
    """What is wrong with a page, without measuring anything."""
    packages = {name.rpartition(".")[0] for name in GRIDS}  # those that are installed
    claims = {
        key: ulp for key, ulp in stated(text).items() if key[0].rpartition(".")[0] in packages
    }
    expected = {
        (name, label(q)): [bound_of(GRIDS[name], q, dtype) for dtype in DTYPES]
        for name in measured_names()
        for q in quantities(name)
    }
    wrong = [f"not on the page: {name} {of}" for name, of in sorted(set(expected) - set(claims))]
    wrong += [f"on the page only: {name} {of}" for name, of in sorted(set(claims) - set(expected))]
    wrong += [
        f"the page states {ulp} ulp for {name} {of}, and the bounds are {expected[name, of]}"
        for (name, of), ulp in claims.items()
        if (name, of) in expected and any(np.greater(ulp, expected[name, of]))
    ]
    if f"**{BOUND:g} ulp**" not in text:
        wrong.append(f"the page does not state the bound of {BOUND:g} ulp")
    return wrong


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.accuracy", description=__doc__)
    parser.add_argument("names", nargs="*", help="print the rows of these functions alone")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    parser.add_argument("--check", action="store_true", help=f"check {PAGE.name}")
    options = parser.parse_args(arguments)
    if options.names and (options.write or options.check):
        parser.error("the page is of all functions: leave the names out")
    wrong = complaints(PAGE.read_text("utf-8")) if options.check else []
    found = everything(options.names or measured_names())
    wrong += [
        f"{w.name} {w.label}, {w.dtype}: {w.ulp:.3g} ulp at {w.at}, bound {w.bound:g}"
        for each in found.values()
        for w in each
        if w.ulp > w.bound
    ]
    if options.write:
        PAGE.write_text(page(found), "utf-8")
    elif options.names:
        print(*(row(*key, worst) for key, worst in found.items()), sep="\n")
    elif not options.check:
        print(page(found), end="")
    print(*wrong, sep="\n", end="\n" if wrong else "", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
