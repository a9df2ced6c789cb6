"""Arrays and decisions from values are made in one place each: a lint over the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import lazyhess

ROOT = Path(lazyhess.__file__).parent

# Of NumPy, what makes arrays past its own protocols, or to be filled in place.
CREATE = {
    "array", "asanyarray", "asarray", "asarray_chkfinite", "ascontiguousarray", "asfortranarray",
    "as_strided", "copyto", "empty", "empty_like", "frombuffer", "fromiter", "ndarray", "put",
    "putmask", "require",
}  # fmt: skip
# What makes a truth value, or a number of Python's, of an array.
DECIDE = {"all", "allclose", "any", "array_equal", "bool", "float", "item"}
# What makes indices of an array, or counts what it would make.
SELECT = {"argwhere", "count_nonzero", "flatnonzero", "nonzero"}

# What does so all the same: a file, and the functions in it. In rules: of arguments without a
# derivative, and where the rule reads values (the tests of promises list these).
ALLOWED = {
    "_primitives/assemble.py": {"geomspace", "piecewise", "trim_zeros"},
    "_primitives/reduce.py": {"keeping"},
    "_primitives/moments.py": {"_check_weights", "average"},
    "_primitives/polynomials.py": {"poly", "polydiv"},
    "_primitives/padding.py": {"pad"},
    "_primitives/linalg/determinants.py": {"det"},
    "_primitives/linalg/least_squares.py": {"pinv"},
    "_tangents/heap.py": {"reserve"},  # no array, but memory
}
# What makes indices all the same: of patterns, which hold no value; behind `selective`; and in
# rules, where the value was asked for, or of arguments without a derivative.
SELECTING = {
    "_maps/contraction.py": {"_across"},
    "_maps/diagonal.py": {"make"},
    "_maps/gather.py": {"_slice"},
    "_primitives/assemble.py": {"_place", "trim_zeros"},
    "_primitives/choices.py": {"where"},
    "_primitives/padding.py": {"pad"},
    "_primitives/polynomials.py": {"roots"},
    "_primitives/reduce.py": {"_places"},
    "_tangents/blocks.py": {"of"},
    "_tangents/boxes.py": {"merged"},
}
# Where all else holds the same.
FOLDERS = ("_primitives", "_maps", "_tangents", "_sweep", "_engines/recorded/autobatch.py")


def calls(tree: ast.Module) -> Iterator[tuple[str, int, str]]:
    """Calls that a lint is about: the function that they are in, the line, and what is called."""
    tests = set()  # what `decide` is given to ask
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and named(node.func) == "decide":
            tests |= {named(argument) for argument in node.args}

    def within(node: ast.AST, function: str = "") -> Iterator[tuple[str, int, str]]:
        for child in ast.iter_child_nodes(node):
            inner = function
            if isinstance(child, (ast.FunctionDef, ast.Lambda)):
                inner = getattr(child, "name", function)
            # What stands in no function is a constant.
            if isinstance(child, ast.Call) and function not in {"", *tests} and counts(child):
                yield function, child.lineno, named(child.func)
            yield from within(child, inner)

    yield from within(tree)


def named(node: ast.AST) -> str:
    """The last part of a name."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def counts(call: ast.Call) -> bool:
    name = named(call.func)
    if isinstance(call.func, ast.Name):  # Python's own, but not of a number that is written down
        plain = all(isinstance(x, ast.Constant) for x in call.args)
        return name in {"bool", "float"} and not plain
    home = named(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    return (home in ("np", "stride_tricks") and name in CREATE) or name in DECIDE | SELECT


def found(folder: str) -> dict[str, list[tuple[str, int, str]]]:
    root = ROOT / folder
    files = sorted(root.rglob("*.py")) if root.is_dir() else [root]
    return {
        file.relative_to(ROOT).as_posix(): list(calls(ast.parse(file.read_text())))
        for file in files
    }


@pytest.mark.parametrize("folder", FOLDERS)
def test_arrays_are_made_and_values_decide_in_one_place_each(folder: str) -> None:
    for file, these in found(folder).items():
        for names, table in ((CREATE | DECIDE, ALLOWED), (SELECT, SELECTING)):
            allowed = table.get(file, set())
            calls = [call for call in these if call[2] in names]
            bad = [call for call in calls if call[0] not in allowed]
            assert not bad, f"{file}: {bad}; see _create.py and _decisions.py"
            assert allowed <= {function for function, *_ in calls}, f"{file}: not all of {allowed}"


def test_what_is_not_allowed_is_found() -> None:
    source = """
def rule(x):
    y = np.asarray(x)
    if np.any(y) or (y > 0).all() or bool(y[0]):
        return float(y)
    return decide("kind", holds, y) and np.empty(3)[y.nonzero()]

def holds(x):
    return (x > 0).all()
"""
    names = [name for *_, name in calls(ast.parse(source))]
    assert names == ["asarray", "any", "all", "bool", "float", "empty", "nonzero"]
