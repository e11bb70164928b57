"""However calls are grouped, they and their money add up to the whole."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cput.errors import InputError, SetupError
from cput.ledger import zones
from cput.ledger.cput import Fact, cost_per_useful_answer, cput, useful_rate
from cput.ledger.groups import FIELDS, PERIODS, by, period
from cput.ledger.zones import time_zone
from cput.records import Verdict


def fact(number=0, verdict=Verdict.USEFUL, cost=1.0, at=None, **more) -> Fact:
    return Fact(
        id=str(number),
        cost=cost,
        output_tokens=10,
        useful_tokens={Verdict.USEFUL: 10, Verdict.USELESS: 0, Verdict.PENDING: None}[verdict],
        verdict=verdict,
        started_s=at,
        **more,
    )


def seconds(*moment: int) -> float:
    return datetime(*moment, tzinfo=UTC).timestamp()


names = st.sampled_from(["a", "b", None])
facts_lists = st.lists(
    st.builds(
        fact,
        verdict=st.sampled_from(list(Verdict)),
        cost=st.none() | st.integers(0, 10**12).map(lambda nano: nano / 1e9),
        at=st.none() | st.floats(0, 4e9),
        workload=names,
        model=names,
        tags=st.dictionaries(st.sampled_from(["lang", "tier"]), st.sampled_from(["x", "y"])),
    ),
    max_size=25,
)
keys = st.lists(st.sampled_from([*FIELDS, *PERIODS, "tag:lang", "tag:tier"]), unique=True, max_size=3)


@settings(max_examples=60, deadline=None)
@given(facts=facts_lists, keys=keys)
def test_charges_and_calls_add_up_whatever_the_grouping(facts, keys):
    found = by(facts, keys, resamples=20)
    whole = by(facts, [], resamples=20)
    assert sum(group.calls for group in found) == len(facts)
    assert sum(group.unpriced for group in found) == sum(fact.cost is None for fact in facts)
    assert sum(group.cost_nano for group in found) == sum(group.cost_nano for group in whole)
    assert sorted(fact.id for group in found for fact in group.facts) == sorted(fact.id for fact in facts)
    assert len({tuple(group.key.items()) for group in found}) == len(found)


def test_a_group_has_the_metric_of_its_calls():
    cheap = [fact(0, model="s"), fact(1, Verdict.USELESS, model="s"), fact(2, Verdict.PENDING, model="s")]
    dear = [fact(3, cost=5.0, model="l"), fact(4, cost=None, model="l")]
    large, small = by([*cheap, *dear], ["model"])
    assert (small.key, small.calls, small.coverage, small.unpriced) == ({"model": "s"}, 3, 2 / 3, 0)
    assert (small.cput, small.useful_rate) == (cput(cheap), useful_rate(cheap))
    assert small.cost_per_useful_answer == cost_per_useful_answer(cheap)
    assert (small.cost_nano, large.cost_nano) == (3_000_000_000, 5_000_000_000)
    assert (large.unpriced, large.cput) == (1, (None, None, None))


def test_groups_come_sorted_and_unknown_last():
    found = by([fact(model=name) for name in ("b", None, "a")], ["model"])
    assert [group.key["model"] for group in found] == ["a", "b", None]
    (only,) = by([fact()], ["hour"])
    assert only.key == {"hour": None}
    assert by([], ["model"]) == ()


def test_a_slice_is_a_tags_value():
    found = by([fact(tags={"lang": "zh"}), fact(tags={"lang": "en"}), fact()], ["tag:lang"])
    assert [group.key["tag:lang"] for group in found] == ["en", "zh", None]


@pytest.mark.parametrize(
    ("length", "utc", "shanghai"),
    [
        ("hour", "2027-01-03T18:00+00:00", "2027-01-04T02:00+08:00"),
        ("day", "2027-01-03", "2027-01-04"),
        ("week", "2026-W53", "2027-W01"),
        ("month", "2027-01", "2027-01"),
    ],
)
def test_a_period_is_the_calendars_of_the_zone(length, utc, shanghai):
    at = seconds(2027, 1, 3, 18, 59)
    assert period(at, length) == utc
    (found,) = by([fact(at=at)], [length], zone="Asia/Shanghai")
    assert found.key[length] == shanghai


def test_the_hour_that_a_clock_shows_twice_is_two_hours():
    zone = time_zone("Europe/Berlin")
    hours = [period(seconds(2026, 10, 25, hour, 30), "hour", zone) for hour in (0, 1)]
    assert hours == ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00"]


def test_what_is_unknown_is_named_with_what_is_allowed():
    with pytest.raises(InputError, match="unknown key 'modle'; did you mean 'model'"):
        by([], ["modle"])
    with pytest.raises(InputError, match="unknown key 'tag:'"):
        by([], ["tag:"])
    with pytest.raises(InputError, match="unknown time zone 'Europe/Berln'; did you mean 'Europe/Berlin'"):
        by([], ["day"], zone="Europe/Berln")
    with pytest.raises(InputError, match="call '7' started at 1e\\+30 s"):
        by([fact(7, at=1e30)], ["day"])


def test_a_machine_without_time_zones_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(zones, "available_timezones", set)
    with pytest.raises(SetupError, match="pip install tzdata"):
        time_zone("No/Where")
    assert time_zone("utc") is UTC
