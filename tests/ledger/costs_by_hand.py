"""The slow way to what a ledger's calls cost, call by call, and random ledgers to hold the quick way against it."""

from collections.abc import Callable, Sequence
from typing import Any

from cput.ledger import groups
from cput.ledger.charged import charged, in_usd
from cput.ledger.facts import Fact, fact_of
from cput.ledger.moments import cost_per_useful_answer_of, cput_of, moments_of
from cput.ledger.query import Costs, Group
from cput.ledger.runs import CallRecord
from cput.ledger.store import Ledger
from cput.records import Attempt, Call, Charge, Finish, Outcome, Role, Source, Usage

Pick = Callable[[Sequence[Any]], Any]

DAY_S = 86_400.0
START_S = 1_762_000_000.0  # 2025-11-01T12:26:40Z


def facts(records: Sequence[CallRecord], threshold: float = 1.0) -> list[Fact]:
    return [fact_of(record, cost=in_usd(charged(record)), threshold=threshold) for record in records]


def expect_the_same(costs: Costs, records: Sequence[CallRecord]) -> None:
    """Hold an answer on the usage basis against the same calls read one by one."""
    by_hand = groups.by(facts(records, costs.question.threshold), costs.question.keys)
    by_id = {record.call.id: record for record in records}
    assert [group.key for group in costs.groups] == [group.key for group in by_hand]
    for quick, slow in zip(costs.groups, by_hand, strict=True):
        assert quick.calls == slow.calls
        assert quick.unpriced == slow.unpriced
        assert quick.sums.cost_nano_usd == slow.cost_nano
        assert quick.coverage == slow.coverage
        assert quick.useful_rate == slow.useful_rate
        same(quick.cput, cput_of(moments_of(slow.facts)))
        same(quick.cost_per_useful_answer, cost_per_useful_answer_of(moments_of(slow.facts)))
        legs_add_up(quick, [by_id[fact.id] for fact in slow.facts])


def legs_add_up(group: Group, records: Sequence[CallRecord]) -> None:
    legs = [leg for record in records for leg in record.attempts]
    charges = [charge for record in records for charge in record.charges]
    inputs, outputs = [leg.usage.input for leg in legs], [leg.usage.output for leg in legs]
    assert group.sums.attempts == len(legs)
    assert group.sums.input_tokens == sum(tokens or 0 for tokens in inputs)
    assert group.sums.input_uncounted == inputs.count(None)
    assert group.sums.output_tokens == sum(tokens or 0 for tokens in outputs)
    assert group.sums.output_uncounted == outputs.count(None)
    assert group.sums.incremental_nano_usd == sum(charge.incremental_nano_usd or 0 for charge in charges)
    assert group.sums.avoided_nano_usd == sum(charge.avoided_nano_usd for charge in charges)


def same(quick, slow) -> None:
    for one, other in zip(quick, slow, strict=True):
        assert one == other or abs(one - other) <= 1e-9 * abs(other), (quick, slow)


def some_call(pick: Pick, number: int) -> Call:
    return Call(
        id=f"call {number}",
        workload=pick([None, "a", "b"]),
        policy=pick([None, "p"]),
        tenant=pick([None, "t", "u"]),
        external_key=pick([None, None, "k1", "k2"]),
        episode=pick([None, None, "e1", "e2"]),
        tags=pick([{}, {"lang": "en"}, {"lang": "zh", "size": "big"}]),
    )


def some_attempts(pick: Pick, call: Call) -> list[Attempt]:
    return [
        Attempt(
            call_id=call.id,
            seq=seq,
            role=pick([Role.SERVE, Role.SERVE, Role.HEDGE, Role.JUDGE, Role.SHADOW, Role.EMBED]),
            engine=pick(["openai", "openvino"]),
            model=pick([None, "m1", "m2"]),
            provider=pick([None, "azure"]),
            usage=Usage(
                input_uncached=pick([None, 0, 7]),
                input_cache_read=pick([None, 3]),
                input_cache_write=pick([None, 2]),
                output=pick([None, 0, 5, 11]),
                engine_s=pick([None, 0.25, 1.5]),
            ),
            started_s=START_S + pick([0.0, 0.4, 1.0, 9.5]) * DAY_S,
            finish=pick([Finish.STOP, Finish.STOP, Finish.LENGTH, Finish.CANCELLED, Finish.ERROR]),
        )
        for seq in range(pick([0, 1, 1, 2, 2, 3]))
    ]


def some_charges(pick: Pick, calls: int) -> list[Charge]:
    return [
        Charge(
            call_id=f"call {pick(range(calls))}",
            seq=pick([None, 0, 0, 0, 1, 2]),
            incremental_nano_usd=pick([None, 0, 1, 40, 977, 977_000_000_007]),
            avoided_nano_usd=pick([0, 0, 13]),
            price_version=pick(["v1", "v2"]),
            basis=pick(["usage", "usage", "flat"]),
        )
        for _ in range(pick([1, 2, 6]))
    ]


def some_outcomes(pick: Pick, calls: int) -> list[Outcome]:
    return [
        Outcome(
            id=f"o{pick(range(3 * calls))}",
            call_id=about if (about := pick([None, f"call {pick(range(calls))}"])) else None,
            external_key=None if about and pick([True, False]) else pick(["k1", "k2", "nobody's"]),
            episode=pick([None, None, "e1", "e2"]),
            attempt=pick([None, None, 0, 1, 2]),
            name=pick(["check", "thumbs"]),
            value=pick([0.0, 0.5, 1.0, 1 / 3, 0.1 + 0.2]),
            source=pick(list(Source)),
            observed_s=float(pick([1, 2, 3])),
            detail=pick([{}, {}, {"retracted": True}, {"retracted": "no"}, {"why": '"retracted": true'}]),
        )
        for _ in range(pick([1, 3]))
    ]


def write_some(ledger: Ledger, pick: Pick, calls: int, look: Callable[[], None]) -> None:
    """Write calls, charges and outcomes in any order, some of them twice, and ``look`` in between now and then."""
    unwritten = list(range(calls))
    for step in range(4 * calls):
        match pick(["call", "call", "charges", "outcomes", "look"]):
            case "call" if unwritten:
                call = some_call(pick, unwritten.pop(0))
                ledger.record_sync(call, some_attempts(pick, call), run=pick([None, "r1", "r2"]))
            case "charges":
                ledger.add_charges(some_charges(pick, calls), repricing=pick([None, f"again {step}"]))
            case "outcomes":
                ledger.add_outcomes(some_outcomes(pick, calls))
            case "look":
                look()
    look()
