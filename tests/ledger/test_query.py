"""What the quick way says of a million calls is what the slow way says, call by call."""

import asyncio
import random
import re
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import pytest
from costs_by_hand import expect_the_same, facts, same, write_some
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cput.errors import InputError
from cput.ledger import groups, schema
from cput.ledger.query import Question, costs
from cput.ledger.store import Ledger
from cput.records import Attempt, Call, Charge, Finish, Outcome, Role, Source, Usage

GROUPINGS = (
    (),
    ("workload",),
    ("workload", "model", "tenant", "policy"),
    ("day", "engine"),
    ("tag:lang", "week"),
    ("month", "workload"),
    ("hour",),
)
DAY_S = 86_400.0


def write(
    ledger: Ledger, *, cost: int | None = 1000, value: float | None = None, tokens: int | None = 5, **fields
) -> Call:
    """Write a call with one leg, one charge and one outcome."""
    run, started_s, model = fields.pop("run", None), fields.pop("started_s", 1.0), fields.pop("model", "m")
    call = Call(**fields)
    usage = Usage(input_uncached=7, output=tokens)
    leg = Attempt(call_id=call.id, seq=0, engine="e", model=model, usage=usage, started_s=started_s, finish=Finish.STOP)
    charge = Charge(call_id=call.id, seq=0, incremental_nano_usd=cost, price_version="v", basis="usage")
    said = [] if value is None else [Outcome(call_id=call.id, name="c", value=value, source=Source.CHECK)]
    ledger.record_sync(call, [leg], [charge], said, run=run)
    return call


@pytest.fixture(scope="module")
def emptied(tmp_path_factory) -> Iterator[Ledger]:
    """An SQLite ledger for many examples: quicker to empty than to make."""
    with Ledger.open(tmp_path_factory.mktemp("ledger") / "ledger.db") as ledger:
        yield ledger


def empty(ledger: Ledger) -> Ledger:
    with ledger._database.writing.begin() as connection:
        for table in reversed(schema.metadata.sorted_tables):
            if table is not schema.migrations:
                connection.execute(table.delete())
    return ledger


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_arrives_in_whatever_order_the_quick_way_agrees_with_call_by_call(emptied, data):
    ledger = empty(emptied)

    def pick(options: Sequence[Any]) -> Any:
        return data.draw(st.sampled_from(options))

    def look() -> None:
        question = Question(by=pick(GROUPINGS), basis="usage", threshold=pick([1.0, 0.5, 0.3, 1 / 3, 0.0]))
        expect_the_same(costs(ledger, question), ledger.calls())

    write_some(ledger, pick, calls=4, look=look)


def test_a_larger_ledger_agrees_as_well_on_every_database(ledger):
    """Questions in between make it bring earlier folds up to date."""
    rng = random.Random(7)
    looks = []

    def look() -> None:
        if rng.random() < 0.1 or not looks:
            looks.append(costs(ledger, Question(by=rng.choice(GROUPINGS), basis="usage")))
            expect_the_same(looks[-1], ledger.calls())

    write_some(ledger, rng.choice, calls=70, look=look)
    assert len(looks) > 3
    for grouping in GROUPINGS:
        expect_the_same(costs(ledger, Question(by=grouping, basis="usage")), ledger.calls())


@pytest.mark.parametrize(("value", "threshold", "useful"), [(0.3, 0.1 + 0.2, 1), (0.3, 0.3001, 0), (0.1 + 0.2, 0.3, 1)])
def test_a_threshold_is_reached_but_for_rounding_as_verdict_has_it(ledger, value, threshold, useful):
    write(ledger, value=value)
    answer = costs(ledger, Question(threshold=threshold, basis="usage"))
    assert answer.total.sums.moments.useful == useful
    expect_the_same(answer, ledger.calls())


async def test_the_answer_given_is_found_among_all_pairs_and_many_triples_of_legs(ledger):
    """Serving or not, ended, hung up on or failed, counted or not: which leg's tokens are the useful ones."""
    kinds = list(
        product([Role.SERVE, Role.JUDGE, Role.EMBED], [Finish.STOP, Finish.CANCELLED, Finish.ERROR], [None, 0, 1])
    )
    some = [kind for kind in kinds if kind[2] != 0]
    asked = []
    for number, legs in enumerate([*product(kinds, repeat=2), *product(some, repeat=3)]):
        call = Call(id=f"{number}", workload=f"{number}")
        attempts = [
            Attempt(
                call_id=call.id,
                seq=seq,
                role=role,
                engine=f"e{seq}",
                usage=Usage(output=tokens and 10 + seq),
                started_s=1.0,
                finish=finish,
            )
            for seq, (role, finish, tokens) in enumerate(legs)
        ]
        named = [None, 0, 1, 2][number % 4]
        said = Outcome(call_id=call.id, name="n", value=1.0, source=Source.USER, attempt=named)
        asked.append(ledger.record(call, attempts, outcomes=[said]))
    await asyncio.gather(*asked)
    expect_the_same(costs(ledger, Question(by=("workload", "engine"), basis="usage")), ledger.calls())


