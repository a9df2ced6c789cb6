"""Arrays and decisions, each from one place."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

import lazyhess as lh
from lazyhess import _create
from lazyhess._decisions import Decisions, decide, deciding, everywhere, generally, nowhere


def test_a_box_is_a_view() -> None:
    array = np.arange(24.0).reshape(4, 6)
    box = _create.strided(array, (2, 3), (12, 1), 7)
    np.testing.assert_array_equal(box, array[1:4:2, 1:4])
    box[0, 0] = -1
    assert array[1, 1] == -1


def test_arrays_of_a_shape_only_take_no_memory() -> None:
    assert _create.of_shape((1 << 20, 1 << 20)).reshape(1 << 40, -1).shape == (1 << 40, 1)


def test_arrays_to_be_filled() -> None:
    for make in (_create.accumulator, _create.buffer):
        array = make((2, 3), np.float32)
        assert array.shape == (2, 3)
        assert array.dtype == np.float32
        assert array.flags.writeable
    assert not _create.accumulator((2, 3), float).any()


def test_copies_are_made_where_needed_only() -> None:
    array = np.arange(6.0).reshape(2, 3)
    assert _create.asarray(array) is array
    assert _create.contiguous(array) is array
    assert not np.shares_memory(_create.copied(array), array)
    turned = _create.contiguous(array.T)
    assert turned.flags.c_contiguous
    np.testing.assert_array_equal(turned, array.T)


# --- decisions ------------------------------------------------------------------------------------
def test_decisions_are_seen_and_forced() -> None:
    mask = np.array([True, False])
    seen = Decisions()
    with deciding(seen):
        assert not everywhere(mask)
        assert not nowhere(mask)
        assert everywhere(mask[:1])
        assert decide("few", lambda x, n: len(x) < n, mask, 3)
    assert seen == [("everywhere", False), ("nowhere", False), ("everywhere", True), ("few", True)]
    with deciding(generally):
        assert not everywhere(mask[:1])
        with deciding(seen):
            assert everywhere(mask[:1])
        assert not decide("few", lambda: True)
    assert everywhere(mask[:1])


def test_decisions_are_forced_in_one_thread() -> None:
    answers = []
    with deciding(generally):
        thread = threading.Thread(target=lambda: answers.append(everywhere(np.ones(2))))
        thread.start()
        thread.join()
    assert answers == [True]


def kinds(function: Any, *inputs: Any) -> set[str]:
    """The decisions that allowed a short cut."""
    decisions = Decisions()
    with deciding(decisions):
        xs = tuple(lh.variable(x) for x in inputs)
        lh.gradient(function(*xs), xs)
    return {kind for kind, answer in decisions if answer}


def test_what_a_maximum_decides() -> None:
    """It is gathered where it stands alone; ties share what a masked sum takes."""
    x = np.arange(20.0)
    assert "alone" in kinds(np.max, x)
    assert "alone" not in kinds(np.max, np.append(x, 19.0))
    for array in (x, np.append(x, 19.0)):
        usual = lh.gradient(np.max, array)
        with deciding(generally):
            np.testing.assert_array_equal(lh.gradient(np.max, array), usual)
