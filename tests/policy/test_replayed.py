"""What a policy would have done on a record is what it does live: the same engines asked, the same answer, for every
prompt."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from legs import Kept, Says, ask, heard

from cput.errors import InputError
from cput.ledger.meter import Metered
from cput.policy.cascade import Cascade, Confidence, Leg, Of, Otherwise, Passes
from cput.policy.cascade.plan import Lookahead, Plan
from cput.policy.cascade.router import CascadeRouter
from cput.policy.cascade.spread import Spread
from cput.policy.decide import Bar, Worth
from cput.policy.estimates import Expected
from cput.policy.recorded import Recorded
from cput.policy.replayed import columns, replayed
from cput.policy.routed import Routed

NAMES = ("small", "middle", "large")


class Table:
    """An estimator that knows a table of expectations by prompt."""

    engines = ("large", "small", "middle")  # not the record's order

    def __init__(self, table, quality, cost):
        self._rows = {prompt: at for at, prompt in enumerate(table.prompts)}
        places = [NAMES.index(name) for name in self.engines]
        self._quality, self._cost = quality[:, places], cost[:, places]

    def estimate(self, prompts, tags=None):
        at = [self._rows[prompt] for prompt in prompts]
        return SimpleNamespace(quality=self._quality[at], cost_usd=self._cost[at])


def record(seed, rows=12):
    rng = np.random.default_rng(seed)
    items = tuple(f"i{at}" for at in range(rows))
    answers = tuple(tuple(rng.choice(["yes", "no", "perhaps so"]) for _ in NAMES) for _ in range(rows))
    grid = rng.integers(1, 9, size=(rows, 3)) / 8  # ties are common
    return Recorded(
        engines=NAMES,
        items=items,
        prompts=tuple(f"question {item}" for item in items),
        quality=rng.integers(0, 2, size=(rows, 3)).astype(float),
        cost_usd=np.tile([0.001, 0.01, 0.1], (rows, 1)) * rng.uniform(0.5, 2, size=(rows, 1)),
        answers=answers,
        confidence=grid,
    ), rng


def engines(table, kept):
    """Live engines that answer as the record did, with the confidence that it has."""
    return {
        name: Metered(
            Says(
                name,
                answers={item: row[at] for item, row in zip(table.items, table.answers, strict=True)},
                by_item=dict(zip(table.items, table.confidence[:, at], strict=True)),
            ),
            kept,
        )
        for at, name in enumerate(NAMES)
    }


async def agrees(make, table):
    """Hold a live policy to what it says that it would have done."""
    kept = Kept()
    policy = make(engines(table, kept))
    found = replayed(policy, table)
    for row, (item, prompt) in enumerate(zip(table.items, table.prompts, strict=True)):
        call = ask(prompt, item=item)
        _, ending = await heard(policy, call)
        asked = {attempt.engine for attempt in kept.attempts if attempt.call_id == call.id}
        assert asked == {name for name, one in zip(NAMES, found.legs[row], strict=True) if one}
        assert ending.grounds.chosen == NAMES[found.given[row]]
        assert {option.engine for option in ending.grounds.options if option.asked} == asked
        cost = sum(table.cost_usd[row, NAMES.index(name)] for name in asked)
        assert found.cost_usd[row] == pytest.approx(cost)
        assert found.quality[row] == table.quality[row, found.given[row]]


seeds = st.integers(0, 10_000)
bars = st.tuples(*[st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, float("inf")])] * 3)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, bars=bars, otherwise=st.sampled_from(Otherwise), of=st.sampled_from([Of.MEAN, Of.MIN, Of.FIRST]))
async def test_a_cascade_does_live_what_it_says_of_a_record(seed, bars, otherwise, of):
    table, _ = record(seed)

    def make(by_name):
        legs = [Leg(engine=by_name[n], rule=Confidence(of), threshold=b) for n, b in zip(NAMES, bars, strict=True)]
        return Cascade(legs, otherwise=otherwise)

    await agrees(make, table)


@settings(max_examples=15, deadline=None)
@given(seed=seeds)
async def test_a_cascade_with_a_check_does_too(seed):
    table, _ = record(seed)
    rule = Passes(lambda call, text: text == "yes" and call.item is not None)
    await agrees(
        lambda by_name: Cascade(
            [
                Leg(engine=by_name["small"], rule=rule),
                Leg(engine=by_name["middle"], rule=rule),
                Leg(engine=by_name["large"]),
            ]
        ),
        table,
    )


@settings(max_examples=15, deadline=None)
@given(seed=seeds, decide=st.sampled_from([Worth(usd=0.0), Worth(usd=3.0), Bar(quality=0.5), Bar(quality=9.0)]))
async def test_a_router_does_too(seed, decide):
    table, rng = record(seed)
    estimator = Table(table, rng.integers(0, 5, size=(12, 3)) / 4, table.cost_usd)
    await agrees(lambda by_name: Routed(estimator, by_name, decide, in_thread=False), table)


@settings(max_examples=25, deadline=None)
@given(
    seed=seeds,
    usd=st.sampled_from([0.0, 1.0, 10.0]),
    linked=st.booleans(),
    lookahead=st.sampled_from(Lookahead),
)
async def test_a_cascade_router_does_too(seed, usd, linked, lookahead):
    table, rng = record(seed)
    ahead = Expected(np.clip(table.confidence + rng.normal(scale=0.2, size=(12, 3)), 0, 1), table.cost_usd)
    plan = Plan(
        engines=NAMES, usd=usd, spread=Spread.fit(ahead.quality, table.confidence, linked=linked), lookahead=lookahead
    )
    estimator = Table(table, ahead.quality, table.cost_usd)
    await agrees(
        lambda by_name: CascadeRouter(
            estimator,
            {name: Leg(engine=engine, rule=Confidence(Of.MEAN)) for name, engine in by_name.items()},
            plan,
            in_thread=False,
        ),
        table,
    )


def test_columns_are_what_certify_takes():
    table, _ = record(1)
    legs = engines(table, Kept())
    policies = [
        Cascade([Leg(engine=legs["small"], rule=Confidence(), threshold=bar), Leg(engine=legs["large"])])
        for bar in (float("inf"), 0.5, 0.0)
    ]
    quality, cost = columns(policies, table)
    assert quality.shape == cost.shape == (12, 3)
    assert (cost[:, 0] > cost[:, 2]).all()
    assert (quality[:, 2] == table.quality[:, 0]).all()


def test_what_a_record_lacks_is_named():
    table, _ = record(1)
    legs = engines(table, Kept())
    bare = Recorded(
        engines=NAMES, items=table.items, prompts=table.prompts, quality=table.quality, cost_usd=table.cost_usd
    )
    for rule, says in ((Confidence(), "keeps none; record it with log-prob"), (Passes(lambda *_: True), "their texts")):
        with pytest.raises(InputError, match=says):
            replayed(Cascade([Leg(engine=legs["small"], rule=rule), Leg(engine=legs["large"])]), bare)
    with pytest.raises(InputError, match="unknown recorded engine 'tiny'"):
        replayed(Cascade([Leg(engine=Says("tiny"))]), table)
