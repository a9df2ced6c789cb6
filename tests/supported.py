"""The page of supported functions, from the registry: ``python -m tests.supported > docs/supported.md``.

A test holds the committed page to what this prints, and every public function of NumPy to a place on
it.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import lazyhess.special
from lazyhess._primitives.constants import PLAIN_FUNCTIONS, PLAIN_UFUNCS
from lazyhess._primitives.in_place import IN_PLACE
from lazyhess._record.primitive import FUNCTIONS, METHODS, UFUNCS

NAMESPACES: dict[str, Any] = {"numpy": np, "numpy.linalg": np.linalg, "numpy.fft": np.fft}

# Why functions of NumPy have no rule, and need none.
REASONS = {
    "make arrays from numbers and shapes alone (a Variable comes from `lazyhess.variable`)": """
        bartlett blackman hamming hanning kaiser diag_indices tril_indices triu_indices mask_indices indices
        fromfunction fromiter frombuffer from_dlpack fromstring fftfreq rfftfreq ix_""",
    "turn what they get into a plain array, which would drop the derivative (use the Variable itself)": """
        asarray_chkfinite asmatrix bmat""",
    "are of integers, bits, dates or text": """
        bitwise_and bitwise_count bitwise_invert bitwise_left_shift bitwise_not bitwise_or
        bitwise_right_shift bitwise_xor invert left_shift right_shift gcd lcm packbits unpackbits
        base_repr binary_repr busday_count busday_offset is_busday isnat datetime_as_string datetime_data
        format_float_positional format_float_scientific""",
    "answer questions of dtypes and shapes, not of values": """
        broadcast_shapes promote_types isdtype issubdtype isscalar iterable isfortran mintypecode typename
        unravel_index ravel_multi_index real_if_close nested_iters""",
    "are old names of functions that have a rule, and call those": "row_stack trapz in1d",
    "count, without weights that could have a derivative": "histogram2d histogramdd",
    "turn real numbers into complex ones to sort them (`sort` takes complex numbers too)": "sort_complex",
    "make a function of Python code: call that code on Variables": "frompyfunc",
    "read, write, or set up NumPy": """
        fromfile fromregex genfromtxt load loadtxt save savetxt savez savez_compressed get_include info
        get_printoptions set_printoptions printoptions getbufsize setbufsize geterr seterr geterrcall
        seterrcall show_config show_runtime test""",
}  # fmt: skip


def public(module: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The functions of a namespace, by name."""
    for name in sorted(set(getattr(module, "__all__", None) or dir(module))):
        item = getattr(module, name, None)
        if callable(item) and not isinstance(item, (type, types.ModuleType)) and name[0] != "_":
            yield name, item


def joined(names: list[str], own: str) -> str:
    """The names of one function, its own first."""
    return " = ".join(f"`{name}`" for name in sorted(names, key=lambda name: (name != own, name)))


def sorted_out() -> tuple[dict[str, dict[str, list[str]]], dict[str, list[str]], list[str]]:
    """By kind and namespace the names; those without a rule by reason; those nobody has placed."""
    plain = {*PLAIN_FUNCTIONS, *PLAIN_UFUNCS}
    kinds: dict[str, dict[str, list[str]]] = {"rule": {}, "plain": {}, "in place": {}}
    reasons: dict[str, list[str]] = {reason: [] for reason in REASONS}
    reason_of = {name: reason for reason, names in REASONS.items() for name in names.split()}
    lost = []
    for space, module in NAMESPACES.items():
        aliases: dict[Any, list[str]] = {}
        for name, item in public(module):
            if item in (*FUNCTIONS, *UFUNCS):
                aliases.setdefault(item, []).append(name)
            elif name in reason_of:
                reasons[reason_of[name]].append(name if space == "numpy" else f"{space[6:]}.{name}")
            else:
                lost.append(f"{space}.{name}")
        for item, names in aliases.items():
            kind = "plain" if item in plain else "in place" if item in IN_PLACE else "rule"
            kinds[kind].setdefault(space, []).append(joined(names, item.__name__))
    kinds["rule"]["ufunc methods"] = sorted(f"`{u.__name__}.{m}`" for u, m in METHODS)
    return kinds, reasons, lost


def special() -> list[str]:
    """The ufuncs of scipy.special with a rule."""
    import scipy.special

    from lazyhess._primitives.on_demand import scipy_special

    scipy_special()
    aliases: dict[Any, list[str]] = {}
    for name, item in public(scipy.special):
        if item in UFUNCS:
            aliases.setdefault(item, []).append(name)
    return [joined(names, item.__name__) for item, names in aliases.items()]


def page() -> str:
    kinds, reasons, lost = sorted_out()
    assert not lost, f"neither a rule nor a reason: {lost}"
    rules = kinds["rule"]
    rules["scipy.special (with `lazyhess[scipy]`)"] = special()
    rules["lazyhess.special"] = [f"`{name}`" for name in lazyhess.special.__all__]
    counts = {space: len(names) for space, names in rules.items()}
    numpys = sum(counts[space] for space in NAMESPACES)
    methods, scipys, own = list(counts.values())[len(NAMESPACES) :]
    plain = [name for names in kinds["plain"].values() for name in names]
    lines: list[str] = [
        "# Supported functions",
        "",
        "Made by `python -m tests.supported` from the registry of rules; CI holds it to the code.",
        "",
        f"**{sum(counts.values())} functions** have a rule: {numpys} of NumPy, {methods} methods of its ufuncs,",
        f"{scipys} ufuncs of `scipy.special` and {own} functions of `lazyhess.special`. {len(plain)} more of NumPy give",
        "plain answers.",
        "Each rule is tested for value, Jacobian, transposes, curvature, symmetry and third order against",
        "differences, on 0-d and empty arrays and in float32 where the function takes them",
        "(`tests/primitives/test_rules.py`). Names joined by `=` are one function. Operators and methods of arrays",
        "stand for the functions they call. What derivatives are at kinks and poles is on",
        "[a page of its own](kinks.md), how accurate they are on [another](accuracy.md).",
        "",
    ]
    for space, names in rules.items():
        lines += [f"## {space}", "", f"{len(names)}: {', '.join(names)}.", ""]
    lines += [
        "## Plain answers",
        "",
        "Truth values, positions, counts and shapes have no derivative: of Variables these functions give",
        f"what they give of the values. {', '.join(plain)}.",
        "",
        "## Not supported",
        "",
        "Functions without a rule raise `NotImplementedError`. These public functions of NumPy have none,",
        "because they",
        "",
    ]
    for reason, names in reasons.items():
        lines.append(f"- {reason}: {', '.join(f'`{name}`' for name in names)};")
    writing = [name for names in kinds["in place"].values() for name in names]
    lines.append(
        f"- write into their argument, which a Variable does not allow: {', '.join(writing)}."
    )
    lines += [
        "",
        "Some supported functions have cases without a derivative, and say so in the error: `svd` with",
        "`full_matrices=True` of matrices that are not square, `qr` with `mode=\"complete\"` of matrices with",
        "more rows than columns.",
    ]  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    print(page())
