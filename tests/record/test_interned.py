"""One object for each class and its parameters."""

from __future__ import annotations

import copy
import gc
import pickle
import struct
import threading
import weakref

import numpy as np

from lazyhess._primitives.base import Cast
from lazyhess._primitives.linalg.solutions import Solve
from lazyhess._record.interned import interned


def _nan(payload: int) -> float:
    return struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000000 + payload))[0]


class Held:
    """What is told from others by its parameters."""

    def __init__(self, *params: object) -> None:
        self.params = params


def test_equal_parameters_give_one_object() -> None:
    index = np.arange(3)
    for params in ((), (1, "a"), ((2, 3), slice(1, None)), (index, None), (index[:0],)):
        one = interned(Held, *params)
        same = [x.copy() if isinstance(x, np.ndarray) else x for x in params]
        assert interned(Held, *same) is one


def test_what_is_equal_and_not_the_same_gives_another() -> None:
    groups = [
        [(1,), (True,), (1.0,), (np.int64(1),), ("1",), ((1,),)],
        [(np.arange(3),), (np.arange(3.0),), (np.arange(3)[None],), (np.arange(1, 4),)],
        [(slice(1, 2),), ((1, 2, None),), (slice(1, 2, 1),)],
        [(1j,), (1,), (complex(-0.0, 1.0),), (complex(0.0, -1.0),)],
        [(np.nan,), (-np.nan,), (_nan(7),), (np.float32(np.nan),), (np.array([np.nan]),)],
        [(np.array([np.nan]),), (np.array([-np.nan]),), (np.array([_nan(7)]),)],
        [(0.0,), (-0.0,), (np.zeros(3),), (-np.zeros(3),), (np.zeros(9999),), (-np.zeros(9999),)],
    ]
    for group in groups:
        held = [interned(Held, *params) for params in group]
        assert len(set(map(id, held))) == len(group)


def test_large_arrays_are_told_apart_by_all_that_is_in_them() -> None:
    array = np.zeros(100_000, np.intp)
    one = interned(Held, array)
    other = array.copy()
    other[777] += 1
    other[778] -= 1  # with the sum, and all that is hashed, the same
    assert interned(Held, other) is not one
    assert interned(Held, array.copy()) is one


def test_nobody_holds_what_nobody_needs() -> None:
    gone = weakref.ref(interned(Held, np.arange(5)))
    gc.collect()
    assert gone() is None


def test_threads_get_one_object() -> None:
    start, held = threading.Barrier(4), []

    def make() -> None:
        start.wait()
        held.append([interned(Held, n) for n in range(200)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for objects in zip(*held, strict=True):
        assert len(set(map(id, objects))) == 1


def test_primitives_come_back_as_themselves() -> None:
    for primitive in (Solve.of(), Cast.of(np.dtype(np.float32))):
        for back in (pickle.loads(pickle.dumps(primitive)), copy.deepcopy(primitive)):
            assert back is primitive
