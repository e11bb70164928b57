"""The parts of the door on Ray that need no Ray: the policy, an engine replica, the counters, the plan, a hang-up."""

import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from cput.cli.serve import serve
from cput.engines.echo import Echo
from cput.errors import InputError, PromptTooLong
from cput.records import Call, Ending, Finish, Message, Sampling
from cput.serve.on_ray import counters
from cput.serve.on_ray.autoscale import TOKENS, ByTokens, Load, replicas_wanted
from cput.serve.on_ray.engines import Engines, estimated
from cput.serve.on_ray.parts import Broke, Part
from cput.serve.on_ray.plan import Plan, refuse_file
from cput.serve.on_ray.whole import Whole

loads = st.builds(
    Load,
    running=st.integers(0, 500).map(float),
    queued=st.integers(0, 500).map(float),
    tokens=st.none() | st.integers(0, 10**6).map(float),
)


@given(loads, st.integers(1, 64), st.integers(1, 50_000))
def test_the_policy_follows_whichever_load_is_greater(load, calls_each, tokens_each):
    wanted = replicas_wanted(load, calls_each=calls_each, tokens_each=tokens_each)
    assert wanted >= (load.running + load.queued) / calls_each - 1e-6
    if load.tokens and load.running:
        assert wanted >= load.tokens / tokens_each - 1e-6
    more = load._replace(queued=load.queued + calls_each)
    assert replicas_wanted(more, calls_each=calls_each, tokens_each=tokens_each) >= wanted


@pytest.mark.parametrize(
    ("load", "replicas"),
    [
        (Load(0, 0, None), 0),
        (Load(1, 0, None), 1),
        (Load(8, 0, 80), 1),  # eight short calls fill a batch of eight
        (Load(2, 0, 8_000), 4),  # two long ones are four replicas' tokens
        (Load(2, 2, 8_000), 8),  # and two more of their kind wait
        (Load(0, 9, 0), 2),  # of those that wait alone nothing is known but that they do
    ],
)
def test_calls_and_tokens_ask_for_replicas(load, replicas):
    assert replicas_wanted(load, calls_each=8, tokens_each=2_000) == replicas


def test_the_policy_reads_what_ray_reports():
    policy = ByTokens(calls_each=8, tokens_each=2_000)
    ctx = SimpleNamespace(
        total_num_requests=4.0, total_queued_requests=2.0, aggregated_metrics={TOKENS: {"a": 5e3, "b": 3e3}}
    )
    assert policy(ctx) == (8, {})
    ctx = SimpleNamespace(total_num_requests=4.0, total_queued_requests=None, aggregated_metrics=None)
    assert policy(ctx) == (1, {})


class Leaf(Echo):
    """An engine that knows whether it is open."""

    def __init__(self, recipe):
        super().__init__(token_s=recipe[1], context_length=50)
        self.name = recipe[0]
        self.closed = False

    async def start(self):
        pass

    async def aclose(self):
        self.closed = True


def engines(recipe=("a", 0.0), keep_s=60.0):
    opened = []

    def opens(wanted):
        opened.append(Leaf(wanted))
        return opened[-1]

    return Engines(opens, recipe, keep_s), opened


def call(text="one two three", most=512):
    return Call(messages=(Message(role="user", content=text),), sampling=Sampling(max_new_tokens=most))


async def test_an_engine_replica_sends_each_piece_with_what_was_used_so_far_and_the_ending_whole():
    replica, _ = engines()
    *parts, ending = [part async for part in replica.answer(("a", 0.0), call())]
    assert [(part.piece.text, part.used.output, part.used.complete) for part in parts] == [
        ("one ", 1, False),
        ("two ", 2, False),
        ("three", 3, False),
    ]
    assert (type(ending), ending.finish, ending.usage.output, ending.usage.complete) == (Ending, Finish.STOP, 3, True)
    assert replica.record_autoscaling_stats() == {TOKENS: 0}


async def test_an_engines_own_error_and_a_callers_mistake_arrive_as_they_are():
    replica, _ = engines()
    (broke,) = [part async for part in replica.answer(("a", 0.0), call("word " * 60))]
    assert (type(broke), type(broke.error)) == (Broke, PromptTooLong)
    (broke,) = [part async for part in replica.answer(("a", 0.0), Call())]
    assert (broke.error, broke.mistake.startswith("the call has no messages")) == (None, True)


