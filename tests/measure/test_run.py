"""Running, judging and reading back, with the echo engine and a real ledger."""

import time

import pytest

from cput.engines.echo import Echo
from cput.errors import EngineError, EngineUnavailable
from cput.ledger.meter import Metered
from cput.ledger.price import DeviceRate, device_rate
from cput.ledger.runs import Run
from cput.ledger.store import Ledger
from cput.measure.arrivals import ClosedLoop
from cput.measure.run import call_id, left_to_do
from cput.measure.session import measure
from cput.protocols import Answer
from cput.records import new_id
from cput.workloads import Workload, load

RATE = DeviceRate(device_rate("36/h", None).usd_per_h, "given", "given:36/h")


def workload(tmp_path, count=10, right=5, slo="") -> Workload:
    lines = "".join(
        f'{{"id": "q{i}", "prompt": "a b c d", "reference": "{"a b c d" if i < right else "x"}", '
        f'"tags": {{"half": "{"first" if i < 5 else "second"}"}}}}\n'
        for i in range(count)
    )
    (tmp_path / "w").mkdir()
    head = f'name = "w"\n[quality]\ncheck = "exact"\n{slo}'
    (tmp_path / "w" / "workload.toml").write_text(head, encoding="utf-8")
    (tmp_path / "w" / "items.jsonl").write_text(lines, encoding="utf-8")
    return load(str(tmp_path / "w"))


def new_run(found: Workload) -> Run:
    return Run(
        id=new_id(),
        kind="measure",
        workload=found.name,
        workload_digest=found.digest,
        engine="echo",
        config={"load": "closed loop, 2 at once"},
        started_s=time.time(),
    )


async def measured(found, engine, ledger, run, *, rate=RATE, items=None):
    leaf = Metered(engine, ledger, run=run.id)
    return await measure(
        found,
        found.items if items is None else items,
        leaf,
        ledger=ledger,
        run=run,
        arrivals=ClosedLoop(2),
        rate=rate,
    )


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "l.db") as book:
        yield book


class Broken(Echo):
    """Fails on some items, or always."""

    def __init__(self, failing=None):
        super().__init__()
        self.failing = failing
        self.error = EngineError("the model fell over")

    def answer(self, call):
        if self.failing is None or call.item in self.failing:
            return Answer(self.raises())
        return super().answer(call)

    async def raises(self):
        raise self.error
        yield


async def test_useful_rate_coverage_tokens_and_cost_are_those_of_the_calls(tmp_path, ledger):
    found = workload(tmp_path)
    run = new_run(found)
    result = await measured(found, Echo(token_s=0.001), ledger, run)
    assert (result.calls, result.failed, result.attempts) == (10, 0, 10)
    assert result.output_tokens == 40
    assert result.useful_rate.value == 0.5
    assert result.coverage == 1.0
    assert result.cost_usd == pytest.approx(result.duration_s * 36 / 3600, abs=1e-9)  # money is whole nano-dollars
    assert result.cput.value == pytest.approx(result.cost_usd / 20)
    assert result.cost_per_useful_answer.value == pytest.approx(result.cost_usd / 5)
    generated, useful = result.waterfall
    assert (generated.output_tokens, useful.output_tokens) == (40, 20)
    assert useful.usd_per_m == pytest.approx(2 * generated.usd_per_m)
    assert {(row.value, row.useful_rate.value) for row in result.slices} == {("first", 1.0), ("second", 0.0)}


async def test_charges_of_a_window_add_up_to_what_was_reserved(tmp_path, ledger):
    found = workload(tmp_path)
    run = new_run(found)
    result = await measured(found, Echo(token_s=0.001), ledger, run)
    used = sum(c.incremental_nano_usd for record in ledger.calls(run=run.id) for c in record.charges)
    idle = sum(charge.incremental_nano_usd for charge in ledger.idle_charges(run.id))
    assert used + idle == pytest.approx(result.cost_usd * 1e9, abs=2)


