"""A router asks one engine, chosen from the request alone, and says what it expected of each."""

import asyncio
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from legs import Kept, Says, ask, heard, text_of

from cput.errors import EngineUnavailable, InputError, PromptTooLong, UpstreamError
from cput.ledger.meter import Metered
from cput.policy.cascade import Confidence, Leg
from cput.policy.cascade.plan import Plan
from cput.policy.cascade.router import CascadeRouter
from cput.policy.cascade.spread import Spread
from cput.policy.decide import Bar, Worth
from cput.policy.explain import Explained
from cput.policy.routed import Routed
from cput.records import Finish, Sampling
from cput.testing import EchoEngine, check_engine


class Fixed:
    """An estimator that expects the same of every prompt, and keeps what it was asked."""

    engines = ("small", "large")

    def __init__(self, quality=(0.6, 0.9), cost=(0.001, 0.1)):
        self.quality, self.cost = quality, cost
        self.asked, self.threads = [], []

    def estimate(self, prompts, tags=None):
        self.asked.append((list(prompts), tags))
        self.threads.append(threading.current_thread())
        shape = (len(prompts), 1)
        return SimpleNamespace(quality=np.tile(self.quality, shape), cost_usd=np.tile(self.cost, shape))


def router(small, large, *, usd=10.0, estimator=None, **options):
    kept = Kept()
    by_name = {"small": Metered(small, kept), "large": Metered(large, kept)}
    return kept, Routed(estimator or Fixed(), by_name, Worth(usd=usd), policy="route", **options)


@pytest.mark.parametrize("in_thread", [True, False])
async def test_a_router_keeps_the_contract(in_thread):
    by_name = {"small": EchoEngine(token_s=0.0005), "large": EchoEngine()}
    await check_engine(lambda: Explained(Routed(Fixed(), by_name, Worth(usd=10.0), in_thread=in_thread), Kept()))


async def test_a_cascade_router_keeps_the_contract():
    plan = Plan(engines=("small", "large"), usd=10.0, spread=Spread.none(2))

    def make():
        legs = {name: Leg(engine=EchoEngine(token_s=0.0005), rule=Confidence()) for name in plan.engines}
        return CascadeRouter(Fixed(), legs, plan)

    await check_engine(make, without=("hang_up", "hang_up_elsewhere"))  # it is held back whole


@pytest.mark.parametrize(("usd", "chosen"), [(0.0, "large"), (10.0, "small")])
async def test_the_engine_that_is_worth_most_answers_and_all_are_explained(usd, chosen):
    kept, engine = router(Says("small", "s"), Says("large", "l"), usd=usd)
    pieces, ending = await heard(engine, ask())
    assert (text_of(pieces), kept.legs) == (chosen[0], [(0, chosen, "stop")])
    assert (ending.grounds.chosen, ending.grounds.reason, ending.grounds.policy) == (chosen, "router", "route")
    assert [(o.engine, o.score, o.cost_usd, o.asked) for o in ending.grounds.options] == [
        ("small", 0.6, 0.001, chosen == "small"),
        ("large", 0.9, 0.1, chosen == "large"),
    ]


async def test_estimating_is_done_in_a_thread_from_the_last_turn_and_the_tags():
    estimator = Fixed()
    _, engine = router(Says("small"), Says("large"), estimator=estimator)
    await heard(engine, ask("how far?", tags={"lang": "en"}))
    assert estimator.asked == [(["how far?"], {"lang": ("en",)})]
    assert estimator.threads[0] is not threading.main_thread()


async def test_where_the_choice_fails_the_next_one_answers():
    kept, engine = router(Says("small", error=EngineUnavailable("gone")), Says("large", "l"))
    pieces, ending = await heard(engine, ask())
    assert (text_of(pieces), ending.grounds.chosen, ending.attempt) == ("l", "large", 1)
    assert ending.grounds.options[0].note == "failed: no connection, or a broken one"
    assert kept.legs == [(0, "small", "error"), (1, "large", "stop")]


