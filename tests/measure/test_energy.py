"""A reserved window's joules: counted through wrap-arounds, else estimated and said so, else unknown."""

import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import select

from cput.engines.echo import Echo
from cput.errors import EngineUnavailable
from cput.ledger import schema
from cput.ledger.energy import Basis, NominalPower, energy_terms, read_energy
from cput.ledger.meter import Metered
from cput.ledger.price import DeviceRate
from cput.ledger.runs import Run, Window
from cput.ledger.snapshot import snapshot
from cput.ledger.store import Ledger
from cput.measure.arrivals import ClosedLoop
from cput.measure.energy import Gauge, Meter, machine_meter, nvml_counters, powercap_counters
from cput.measure.energy.powercap import Found, Zone
from cput.measure.read import measurement
from cput.measure.session import measure
from cput.protocols import Answer
from cput.report.card import card
from cput.report.energy import lines
from cput.report.html import html
from cput.workloads import load

WINDOW = Window(run="r", started_s=0.0)
NOTHING = Found((), "no counter")
NO_GPU = Found((), None)
RANGE_UJ = 262_143_328_850


def zone(root: Path, name: str, says: str, uj: int = 0, range_uj: int = RANGE_UJ) -> Path:
    """Make a powercap zone as the kernel lays it out."""
    folder = root / name
    folder.mkdir(parents=True)
    for file, content in (("name", says), ("energy_uj", uj), ("max_energy_range_uj", range_uj)):
        (folder / file).write_text(f"{content}\n", encoding="ascii")
    return folder


def turn(folder: Path, uj: int) -> None:
    (folder / "energy_uj").write_text(f"{uj}\n", encoding="ascii")


def server(root: Path) -> dict[str, Path]:
    """Two sockets with cores, uncore and memory, a platform zone, and the memory-mapped twin of socket 0."""
    return {
        "socket0": zone(root, "intel-rapl:0", "package-0", 1_000_000),
        "core0": zone(root, "intel-rapl:0:0", "core", 7),
        "dram0": zone(root, "intel-rapl:0:1", "dram", 500_000),
        "socket1": zone(root, "intel-rapl:1", "package-1", 90_000_000),
        "dram1": zone(root, "intel-rapl:1:0", "dram", 9),
        "psys": zone(root, "intel-rapl:2", "psys", 3),
        "twin": zone(root, "intel-rapl-mmio:0", "package-0", 1_000_000),
    }


def test_packages_and_their_memory_are_counted_and_what_lies_within_or_around_is_not(tmp_path):
    server(tmp_path)
    found = powercap_counters(tmp_path)
    assert [counter.component for counter in found.counters] == ["package-0", "dram-0", "package-1", "dram-1"]
    assert found.missing is None


def test_a_counter_counts_from_when_it_is_opened(tmp_path):
    folder = zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    counter = Zone(folder, "package-0")
    turn(folder, 7_500_000)
    assert counter.joules() == 2.5
    assert counter.joules() == 2.5


def test_a_counter_that_wraps_around_goes_on(tmp_path):
    folder = zone(tmp_path, "intel-rapl:0", "package-0", 90, range_uj=100)
    counter = Zone(folder, "package-0")
    counted = []
    for uj in (95, 5, 99, 3, 3):
        turn(folder, uj)
        counted.append(round(counter.joules() * 1e6))
    assert counted == [5, 15, 109, 113, 113]


def test_a_small_range_is_read_more_often_than_it_can_wrap(tmp_path):
    small = Zone(zone(tmp_path, "intel-rapl:0", "package-0", 0, range_uj=20_000_000_000), "p")
    large = Zone(zone(tmp_path, "intel-rapl:1", "package-1", 0, range_uj=RANGE_UJ), "p")
    assert small.period_s * 2000 <= 20_000
    assert large.period_s == 30.0


