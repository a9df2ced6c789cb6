"""Who asked for a value between two serial numbers: what is remembered of it, and for how long."""

from collections import deque

import pytest

from lazyhess._record import reads


@pytest.mark.parametrize("maxlen", [1, 3, 8])
def test_between_says_what_a_search_of_all_reads_says(monkeypatch, maxlen):
    kept = deque(maxlen=maxlen)
    monkeypatch.setattr(reads, "_reads", kept)
    for serial in [2, 3, 7, 8, 9, 14, 20]:
        for first in range(22):
            for last in set(range(first + 1, 22)) - set(kept):
                asked = any(first < read < last for read in kept)
                forgotten = len(kept) == maxlen and all(read > last for read in kept)
                assert reads.between(first, last) is (asked or forgotten)
        kept.append(serial)


def test_many_reads_after_an_output_cost_no_search(monkeypatch):
    compared = []

    class Counted(int):
        __hash__ = int.__hash__

        def __lt__(self, other):
            compared.append(self)
            return int(self) < int(other)

        def __gt__(self, other):
            compared.append(self)
            return int(self) > int(other)

    monkeypatch.setattr(reads, "_reads", deque(map(Counted, range(10, 1010)), maxlen=1 << 11))
    assert not reads.between(3, 5)
    assert reads.between(3, 11)
    assert len(compared) < 50