@pytest.mark.parametrize("ids", [("a", "b"), ("b", "a")])
def test_at_one_moment_the_greater_id_is_the_later_word_and_names_the_later_attempt(ledger, ids):
    call = write(ledger)
    leg = Attempt(call_id=call.id, seq=1, engine="e", usage=Usage(output=9), started_s=2.0, finish=Finish.STOP)
    ledger.record_sync(call, [leg])
    for name, value, attempt in zip(ids, (1.0, 0.5), (0, 1), strict=True):
        said = Outcome(
            id=name, call_id=call.id, name="n", value=value, source=Source.USER, observed_s=3.0, attempt=attempt
        )
        ledger.add_outcomes([said])
    for threshold in (1.0, 0.5):
        expect_the_same(costs(ledger, Question(threshold=threshold, basis="usage")), ledger.calls())


def test_calls_and_money_add_up_to_the_whole_whatever_the_grouping(ledger):
    write_some(ledger, random.Random(3).choice, calls=30, look=lambda: None)
    whole = costs(ledger, Question()).total
    for grouping in (*GROUPINGS, ("provider",), ("run", "tag:size")):
        answer = costs(ledger, Question(by=grouping))
        same(answer.total.cput, whole.cput)
        for name in ("incremental_nano_usd", "avoided_nano_usd", "idle_nano_usd", "cost_nano_usd", "attempts"):
            assert sum(getattr(group.sums, name) for group in answer.groups) == getattr(whole.sums, name)
            assert getattr(answer.total.sums, name) == getattr(whole.sums, name)
        assert sum(group.calls for group in answer.groups) == whole.calls == 30


def test_a_filter_leaves_what_a_group_of_it_has(ledger):
    write_some(ledger, random.Random(5).choice, calls=30, look=lambda: None)
    for name in ("workload", "model", "engine", "provider", "policy", "tenant", "run"):
        for group in costs(ledger, Question(by=(name,))).groups:
            if group.key[name] is not None:
                only = costs(ledger, Question(**{name: group.key[name]}))
                assert only.total.sums == group.sums
    for group in costs(ledger, Question(by=("tag:lang",))).groups:
        if group.key["tag:lang"] is not None:
            assert costs(ledger, Question(tags={"lang": group.key["tag:lang"]})).total.sums == group.sums


def test_a_period_takes_its_first_moment_and_not_its_last(ledger):
    for started_s in (DAY_S - 0.001, DAY_S, 2 * DAY_S - 0.001, 2 * DAY_S):
        write(ledger, started_s=started_s)
    days = costs(ledger, Question(period="day")).groups
    assert [(group.key["day"], group.calls) for group in days] == [
        ("1970-01-01", 1),
        ("1970-01-02", 2),
        ("1970-01-03", 1),
    ]
    assert costs(ledger, Question(since_s=DAY_S, until_s=2 * DAY_S)).total.calls == 2


@pytest.mark.parametrize("length", groups.PERIODS)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns", "Europe/Berlin"])
def test_periods_are_those_of_the_calendar_in_the_time_zone(emptied, length, zone):
    """Through a change of summer time, where an hour occurs twice, and zones off by three quarters of an hour."""
    ledger = empty(emptied)
    for quarter in range(40):
        write(ledger, started_s=1_761_436_800.0 + 900 * quarter - 0.5)  # around 2025-10-26T01:00Z
    answer = costs(ledger, Question(period=length, zone=zone))
    expected = groups.by(facts(ledger.calls()), [length], zone=zone)
    assert [(group.key, group.calls) for group in answer.groups] == [(group.key, group.calls) for group in expected]


def test_a_call_without_attempts_is_in_no_period_and_is_unpriced(ledger):
    ledger.record_sync(Call(workload="w"), [])
    (group,) = costs(ledger, Question(by=("workload",), period="month")).groups
    assert group.key == {"month": None, "workload": "w"}
    assert (group.calls, group.unpriced, group.cput.value) == (1, 1, None)


def test_one_unpriced_call_makes_a_groups_cost_unknown_and_is_counted(ledger):
    write(ledger, workload="a", value=1.0, cost=500)
    write(ledger, workload="a", value=1.0, cost=None)
    write(ledger, workload="b", value=1.0, cost=500)
    a, b = costs(ledger, Question(by=("workload",))).groups
    assert (a.unpriced, a.cput.value, a.sums.cost_nano_usd, a.as_json()["cost_nano_usd"]) == (1, None, 500, None)
    assert (b.unpriced, b.cput.value) == (0, pytest.approx(500e-9 / 5))