def test_dies_that_show_the_whole_sockets_counter_are_counted_once(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0-die-0", 5_000_000_000)
    zone(tmp_path, "intel-rapl:1", "package-0-die-1", 5_000_000_900)
    zone(tmp_path, "intel-rapl:2", "package-1-die-0", 5_000_000_000)
    assert [c.component for c in powercap_counters(tmp_path).counters] == ["package-0-die-0", "package-1-die-0"]


def test_dies_with_counters_of_their_own_are_all_counted(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0-die-0", 5_000_000_000)
    zone(tmp_path, "intel-rapl:1", "package-0-die-1", 8_000_000_000)
    assert len(powercap_counters(tmp_path).counters) == 2


def test_why_there_is_no_counter_is_said(tmp_path, monkeypatch):
    assert "no RAPL counter" in powercap_counters(tmp_path / "none").missing
    assert "no RAPL counter" in powercap_counters(tmp_path).missing
    folder = zone(tmp_path, "intel-rapl:0", "package-0")
    turn(folder, "x")
    assert "cannot be read" in powercap_counters(tmp_path).missing
    denied = PermissionError(13, "Permission denied", str(folder / "energy_uj"))
    monkeypatch.setattr(Zone, "raw_uj", lambda _: (_ for _ in ()).throw(denied))
    assert powercap_counters(tmp_path).missing == (
        f"RAPL may be read by root alone. Run: sudo chmod a+r {folder / 'energy_uj'}"
    )


class Turning:
    """A counter that the test turns."""

    component, kind, source, period_s = "package-0", "cpu", "RAPL package-0", 0.01

    def __init__(self):
        self.now, self.read, self.broken = 100.0, 0, False

    def joules(self):
        self.read += 1
        if self.broken:
            raise OSError("gone")
        return self.now


def test_a_gauge_reads_while_the_window_is_open_and_once_more_at_its_end():
    counter = Turning()
    gauge = Gauge([counter])
    deadline = time.monotonic() + 10
    while counter.read < 4 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert counter.read >= 4
    counter.now = 107.5
    assert gauge.stop()[0].joules == 7.5
    counter.now = 200.0
    assert gauge.stop()[0].joules == 7.5


def test_a_counter_that_fails_on_the_way_is_unknown_and_not_smaller():
    counter = Turning()
    gauge = Gauge([counter])
    counter.broken = True
    (counted,) = gauge.stop()
    assert counted.joules is None
    assert counted.why == "RAPL package-0 could not be read to the end (gone)"


class Nvml:
    """NVML as nvidia-ml-py binds it, with two GPUs, one of them too old for the counter."""

    class NVMLError(Exception):
        pass

    def __init__(self, count=2):
        self.count, self.mj = count, {0: 1_000, 1: 500_000}

    def nvmlInit(self):
        if self.count < 0:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetCount(self):
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetName(self, handle):
        return [b"NVIDIA L4", "NVIDIA A100"][handle]

    def nvmlDeviceGetUUID(self, handle):
        return f"GPU-{handle}{handle}-aa"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        if self.mj[handle] is None:
            raise self.NVMLError("Not Supported")
        return self.mj[handle]


def test_gpus_are_counted_in_joules_from_when_they_are_opened():
    nvml = Nvml()
    found = nvml_counters(nvml, None)
    nvml.mj = {0: 3_500, 1: 500_000}
    assert [(c.component, c.joules()) for c in found.counters] == [("nvidia-0", 2.5), ("nvidia-1", 0.0)]
    assert found.counters[0].source == "NVML nvidia-0 (NVIDIA L4)"
    nvml.mj[0] = None
    with pytest.raises(OSError, match="NVML nvidia-0"):
        found.counters[0].joules()


@pytest.mark.parametrize(
    ("visible", "components"),
    [("1", ["nvidia-1"]), ("GPU-00", ["nvidia-0"]), ("0,1", ["nvidia-0", "nvidia-1"]), ("", [])],
)
def test_only_the_gpus_that_cuda_shows_are_counted(visible, components):
    assert [counter.component for counter in nvml_counters(Nvml(), visible).counters] == components


def test_a_gpu_that_cannot_be_counted_is_said_and_one_that_is_not_there_is_not():
    old = Nvml()
    old.mj[0] = None
    found = nvml_counters(old, None)
    assert [counter.component for counter in found.counters] == ["nvidia-1"]
    assert found.missing == "GPU 0 has no energy counter (Not Supported)"
    assert nvml_counters(Nvml(-1), None) == nvml_counters(Nvml(0), None) == ((), None)


def test_without_nvmls_binding_a_machine_with_a_driver_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr("cput.measure.energy.nvml.DRIVER", tmp_path / "none")
    assert nvml_counters() == ((), None)
    monkeypatch.setattr("cput.measure.energy.nvml.DRIVER", tmp_path)
    assert "pip install 'cput[nvml]'" in nvml_counters().missing


def test_what_is_measured_says_what_it_leaves_out():
    meter = Meter(
        cpu=lambda: Found((Turning(),), None),
        gpu=lambda: Found((), "GPU 0 has no energy counter"),
        power=NominalPower(50.0, "TDP"),
    )
    (use,) = meter.start().stop(WINDOW, 2.0)
    assert (use.basis, use.source) == (Basis.MEASURED, "RAPL package-0; not counted: GPU 0 has no energy counter")


def test_a_counted_gpu_beside_a_processor_of_unknown_power_says_that_it_is_the_gpu_alone():
    meter = Meter(cpu=lambda: NOTHING, gpu=lambda: Found((Turning(),), None), power=NominalPower(None, "give --watts"))
    (use,) = meter.start().stop(WINDOW, 2.0)
    assert (use.basis, use.source) == (Basis.MEASURED, "RAPL package-0; not counted: no counter; give --watts")


def test_without_a_counter_nominal_power_times_time_is_an_estimate():
    meter = Meter(cpu=lambda: NOTHING, gpu=lambda: NO_GPU, power=NominalPower(50.0, "TDP of X 100 W x half"))
    (use,) = meter.start().stop(WINDOW, 4.0)
    assert (use.joules, use.basis, use.component) == (200.0, Basis.ESTIMATED, "cpu")
    assert use.source == "TDP of X 100 W x half x window"


def test_a_counted_gpu_and_an_estimated_processor_stand_side_by_side():
    counter = Turning()
    meter = Meter(cpu=lambda: NOTHING, gpu=lambda: Found((counter,), None), power=NominalPower(50.0, "TDP"))
    running = meter.start()
    counter.now += 30.0
    assert [(use.joules, use.basis) for use in running.stop(WINDOW, 2.0)] == [
        (30.0, Basis.MEASURED),
        (100.0, Basis.ESTIMATED),
    ]


def test_a_counter_wins_over_nominal_power():
    counter = Turning()
    meter = Meter(cpu=lambda: Found((counter,), None), gpu=lambda: NO_GPU, power=NominalPower(50.0, "TDP"))
    (use,) = meter.start().stop(WINDOW, 2.0)
    assert use.basis is Basis.MEASURED


def test_where_neither_is_known_the_energy_is_unknown_with_the_reasons():
    meter = Meter(cpu=lambda: NOTHING, gpu=lambda: Found((), "no GPU"), power=NominalPower(None, "no power on file"))
    (use,) = meter.start().stop(WINDOW, 2.0)
    assert (use.joules, use.basis) == (None, Basis.UNKNOWN)
    assert use.source == "no counter; no GPU; no power on file"


# A whole measurement


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "l.db") as book:
        yield book


@pytest.fixture
def workload(tmp_path):
    (tmp_path / "w.jsonl").write_text(
        "".join(f'{{"id": "q{i}", "prompt": "a b c d", "reference": "a b c d", "check": "exact"}}\n' for i in range(6)),
        encoding="utf-8",
    )
    return load(str(tmp_path / "w.jsonl"))


def new_run(workload) -> Run:
    return Run(
        kind="measure", workload=workload.name, workload_digest=workload.digest, engine="echo", started_s=time.time()
    )


async def measured(workload, ledger, run, engine=None, *, usd_per_h=None, **more):
    leaf = Metered(engine or Echo(), ledger, run=run.id)
    return await measure(
        workload,
        workload.items,
        leaf,
        ledger=ledger,
        run=run,
        arrivals=ClosedLoop(2),
        rate=DeviceRate(usd_per_h, "given", "given"),
        **more,
    )


def meter_of(tmp_path, **more) -> Meter:
    return machine_meter(powercap=tmp_path / "powercap", gpu=lambda: NO_GPU, **more)


class TurningEcho(Echo):
    """An engine that turns a powercap counter by 2 J per call, round and round."""

    def __init__(self, folder):
        super().__init__()
        self.folder, self.uj = folder, int((folder / "energy_uj").read_text())

    def answer(self, call):
        self.uj = (self.uj + 2_000_000) % RANGE_UJ
        turn(self.folder, self.uj)
        return super().answer(call)


async def test_a_measurement_counts_the_joules_of_its_window_round_the_counters_end(tmp_path, workload, ledger):
    folder = zone(tmp_path / "powercap", "intel-rapl:0", "package-0", RANGE_UJ - 5_000_000)
    run = new_run(workload)
    found = await measured(workload, ledger, run, TurningEcho(folder), meter=meter_of(tmp_path))
    (use,) = read_energy(ledger, run.id)
    assert (use.component, use.basis, use.joules) == ("package-0", Basis.MEASURED, 12.0)
    assert (found.energy.basis, found.energy.joules) == ("measured", 12.0)
    assert found.energy.source == "RAPL package-0 (intel-rapl:0)"


async def test_the_figures_follow_from_the_joules(tmp_path, workload, ledger):
    folder = zone(tmp_path / "powercap", "intel-rapl:0", "package-0", 0)
    run = new_run(workload)
    found = await measured(
        workload, ledger, run, TurningEcho(folder), meter=meter_of(tmp_path), energy=energy_terms("0.36", "360")
    )
    energy = found.energy
    assert energy.joules == 12.0
    assert energy.cost_usd == pytest.approx(12 / 3.6e6 * 0.36)
    assert energy.carbon_g == pytest.approx(12 / 3.6e6 * 360)
    useful = found.waterfall[-1].output_tokens
    assert useful > 0
    assert energy.joules_per_useful_token.value == pytest.approx(12.0 / useful)
    ratio = found.cput.high / found.cput.value
    assert energy.joules_per_useful_token.high / energy.joules_per_useful_token.value == pytest.approx(ratio)


async def test_energy_is_shown_beside_the_rate_and_never_added_to_it(tmp_path, workload, ledger):
    zone(tmp_path / "powercap", "intel-rapl:0", "package-0", 0)
    run = new_run(workload)
    found = await measured(
        workload, ledger, run, usd_per_h=Decimal(3600), meter=meter_of(tmp_path), energy=energy_terms("1000", None)
    )
    assert found.cost_usd == pytest.approx(found.duration_s)  # $1 per second, and nothing else
    assert "no part of CPUT" in found.energy.cost_basis


async def test_a_window_is_estimated_where_nothing_counts_and_says_so(tmp_path, workload, ledger):
    run = new_run(workload)
    found = await measured(workload, ledger, run, meter=meter_of(tmp_path, watts=100.0))
    assert found.energy.basis == "estimated"
    assert found.energy.joules == pytest.approx(100.0 * found.duration_s)
    assert found.energy.source == "100 W, given on the command line x window"
    shown = dict(lines(found.energy))
    assert "estimated: 100 W" in shown["energy"]
    assert shown["energy cost"] == "unknown (neither --kwh-price nor a region (--grid) is given)"
    assert shown["carbon"] == "unknown (no region (--grid) is given)"


async def test_without_a_meter_nobody_asked_and_nothing_is_shown(workload, ledger):
    run = new_run(workload)
    found = await measured(workload, ledger, run)
    assert found.energy is None
    assert lines(found.energy) == []
    asked = await measured(workload, ledger, run, energy=energy_terms(None, "350"))
    assert asked.energy.joules is None
    assert lines(asked.energy)[0][1].startswith("unknown (not counted")


async def test_a_resumed_run_adds_its_windows_up(tmp_path, workload, ledger):
    folder = zone(tmp_path / "powercap", "intel-rapl:0", "package-0", 0)

    class Gone(TurningEcho):
        def answer(self, call):
            if call.item == "q3":
                return Answer(self.raises())
            return super().answer(call)

        async def raises(self):
            raise EngineUnavailable("it is gone")
            yield

    run = new_run(workload)
    await measured(workload, ledger, run, Gone(folder), meter=meter_of(tmp_path))
    assert sum(use.joules for use in read_energy(ledger, run.id)) == 10.0
    turn(folder, 0)
    found = await measured(workload, ledger, run, TurningEcho(folder), meter=meter_of(tmp_path))
    assert len(read_energy(ledger, run.id)) == 2
    assert found.energy.joules == 12.0


async def test_a_window_that_was_never_read_makes_the_runs_energy_unknown(tmp_path, workload, ledger):
    run = new_run(workload)
    ledger.start_run(run)
    ledger.add_window(Window(run=run.id, started_s=time.time()))  # a kill left it open
    found = await measured(workload, ledger, run, meter=meter_of(tmp_path, watts=50.0))
    assert found.energy.joules is None
    assert found.energy.source == "it was not read in every window of the run"


async def test_charges_of_a_window_name_it(workload, ledger, tmp_path):
    run = new_run(workload)
    await measured(workload, ledger, run, usd_per_h=Decimal(1))
    (window,) = ledger.windows(run.id)
    with snapshot(ledger) as connection:
        named = {row.window_id for row in connection.execute(select(schema.charges))}
    assert named == {window.id}


async def test_card_page_and_json_say_measured_or_estimated(tmp_path, workload, ledger):
    run = new_run(workload)
    found = await measured(
        workload, ledger, run, meter=meter_of(tmp_path, watts=100.0), energy=energy_terms("0.12", "CN")
    )
    console = Console(width=200, record=True)
    console.print(card(found))
    text = " ".join(console.export_text().split())
    assert "estimated: 100 W" in text
    assert "J per useful token" in text
    assert "g CO2 estimated" in text  # the factor counts carbon dioxide alone
    assert "no part of CPUT" in html(found)
    assert found.as_json()["energy"]["basis"] == "estimated"
    assert measurement(ledger, run, workload, rate_source="x").energy is None  # put there by with_energy
