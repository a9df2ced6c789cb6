"""The imports of the library, read from its source: packages, layers, circles.

``python -m tests.imports`` prints who imports whom; `tests/test_imports.py` holds the rules.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Import:
    """One module that another asks for."""

    importer: str
    imported: str
    kind: str
    """`module`, where it runs with the module; `function`, when one is called; `typing`, never."""

    @property
    def units(self) -> tuple[str, str]:
        """The packages between which it runs."""
        return unit(self.importer), unit(self.imported)

    def __str__(self) -> str:
        return f"{self.importer} -> {self.imported}"


def unit(module: str) -> str:
    """The package, or the module beside the packages, in which a module is."""
    return ".".join(module.split(".")[:2])


def modules(root: Path = ROOT, package: str = "lazyhess") -> dict[str, str]:
    """The source of each module of a package, by its dotted name."""
    sources = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        sources[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text()
    return sources


def imports(sources: dict[str, str]) -> list[Import]:
    """What the modules import of each other."""
    return [
        Import(name, target, kind)
        for name, source in sources.items()
        for node, kind in _statements(ast.parse(source), "module")
        for target in _targets(node, sources)
        if target != name
    ]


def _statements(node: ast.AST, kind: str) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    """Import statements, and when each runs."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, kind
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from _statements(child, "typing" if kind == "typing" else "function")
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _statements(ast.Module(child.body, []), "typing")
            yield from _statements(ast.Module(child.orelse, []), kind)
        else:
            yield from _statements(child, kind)


def _targets(node: ast.Import | ast.ImportFrom, sources: dict[str, str]) -> Iterator[str]:
    """The modules that a statement asks for; ``from package import module`` asks for the module."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        assert node.level == 0, f"line {node.lineno}: imports are absolute here"
        inside = [f"{node.module}.{alias.name}" for alias in node.names]
        names = [name if name in sources else str(node.module) for name in inside]
    for name in dict.fromkeys(names):
        if name in sources:
            yield name


def layers(text: str | None = None) -> list[str]:
    """The packages in the order of CONTRIBUTING.md: each imports only what stands above it."""
    text = (ROOT / "CONTRIBUTING.md").read_text() if text is None else text
    tree = text.split("\nlazyhess/\n")[1].split("```")[0]
    names = [
        name
        for line in re.findall(r"^  (\w.*)$", tree, re.MULTILINE)
        for name in re.findall(r"(\w+)(?:\.py|/)", line.split("  ")[0])
    ]
    return ["lazyhess" if name == "__init__" else f"lazyhess.{name}" for name in names]


def circles(edges: Iterable[tuple[str, str]]) -> list[tuple[str, ...]]:
    """Sets of nodes that reach each other (strongly connected components, by Tarjan)."""
    after: dict[str, list[str]] = {}
    for start, end in edges:
        after.setdefault(start, []).append(end)
        after.setdefault(end, [])
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    answer = []

    def visit(node: str) -> None:
        number[node] = lowest[node] = len(number)
        stack.append(node)
        for other in after[node]:
            if other not in number:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in stack:
                lowest[node] = min(lowest[node], number[other])
        if lowest[node] == number[node]:
            place = stack.index(node)
            component = tuple(sorted(stack[place:]))
            del stack[place:]
            if len(component) > 1:
                answer.append(component)

    for node in after:
        if node not in number:
            visit(node)
    return sorted(answer)


# What a package never asks of another, though the order of the layers might allow it.
NEVER = (
    ("_sweep", "_primitives"),  # a sweep knows linear maps, and no rule
    ("_proxy", "_record"),  # what is indexed knows rows, and not how they were recorded
    ("_proxy", "_tangents"),
    ("_frontends", "_tangents"),
)
_FRAMEWORKS = (ROOT / "lazyhess" / "_frontends").glob("*/__init__.py")
FRONT_ENDS = ("numpy", *sorted(path.parent.name for path in _FRAMEWORKS))
# Behind `problem()` of a front end: `hessian` and `gradient` ask for no engine by name.
BEHIND = ("lazyhess._engines.recorded", *(f"lazyhess._frontends.{name}" for name in FRONT_ENDS))


def violations(sources: dict[str, str], order: list[str]) -> set[str]:
    """What breaks the rules of the house, in words without line numbers."""
    found = [one for one in imports(sources) if one.kind != "typing"]
    units = {unit(module) for module in sources}
    place = {name: k for k, name in enumerate(order)}
    never = {(f"lazyhess.{a}", f"lazyhess.{b}") for a, b in NEVER}
    broken = {f"listed, and there is none: {name}" for name in place if name not in units}
    broken |= {f"not listed: {name}" for name in units if name not in place}
    for one in found:
        importer, imported = one.units
        if importer != imported and place.get(imported, 0) > place.get(importer, len(order)):
            broken.add(f"upwards: {one}")
        if one.units in never:
            broken.add(f"never: {one}")
        if one.importer == "lazyhess._api" and one.imported.startswith(BEHIND):
            broken.add(f"behind a front end: {one}")
    for words, pairs in (
        ("packages", (one.units for one in found)),
        ("modules", map(_edge, found)),
    ):
        broken |= {f"circle of {words}: {' '.join(names)}" for names in circles(pairs)}
    return broken | {
        f"names a front end: {function} says {word}"
        for function, word in _words(sources.get("lazyhess._api", ""))
        if any(name in word.lower() for name in FRONT_ENDS)
    }


def _edge(one: Import) -> tuple[str, str]:
    return one.importer, one.imported


def _words(source: str) -> Iterator[tuple[str, str]]:
    """The names and strings in the code of `hessian` and `gradient`, without docstrings."""
    for function in ast.walk(ast.parse(source)):
        named = isinstance(function, ast.FunctionDef) and function.name in ("hessian", "gradient")
        if not named:
            continue
        for statement in function.body[ast.get_docstring(function) is not None :]:
            for node in ast.walk(statement):
                if isinstance(node, ast.Name):
                    yield function.name, node.id
                elif isinstance(node, ast.Attribute):
                    yield function.name, node.attr
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield function.name, node.value


def house(sources: dict[str, str], order: list[str]) -> str:
    """The packages, who imports whom, and what breaks the rules."""
    found = imports(sources)
    run = [one for one in found if one.kind != "typing"]
    count = Counter(one.units for one in run if one.units[0] != one.units[1])
    lines = [f"{'package':12} {'modules':>7} {'lines':>6}  imports (how many)"]
    for name in order:
        inside = [source for module, source in sources.items() if unit(module) == name]
        size = sum(source.count("\n") for source in inside)
        uses = ", ".join(f"{_short(b)} {count[name, b]}" for b in order if count[name, b])
        lines.append(f"{_short(name):12} {len(inside):7} {size:6}  {uses}".rstrip())
    broken = sorted(violations(sources, order))
    return "\n".join([
        *lines,
        "",
        f"{sum(count.values())} imports between packages, in {len(count)} pairs; of all imports, "
        f"{sum(one.kind == 'function' for one in run)} in functions and "
        f"{len(found) - len(run)} for types only",
        f"{len(circles(count))} circles of packages, {len(circles(map(_edge, run)))} of modules",
        f"{len(broken)} things that break the rules" + (":" if broken else ""),
        *(f"  {words}" for words in broken),
    ])  # fmt: skip


def _short(name: str) -> str:
    return name.removeprefix("lazyhess.")


if __name__ == "__main__":
    sys.stdout.write(house(modules(), layers()) + "\n")