async def test_the_tokens_to_do_fall_as_they_are_done_and_are_gone_with_the_caller():
    replica, _ = engines(("a", 0.01))
    asked = call("one two three", most=100)
    stream = replica.answer(("a", 0.01), asked)
    assert isinstance(await anext(stream), Part)
    assert replica.record_autoscaling_stats() == {TOKENS: 99}
    assert estimated(asked) == pytest.approx(100 + len("one two three") / 4)
    await stream.aclose()
    assert replica.record_autoscaling_stats() == {TOKENS: 0}


async def test_a_call_names_its_engine_and_the_one_before_closes_when_nobody_asks_for_it():
    replica, opened = engines(("a", 0.05), keep_s=0.05)
    await replica.ready()
    late = replica.answer(("a", 0.05), call())
    assert (await anext(late)).piece.text == "one "
    assert (await replica.describe(("b", 0.0))).name == "b"
    assert len([part async for part in late]) == 3  # a call under way ends on the engine that it began with
    async with asyncio.timeout(10):
        while not opened[0].closed:  # noqa: ASYNC110  # an engine tells nobody
            await asyncio.sleep(0.01)
    assert [leaf.closed for leaf in opened] == [True, False]
    await replica.aclose()
    assert opened[1].closed


async def test_an_engine_that_two_ask_for_at_once_is_opened_once():
    replica, opened = engines()
    await asyncio.gather(*(replica.describe(("a", 0.0)) for _ in range(5)))
    assert len(opened) == 1


async def test_what_ray_cancels_hears_a_hang_up_and_ends_by_itself():
    heard, ended = [], []

    async def app(scope, receive, send):
        await receive()
        heard.append(await receive())
        await asyncio.sleep(0.02)  # its clean-up, which nothing tears apart
        ended.append(True)

    first = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive():
        if first:
            return first.pop()
        return await asyncio.Event().wait()

    async def send(message):
        raise AssertionError(message)

    under_way = set()
    request = asyncio.create_task(Whole(app, under_way)({"type": "http", "headers": []}, receive, send))
    await asyncio.sleep(0.02)
    assert len(under_way) == 1
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert (heard, ended, under_way) == ([{"type": "http.disconnect"}], [True], set())


def test_the_counters_of_all_replicas_stand_on_one_page_each_with_its_replica():
    families = []
    for replica, count in (("r1", 2), ("r2", 3)):
        registry = CollectorRegistry()
        Counter("calls", "Calls.", ["model"], registry=registry).labels("m").inc(count)
        families.append(counters.labelled(registry, replica))
    found = {family.name: family for family in text_string_to_metric_families(counters.page(families).decode())}
    totals = {s.labels["replica"]: s.value for s in found["calls"].samples if s.name == "calls_total"}
    assert totals == {"r1": 2.0, "r2": 3.0}


def test_a_file_is_no_ledger_for_several_nodes():
    refuse_file("ledger.db", 1)
    refuse_file("postgresql://anna@db.example/cput", 3)
    with pytest.raises(InputError, match=r"ledger\.db.*has 3 nodes.*--ledger postgresql://"):
        refuse_file("ledger.db", 3)


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ({"replicas": 0}, "--replicas is 0; allowed: 1 or more"),
        ({"replicas": 3, "max_replicas": 2}, r"--max-replicas is 2; allowed: --replicas \(3\) or more"),
        ({"engine_replicas": -1}, "--engine-replicas is -1"),
        ({"engine_cpus": 0.0}, "--engine-cpus is 0; allowed"),
        ({"tokens_per_engine": 0}, "--tokens-per-engine is 0"),
    ],
)
def test_a_plan_that_cannot_be_is_one_sentence(plan, says):
    with pytest.raises(InputError, match=says):
        Plan(**plan)


def test_an_option_for_ray_without_ray_is_one_sentence():
    with pytest.raises(InputError, match="--ray-address is for replicas on Ray; add --on ray"):
        serve("http://x/v1", replicas=2, ray_address="auto")
    with pytest.raises(InputError, match="--replicas is for replicas on Ray"):
        serve("http://x/v1", replicas=2)