async def test_a_prompt_too_long_for_the_choice_goes_to_the_next_and_a_wrong_request_does_not():
    _, engine = router(Says("small", error=PromptTooLong("9 words")), Says("large", "l"))
    assert await engine.answer(ask()).text() == "l"
    large = Says("large")
    _, engine = router(Says("small", error=UpstreamError("no such field", status=400)), large)
    with pytest.raises(UpstreamError, match="no such field"):
        await engine.answer(ask()).text()
    assert large.calls == []


async def test_where_all_fail_one_error_says_so():
    _, engine = router(Says("small", error=EngineUnavailable("a")), Says("large", error=EngineUnavailable("b")))
    with pytest.raises(EngineUnavailable, match="none of 2 upstreams answered: small: a; large: b"):
        await engine.answer(ask()).text()


async def test_a_hang_up_reaches_the_engine_and_the_choice_is_on_record():
    small, call = Says("small", "a b", waits_at=1), ask()
    kept, engine = router(small, Says("large"))
    answer = Explained(engine, kept).answer(call)
    await anext(answer)
    await answer.aclose()
    assert (answer.ending.finish, answer.ending.attempt, small.hung_up) == (Finish.CANCELLED, 0, 1)
    assert [(call_id, grounds.chosen) for call_id, grounds in kept.grounds] == [(call.id, "small")]


async def test_a_hang_up_while_it_is_being_estimated_asks_nobody():
    released = threading.Event()

    class Slow(Fixed):
        def estimate(self, prompts, tags=None):
            released.wait(5)
            return super().estimate(prompts, tags)

    small = Says("small")
    kept, engine = router(small, Says("large"), estimator=Slow())
    answer = Explained(engine, kept).answer(ask())
    reader = asyncio.create_task(answer.text())
    await asyncio.sleep(0.01)
    await answer.aclose()
    released.set()
    assert await reader == ""
    assert (small.calls, kept.attempts, kept.grounds) == ([], [], [])


def cascade_router(small, large, *, usd=1.0, estimator=None):
    """Scores lie evenly around their estimates, so that seeing one is worth something."""
    kept = Kept()
    spread = Spread(
        differences=np.tile(np.linspace(-0.4, 0.4, 5), (2, 1, 1)), edges=np.zeros((2, 0)), covariance=np.eye(2)
    )
    plan = Plan(engines=("small", "large"), usd=usd, spread=spread)
    legs = {
        "small": Leg(engine=Metered(small, kept), rule=Confidence()),
        "large": Leg(engine=Metered(large, kept), rule=Confidence()),
    }
    return kept, CascadeRouter(estimator or Fixed(), legs, plan, policy="plan", in_thread=False)


@pytest.mark.parametrize(("p", "asked", "chosen"), [(0.95, 1, "small"), (0.2, 2, "large")])
async def test_a_cascade_router_asks_on_only_where_that_is_worth_it(p, asked, chosen):
    kept, engine = cascade_router(
        Says("small", "s", p=p), Says("large", "l", p=0.9), usd=1.0, estimator=Fixed((0.9, 0.9))
    )
    pieces, ending = await heard(engine, ask())
    assert (len(kept.legs), text_of(pieces), ending.grounds.chosen) == (asked, chosen[0], chosen)
    assert ending.grounds.reason == ("stop_rule" if asked == 1 else "last_leg")
    assert all(piece.logprobs == () for piece in pieces)
    assert ending.attempt == asked - 1


async def test_a_cascade_router_gives_the_better_answer_not_the_later():
    kept, engine = cascade_router(Says("small", "s", p=0.5), Says("large", "l", p=0.3), estimator=Fixed((0.9, 0.9)))
    pieces, ending = await heard(engine, ask())
    assert (text_of(pieces), ending.attempt, len(kept.legs)) == ("s", 0, 2)


