"""What goes through the network together: bounded, of like length, every call in its turn, each text once."""

from collections import deque

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cput.engines.embedder.batch import SHORT, Job, next_batch
from cput.engines.embedder.text import Encoded

lengths = st.lists(st.integers(1, 256), min_size=1, max_size=40)


def job(sizes):
    made = Job()
    made.fill([Encoded(np.ones(size, np.int64), cut=False) for size in sizes])
    return made


def taken(jobs, **bounds):
    bounds = {"max_texts": 8, "max_tokens": 1024} | bounds
    waiting, batches = deque(jobs), []
    while waiting:
        batches.append(next_batch(waiting, **bounds))
    return batches


def size(slot):
    return len(slot.job.texts[slot.place].ids)


@given(st.lists(lengths, min_size=1, max_size=5), st.integers(1, 16), st.integers(1, 2048))
def test_each_text_goes_once_and_no_batch_is_too_large(sizes, max_texts, max_tokens):
    jobs = [job(one) for one in sizes]
    batches = taken(jobs, max_texts=max_texts, max_tokens=max_tokens)
    gone = [(id(slot.job), slot.place) for batch in batches for slot in batch]
    assert sorted(gone) == sorted((id(one), place) for one in jobs for place in range(len(one.texts)))
    for batch in batches:
        widest = max(map(size, batch))
        assert len(batch) <= max_texts
        assert len(batch) == 1 or len(batch) * widest <= max_tokens
        assert all(2 * size(slot) >= widest or widest <= SHORT for slot in batch)
    assert [one.tokens for one in jobs] == [sum(one) for one in sizes]
    assert not any(one.left for one in jobs)


def test_a_single_text_waits_for_one_batch_of_a_large_neighbour():
    large, single = job([200] * 100), job([3])
    batches = taken([large, single])
    assert [at for at, batch in enumerate(batches) if any(slot.job is single for slot in batch)] == [1]


def test_short_texts_of_many_calls_go_together():
    (batch,) = taken([job([length]) for length in (3, 30, 9, 12)])
    assert len(batch) == 4


def test_equal_calls_are_told_apart():
    batches = taken([job([200]), job([200])], max_texts=1)
    assert len({id(slot.job) for batch in batches for slot in batch}) == 2
