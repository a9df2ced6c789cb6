"""Settings that are not of one call: `options`, and those that hold now."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ContextDecorator
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, Self, TypedDict, TypeVar, Unpack

from lazyhess._sizes import parse_bytes

_F = TypeVar("_F", bound=Callable[..., Any])


class OptionValues(TypedDict, total=False):
    """What `options` takes."""

    memory: int | str | None


@dataclass(frozen=True)
class Options:
    """Settings as engines read them; ``None`` is what the library chooses by itself."""

    memory: int | None = None


# Every `with` that is open in this thread or task, and its settings, the innermost last.
_open: ContextVar[tuple[tuple[object, Options], ...]] = ContextVar(
    "lazyhess.options", default=((None, Options()),)
)


def current() -> Options:
    """The settings that hold here and now."""
    return _open.get()[-1][1]


class options(ContextDecorator):  # noqa: N801  (as numpy.errstate)
    """Settings for all Hessians that are made within a ``with``.

    A Hessian keeps the settings that it was made with, at other points (`Hessian.at`), in copies
    and in pickles, too. Settings are those of a thread or a task: they hold in no thread that is
    started meanwhile. Where one ``with`` stands in another, the inner one changes what it names.

    Parameters
    ----------
    memory : int, str or None, optional
        Bytes that one pass may hold, as a number or a string such as ``"64MB"``: how many seeds
        are pushed at once follows from it, unless `block_size` says so. Of recorded NumPy all
        arrays of a pass count (by default 8 MiB, what fits into a processor's caches), of a
        framework its rows and tangents (by default 256 MiB). ``None`` is the default.

    Raises
    ------
    TypeError
        If there is no such setting, or a value is of another kind.
    ValueError
        If a value is out of range.

    Notes
    -----
    A pass that memory does not suffice for is tried again with half of its seeds in any case.

    Examples
    --------
    >>> import numpy as np
    >>> import lazyhess as lh
    >>> with lh.options(memory="64MB"):
    ...     H = lh.hessian(lambda x: np.sum(x**3), np.array([1.0, 2.0]))
    >>> H[1]
    array([ 0., 12.])

    It is a decorator, too, of functions that are done when they return:

    >>> @lh.options(memory=10**9)
    ... def step(x):
    ...     return x - np.linalg.solve(lh.hessian(f, x), lh.gradient(f, x))
    """

    def __init__(self, **settings: Unpack[OptionValues]) -> None:
        self._settings = {name: _checked(name, value) for name, value in settings.items()}

    def __enter__(self) -> Self:
        # Nothing is kept on this object, which may be entered twice, and by several threads.
        _open.set((*_open.get(), (self, replace(current(), **self._settings))))
        return self

    def __exit__(self, *error: object) -> None:
        # Its own: generators may leave in another order, and in a context that they did not enter.
        opened = _open.get()
        for at in reversed(range(len(opened))):
            if opened[at][0] is self:
                _open.set(opened[:at] + opened[at + 1 :])
                break

    def __call__(self, func: _F) -> _F:
        for kind in (iscoroutinefunction, isasyncgenfunction, isgeneratorfunction):
            if kind(func):
                raise TypeError(
                    f"lh.options decorates functions that are done when they return, got "
                    f"{func.__qualname__}, which runs later; write the with inside of it"
                )
        return super().__call__(func)


def _checked(name: str, value: Any) -> Any:
    """A setting as engines read it."""
    names = [field.name for field in fields(Options)]
    if name not in names:
        raise TypeError(f"lh.options knows {', '.join(names)}, got {name}={value!r}")
    if value is None:
        return None
    nbytes = parse_bytes(value, name, " or None")
    if nbytes < 1:
        raise ValueError(f"{name} must be at least one byte, got {value!r}")
    return nbytes