async def test_a_cascade_router_passes_over_an_engine_that_fails():
    _, engine = cascade_router(
        Says("small", error=EngineUnavailable("gone")), Says("large", "a b", waits_at=1), estimator=Fixed((0.9, 0.9))
    )
    answer = engine.answer(ask())
    assert (await anext(answer)).text == "a "  # nobody else is left: it is streamed
    await answer.aclose()
    assert answer.ending.grounds.chosen == "large"
    _, engine = cascade_router(*(Says(name, error=EngineUnavailable(name)) for name in ("small", "large")))
    with pytest.raises(EngineUnavailable, match="none of 2"):
        await engine.answer(ask()).text()


async def test_a_cascade_router_hands_on_what_no_rule_can_read():
    kept, engine = cascade_router(Says("small"), Says("large"))
    _, ending = await heard(engine, ask(sampling=Sampling(echo=True)))
    assert (ending.grounds.chosen, ending.grounds.reason, len(kept.legs)) == ("large", "router", 1)


async def test_what_no_rule_can_read_falls_back_too_and_the_grounds_name_who_answered():
    _, engine = cascade_router(Says("small"), Says("large", error=EngineUnavailable("gone")))
    _, ending = await heard(engine, ask(sampling=Sampling(echo=True)))
    assert (ending.grounds.chosen, ending.grounds.options[1].note) == (
        "small",
        "failed: no connection, or a broken one",
    )


def test_a_wrong_router_is_one_sentence():
    with pytest.raises(InputError, match="allowed: 1 or more"):
        Routed(Fixed(), {}, Worth(usd=0.0))
    with pytest.raises(InputError, match="unknown engine of the estimator 'huge'"):
        Routed(Fixed(), {"huge": Says("huge")}, Worth(usd=0.0))
    for usd in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="allowed: 0 or more"):
            Worth(usd=usd)
        with pytest.raises(InputError, match="allowed: 0 or more"):
            Plan(engines=("a",), usd=usd, spread=Spread.none(1))
    plan = Plan(engines=("small", "large"), usd=0.0, spread=Spread.none(2))
    with pytest.raises(InputError, match="unknown engine of the plan 'large'"):
        CascadeRouter(Fixed(), {"small": Leg(engine=Says("a"), rule=Confidence())}, plan)
    with pytest.raises(InputError, match="leg 'small' has no rule"):
        CascadeRouter(Fixed(), {name: Leg(engine=Says(name)) for name in plan.engines}, plan)


unit = st.one_of(st.just(float("nan")), st.integers(0, 4).map(lambda at: at / 4))


@given(
    quality=arrays(float, (5, 3), elements=unit), cost=arrays(float, (5, 3), elements=unit), usd=st.sampled_from([0, 1])
)
def test_of_what_is_known_the_most_worth_is_chosen_and_of_two_the_cheaper(quality, cost, usd):
    for row, at in enumerate(Worth(usd=float(usd))(quality, cost)):
        value = quality[row] - (usd * cost[row] if usd else 0)
        if np.isnan(value).all():
            continue
        assert value[at] == np.nanmax(value)
        rivals = [cost[row, other] for other in range(3) if value[other] == value[at]]
        assert not any(rival < cost[row, at] for rival in rivals)


@given(
    quality=arrays(float, (5, 3), elements=st.integers(0, 4).map(lambda at: at / 4)),
    bar=st.sampled_from([0.0, 0.5, 2.0]),
)
def test_the_cheapest_that_reaches_the_bar_is_chosen_else_the_best(quality, bar):
    cost = np.tile([3.0, 1.0, 2.0], (5, 1))
    for row, at in enumerate(Bar(quality=bar)(quality, cost)):
        reached = [other for other in (1, 2, 0) if quality[row, other] >= bar]
        assert at == reached[0] if reached else quality[row, at] == quality[row].max()
