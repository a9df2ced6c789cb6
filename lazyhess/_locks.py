"""Locks that a forked child finds free, and changes that are whole or undone.

A child of `os.fork` has one thread. A lock that another thread held is held there by nobody who
could let go of it, and what that thread was changing is half changed. So each lock of the library
is made here, and is made anew in a child.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")
_S = TypeVar("_S", bound="Shared")

# Weak references, which leave when what they are to is gone. (A `WeakSet` takes ten times as long.)
_locks: set[weakref.ref[Any]] = set()
_shared: set[weakref.ref[Shared]] = set()


def lock() -> Any:
    """A lock that its thread may take again."""
    new: Any = threading.RLock()
    _locks.add(weakref.ref(new, _locks.discard))
    return new


def _alone(lock: Any, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call a function while this thread has a lock.

    In the last step of a ``with`` an exception that does not come from the lock (of a tracing
    function) would leave it locked: so it is looked at once more.
    """
    before = lock._is_owned()
    try:
        with lock:
            return function(*args, **kwargs)
    finally:
        while not before and lock._is_owned():
            lock.release()


def under(lock: Any) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Decorate a function that runs while its thread has a lock."""

    def decorate(function: Callable[_P, _T]) -> Callable[_P, _T]:
        @wraps(function)
        def locked(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            return _alone(lock, function, *args, **kwargs)

        return locked

    return decorate


class Shared:
    """What several threads change: one at a time, and each change is whole or undone.

    A method that is `exclusive` finds, and leaves, a state that is right. One that an exception
    leaves half way (Ctrl-C comes between any two lines) is followed by `repair`, before anybody
    else looks.
    """

    def __init__(self) -> None:
        self._lock = lock()
        self._changing = False
        _shared.add(weakref.ref(self, _shared.discard))

    def repair(self) -> None:
        """Make the state right that a change left half way."""
        raise NotImplementedError

    def forked(self) -> None:
        """Forget, in a forked child, the threads that it does not have."""


def exclusive(
    method: Callable[Concatenate[_S, _P], _T],
) -> Callable[Concatenate[_S, _P], _T]:
    """A method that no other exclusive method of the same object runs beside."""

    def change(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        if self._changing:
            self.repair()
        self._changing = True
        answer = method(self, *args, **kwargs)
        self._changing = False
        return answer

    @wraps(method)
    def alone(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        if self._lock._is_owned():
            raise RuntimeError(
                "a Hessian was asked while this thread was changing it (by a signal handler, a "
                "finalizer, or a method of its cache); ask when that is done"
            )
        return _alone(self._lock, change, self, *args, **kwargs)

    return alone


def _in_child() -> None:
    for lock in [ref() for ref in list(_locks)]:
        if lock is not None:
            lock._at_fork_reinit()
    for shared in [ref() for ref in list(_shared)]:
        if shared is not None:
            shared.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
