"""Imports run one way, and the tests have a folder for each package."""

from __future__ import annotations

import pytest

from tests.imports import ROOT, circles, imports, layers, modules, violations


@pytest.fixture(scope="module")
def broken() -> set[str]:
    return violations(modules(), layers())


def test_nothing_breaks_the_rules(broken):
    assert sorted(broken) == []


def test_each_package_has_its_tests():
    packages = {
        path.name.lstrip("_")
        for path in (ROOT / "lazyhess").iterdir()
        if (path / "__init__.py").is_file() and path.name != "_demo"  # it is run by test_main
    }
    for name in sorted(packages):
        assert list((ROOT / "tests" / name).rglob("test_*.py")), f"no tests in tests/{name}"
    for path in (ROOT / "lazyhess" / "_frontends").iterdir():
        if (path / "__init__.py").is_file():
            assert list((ROOT / "tests" / "frontends" / path.name).glob("test_*.py")), path.name


# --- the rules are tested too ---
ORDER = [f"lazyhess.{name}" for name in ("_tangents", "_record", "_primitives", "_sweep")]
ORDER += [f"lazyhess.{name}" for name in ("_engines", "_frontends", "_proxy", "_api")]
CLEAN = {
    **dict.fromkeys(ORDER, ""),
    "lazyhess._record.variable": "from lazyhess import _tangents",
    "lazyhess._frontends.torch": "",
    "lazyhess._engines.recorded": "",
    "lazyhess._api": "from lazyhess._frontends import find\ndef hessian(ys):\n    'By torch.'\n",
}


def planted(**sources: str) -> set[str]:
    """What breaks the rules once the modules are these; `_` stands for a dot in a name."""
    named = {f"lazyhess._{name.replace('__', '.')}": text for name, text in sources.items()}
    return violations({**CLEAN, **named}, ORDER)


def test_a_clean_house_breaks_no_rule():
    assert planted() == set()


@pytest.mark.parametrize(
    "name, source, words",
    [
        ("record", "from lazyhess._sweep import x", "upwards: lazyhess._record -> lazyhess._sweep"),
        ("record", "import lazyhess._api as a", "upwards: lazyhess._record -> lazyhess._api"),
        (
            "tangents",
            "def f():\n    from lazyhess._record.variable import x",
            "upwards: lazyhess._tangents -> lazyhess._record.variable",
        ),
        ("sweep", "import lazyhess._primitives", "never: lazyhess._sweep -> lazyhess._primitives"),
        (
            "proxy",
            "from lazyhess._record import variable",
            "never: lazyhess._proxy -> lazyhess._record.variable",
        ),
        ("proxy", "from lazyhess import _tangents", "never: lazyhess._proxy -> lazyhess._tangents"),
        (
            "frontends__torch",
            "class A:\n    def f(self):\n        import lazyhess._tangents",
            "never: lazyhess._frontends.torch -> lazyhess._tangents",
        ),
        ("stray", "", "not listed: lazyhess._stray"),
        (
            "api",
            "from lazyhess._frontends.torch import x",
            "behind a front end: lazyhess._api -> lazyhess._frontends.torch",
        ),
        (
            "api",
            "from lazyhess._engines.recorded import NumpyEngine",
            "behind a front end: lazyhess._api -> lazyhess._engines.recorded",
        ),
        (
            "api",
            "def hessian(ys):\n    return find('torch')",
            "names a front end: hessian says torch",
        ),
        (
            "api",
            "def gradient(ys):\n    return NumpyEngine(ys)",
            "names a front end: gradient says NumpyEngine",
        ),
    ],
)
def test_what_breaks_a_rule_is_seen(name, source, words):
    assert words in planted(**{name: source})


def test_circles_are_seen():
    assert planted(
        sweep__a="import lazyhess._sweep.b",
        sweep__b="import lazyhess._sweep.c",
        sweep__c="def late():\n    import lazyhess._sweep.a",
    ) == {"circle of modules: lazyhess._sweep.a lazyhess._sweep.b lazyhess._sweep.c"}
    # No module is in a circle here, and the packages are.
    assert planted(record__a="import lazyhess._tangents.b", tangents__b="", tangents__c="import lazyhess._record") == {
        "upwards: lazyhess._tangents.c -> lazyhess._record",
        "circle of packages: lazyhess._record lazyhess._tangents",
    }  # fmt: skip


def test_what_is_listed_is_there():
    assert violations(CLEAN, [*ORDER, "lazyhess._attic"]) == {
        "listed, and there is none: lazyhess._attic"
    }


def test_circles():
    assert circles([]) == []
    assert circles(zip("abcde", "bcaed", strict=True)) == [("a", "b", "c"), ("d", "e")]
    assert circles([("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("a", "a")]) == []


def test_imports_for_types_only_are_counted_apart():
    sources = {
        "lazyhess": "",
        "lazyhess.a": """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from lazyhess import b
else:
    from lazyhess import c
def f():
    from lazyhess import d
""",
        **dict.fromkeys(("lazyhess.b", "lazyhess.c", "lazyhess.d"), ""),
    }
    assert [(one.imported[-1], one.kind) for one in imports(sources)] == [
        ("b", "typing"),
        ("c", "module"),
        ("d", "function"),
    ]


def test_the_layers_are_read_from_the_list():
    text = "x\nlazyhess/\n  _a.py _b/      words on c/ and d.py\n    e.py   \n  __init__.py  f\n```\n  g.py\n"
    assert layers(text) == ["lazyhess._a", "lazyhess._b", "lazyhess"]