async def test_without_a_rate_the_metric_is_in_device_seconds_and_money_is_unknown(tmp_path, ledger):
    found = workload(tmp_path)
    result = await measured(found, Echo(token_s=0.001), ledger, new_run(found), rate=device_rate(None, None))
    assert result.cost_usd is None
    assert result.cput_unit == "device-seconds"
    assert result.cput.value == pytest.approx(result.duration_s / 20, abs=1e-9)
    assert result.waterfall[0].usd_per_m is None


async def test_a_failed_call_is_a_useless_one_and_the_run_goes_on(tmp_path, ledger):
    found = workload(tmp_path)
    run = new_run(found)
    result = await measured(found, Broken({"q0", "q7"}), ledger, run)
    assert (result.calls, result.failed) == (10, 2)
    assert result.useful_rate.value == 0.4
    assert {item.id for item in left_to_do(found, ledger, run.id, found.items)} == {"q0", "q7"}


async def test_a_resume_asks_failed_calls_again_under_the_same_id(tmp_path, ledger):
    found = workload(tmp_path)
    run = new_run(found)
    await measured(found, Broken({"q0"}), ledger, run)
    result = await measured(found, Echo(), ledger, run)
    assert (result.calls, result.failed, result.attempts) == (10, 0, 11)
    assert result.useful_rate.value == 0.5
    again = next(record for record in ledger.calls(run=run.id) if record.call.item == "q0")
    assert again.call.id == call_id(run.id, "q0")
    assert [attempt.seq for attempt in again.attempts] == [0, 1]


async def test_an_engine_that_is_gone_stops_the_run_and_keeps_what_is_done(tmp_path, ledger):
    found = workload(tmp_path, count=60)
    run = new_run(found)
    broken = Broken({f"q{i}" for i in range(10, 60)})
    broken.error = EngineUnavailable("the engine is gone")
    with pytest.raises(EngineUnavailable, match="gone"):
        await measured(found, broken, ledger, run)
    done = {record.call.item for record in ledger.calls(run=run.id) if record.outcomes}
    assert {f"q{i}" for i in range(10)} <= done
    assert len(done) < 60


async def test_goodput_counts_calls_within_every_limit(tmp_path, ledger):
    found = workload(tmp_path, slo="[slo]\ne2e_s = 0.000001\n")
    result = await measured(found, Echo(token_s=0.001), ledger, new_run(found))
    assert result.goodput_share == 0.0
    assert [level.label for level in result.waterfall] == ["generated", "within SLO", "useful", "useful within SLO"]
    assert result.waterfall[1].usd_per_m is None


async def test_more_items_go_on_with_the_same_run(tmp_path, ledger):
    found = workload(tmp_path)
    run = new_run(found)
    first = await measured(found, Echo(), ledger, run, items=found.items[:4])
    whole = await measured(found, Echo(), ledger, run)
    assert (first.calls, whole.calls, whole.attempts) == (4, 10, 10)


async def test_an_item_that_nobody_judges_is_done_once_it_was_answered_and_not_when_it_was_hung_up(tmp_path, ledger):
    (tmp_path / "w.jsonl").write_text('{"id": "a", "prompt": "x y"}\n{"id": "b", "prompt": "x y"}\n', encoding="utf-8")
    found = load(str(tmp_path / "w.jsonl"))
    run = new_run(found)
    leaf = Metered(Echo(token_s=0.01), ledger, run=run.id)
    ledger.start_run(run)
    first, second = (leaf.answer(found.call(item, id=call_id(run.id, item.id))) for item in found.items)
    await first.text()
    async for _ in second:
        break
    await second.aclose()
    assert [item.id for item in left_to_do(found, ledger, run.id, found.items)] == ["b"]
    result = await measured(found, Echo(), ledger, run)
    assert (result.calls, result.attempts, result.coverage) == (2, 3, 0.0)
