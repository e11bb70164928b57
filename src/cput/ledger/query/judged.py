"""What the outcomes say of each call: ``verdict.verdict`` up to the threshold, on whole columns."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cput.ledger.query.bycall import ByCall, endings, repeated
from cput.ledger.query.columns import Coded, Flags, Floats, Ints
from cput.ledger.query.gather import NOBODY
from cput.ledger.query.scan import CallRows, OutcomeRows
from cput.ledger.rows import to_object
from cput.ledger.verdict import TIERS
from cput.records import Source

_SOURCES = len(Source)


class Judged(NamedTuple):
    """One entry per call."""

    value: Floats
    """The least value in the highest tier that spoke, to be held against a threshold; NaN while none did."""
    attempt: Ints
    """The attempt named by the last outcome that names one, or ``NOBODY``."""


class _About(NamedTuple):
    """Which outcome is about which call."""

    call: Ints
    outcome: Ints

    def take(self, rows: Ints | Flags) -> "_About":
        return _About(self.call[rows], self.outcome[rows])


def judge(outcomes: OutcomeRows, calls: CallRows) -> Judged:
    """Read the outcomes of each call."""
    about, count = _about(outcomes, calls), len(calls.ids)
    return Judged(value=_value(about, outcomes, count), attempt=_named(about, outcomes, count))


def _about(outcomes: OutcomeRows, calls: CallRows) -> _About:
    """Return a pair for every call that an outcome speaks for: by its id, its external key or its episode.

    A pair may occur twice (an outcome that names both the call and its key): the same word again changes nothing.
    """
    direct = np.flatnonzero(outcomes.call != NOBODY)
    by_key = _matched(outcomes.keys, calls.keys)
    by_episode = _matched(outcomes.episodes, calls.episodes)
    return _About(
        np.concatenate([outcomes.call[direct], by_key.call, by_episode.call]),
        np.concatenate([direct, by_key.outcome, by_episode.outcome]),
    )


def _matched(said: Sequence[str | None], own: Sequence[str | None]) -> _About:
    spoken = {key for key in said if key is not None}
    owners: defaultdict[str, list[int]] = defaultdict(list)
    for call, key in enumerate(own):
        if key in spoken:
            owners[key].append(call)
    calls, outcomes = [], []
    for outcome, key in enumerate(said):
        if key is not None and key in owners:
            calls += owners[key]
            outcomes += [outcome] * len(owners[key])
    return _About(np.array(calls, np.int64), np.array(outcomes, np.int64))


def _value(about: _About, outcomes: OutcomeRows, count: int) -> Floats:
    observer = outcomes.name.codes * _SOURCES + outcomes.source.codes
    about = about.take(_by_age(about, observer[about.outcome], outcomes))
    about = about.take(endings(about.call, observer[about.outcome]))  # the latest word of each observer
    about = about.take(~_taken_back(outcomes)[about.outcome])
    by_call, tier = ByCall(about.call, count), _tiers(outcomes.source)[about.outcome]
    highest = by_call.least(tier)
    decides = tier == highest[about.call]
    value = by_call.least(np.where(decides, outcomes.value[about.outcome], np.inf))
    return np.where(np.isinf(highest), np.nan, value)


def _named(about: _About, outcomes: OutcomeRows, count: int) -> Ints:
    """A word that was taken back names its attempt all the same: who got which answer is no opinion."""
    about = about.take(outcomes.attempt[about.outcome] != NOBODY)
    about = about.take(_by_age(about, np.zeros(len(about.call), np.int64), outcomes))
    about = about.take(endings(about.call))
    named = np.full(count, NOBODY)
    named[about.call] = outcomes.attempt[about.outcome]
    return named


def _by_age(about: _About, observer: Ints, outcomes: OutcomeRows) -> Ints:
    """Return the order by call, observer and moment; at one moment by the outcome's id, as the reader has it."""
    observed_s = outcomes.observed_s[about.outcome]
    order: Ints = np.lexsort((observed_s, observer, about.call))
    tied = order[repeated(about.call[order], observer[order], observed_s[order])]
    if len(tied) == 0:
        return order
    rank = np.zeros(len(outcomes.ids), np.int64)
    at_once = np.unique(about.outcome[tied])  # few: ids are compared for these alone
    rank[sorted(at_once.tolist(), key=outcomes.ids.__getitem__)] = np.arange(len(at_once))
    by_id: Ints = np.lexsort((rank[about.outcome], observed_s, observer, about.call))
    return by_id


def _taken_back(outcomes: OutcomeRows) -> Flags:
    found = np.zeros(len(outcomes.ids), np.bool_)
    for row, detail in enumerate(outcomes.retracting):
        if detail is not None:
            found[row] = to_object(detail).get("retracted") is True
    return found


def _tiers(source: Coded) -> Floats:
    """Return the place of each outcome's tier, 0 the highest."""
    places = [next(place for place, tier in enumerate(TIERS) if Source(str(word)) in tier) for word in source.words]
    return np.array(places, np.float64)[source.codes]