def test_a_cache_hit_counts_its_look_up_and_its_useful_tokens_and_what_it_avoided(ledger):
    write(ledger, value=1.0, cost=900)
    hit = Call()
    leg = Attempt(call_id=hit.id, seq=0, engine="cache", usage=Usage(output=5), started_s=2.0, finish=Finish.STOP)
    saved = Charge(
        call_id=hit.id, seq=0, incremental_nano_usd=2, avoided_nano_usd=900, price_version="avoided v", basis="flat"
    )
    ledger.record_sync(hit, [leg], [saved], [Outcome(call_id=hit.id, name="c", value=1.0, source=Source.CHECK)])
    total = costs(ledger, Question()).total
    assert (total.sums.incremental_nano_usd, total.sums.avoided_nano_usd, total.sums.useful_tokens) == (902, 900, 10)
    assert total.cput.value == pytest.approx(902e-9 / 10)


def test_embeddings_cost_and_give_0_tokens_which_is_no_unknown(ledger):
    """Asked for alone they are the answer; their money is all money, and no useful token is made of them."""
    write(ledger, value=1.0, cost=900, workload="w")
    asked = Call(embed=("a text",), workload="w", episode="e")
    leg = Attempt(
        call_id=asked.id,
        seq=0,
        role=Role.EMBED,
        engine="embedder",
        model="minilm",
        usage=Usage(input_uncached=4, output=0, complete=True),
        started_s=2.0,
        finish=Finish.STOP,
    )
    charge = Charge(call_id=asked.id, seq=0, incremental_nano_usd=100, price_version="v", basis="usage")
    ledger.record_sync(asked, [leg], [charge], [Outcome(episode="e", name="c", value=1.0, source=Source.USER)])
    both = costs(ledger, Question())
    assert (both.total.sums.useful_tokens, both.total.sums.cost_nano_usd) == (5, 1000)
    assert both.total.cput.value == pytest.approx(1000e-9 / 5)
    expect_the_same(both, ledger.calls())
    by_model = costs(ledger, Question(by=("model", "engine")))
    expect_the_same(by_model, ledger.calls())
    (alone,) = [group for group in by_model.groups if group.key == {"model": "minilm", "engine": "embedder"}]
    assert (alone.cput.value, alone.cost_per_useful_answer.value) == (None, pytest.approx(100e-9))


def test_sums_beyond_64_bits_are_exact(ledger):
    amounts = [2**61 + 1, 2**61 + 3, 2**61 + 5, 2**61 + 7, 2**61]
    for amount in amounts:
        write(ledger, cost=amount)
    assert costs(ledger, Question()).total.sums.cost_nano_usd == sum(amounts) > 2**63


def test_a_call_that_costs_more_than_can_be_added_up_is_named(ledger):
    call = write(ledger, cost=2**62)
    ledger.add_charges([Charge(call_id=call.id, seq=0, incremental_nano_usd=2**62, price_version="v", basis="flat")])
    with pytest.raises(InputError, match=rf"call {call.id} come to \$9,223,372,037; allowed: up to \$4,611,686,018"):
        costs(ledger, Question())


def test_an_impossible_time_is_named(ledger):
    write(ledger, started_s=1e18)
    assert costs(ledger, Question()).total.calls == 1
    with pytest.raises(InputError, match=r"a call started at 1e\+15 s; allowed: seconds since 1970"):
        costs(ledger, Question(period="day"))


@pytest.mark.parametrize(
    ("question", "says"),
    [
        (Question(by=("wrkload",)), "unknown key 'wrkload'; did you mean 'workload'"),
        (Question(by=("tag:",)), "unknown key 'tag:'; did you mean 'tag:NAME'"),
        (Question(period="daily"), "unknown period 'daily'; did you mean 'day'"),
        (Question(basis="use"), "unknown basis 'use'; did you mean 'usage'"),
        (Question(threshold=1.5), "threshold is 1.5; allowed: 0 to 1"),
        (Question(zone="Asia/Shangai"), "did you mean 'Asia/Shanghai'"),
        (Question(since_s=5.0, until_s=5.0), "ends before it begins"),
        (Question(workload="sms-spm"), "unknown workload 'sms-spm'; did you mean 'sms-spam'"),
        (Question(model="gpt-4"), "unknown model 'gpt-4'; did you mean 'gpt-4o'"),
        (Question(tenant="x"), "no call in the ledger has a tenant, so none has 'x'"),
        (Question(tags={"lang": "zhh"}), "unknown tag 'lang' 'zhh'; did you mean 'zh'"),
    ],
)
def test_what_a_question_may_not_ask_is_one_sentence(emptied, question, says):
    write(empty(emptied), workload="sms-spam", model="gpt-4o", tags={"lang": "zh"})
    with pytest.raises(InputError, match=re.escape(says)):
        costs(emptied, question)


def test_an_empty_ledger_has_no_groups_and_nothing_spent(ledger):
    answer = costs(ledger, Question(by=("workload", "tag:lang"), period="hour"))
    assert answer.groups == ()
    assert (answer.total.calls, answer.total.sums.cost_nano_usd, answer.total.useful_rate.value) == (0, 0, None)
