"""A ledger with one of everything that an export has to say something about; hand-made, small, always the same."""

import uuid

from cput.ledger.energy import Basis, EnergyUse, record_energy
from cput.ledger.runs import Run, Window
from cput.ledger.store import Ledger
from cput.records import (
    Attempt,
    Call,
    Charge,
    CountedBy,
    Finish,
    Message,
    Outcome,
    Role,
    Sampling,
    Source,
    Usage,
)

NOON = 1_764_072_000.0  # 2025-11-25 12:00:00 UTC
RATE = 80_000_000  # $0.08/h


def name(text: str) -> str:
    """An id that is always the same."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, text))


RUN = Run(
    id=name("run"),
    kind="measure",
    workload="ifeval",
    workload_digest="d",
    engine="openvino",
    config={"asked": {"limit": 2}, "seed": 7},
    environment={"cpu": "AMD EPYC", "cores": 2},
    started_s=NOON,
)
WINDOW = Window(
    id=name("window"),
    run=RUN.id,
    started_s=NOON,
    ended_s=NOON + 90.0,
    rate_nano_usd_per_h=RATE,
    price_version="given:0.08/h",
    device="AMD EPYC",
)
LOCAL = Call(
    id=name("local"),
    messages=(Message(role="user", content="你好 =1+1"),),
    sampling=Sampling(max_new_tokens=64, temperature=0.5, seed=3, stop=("END", "\n")),
    workload="ifeval",
    item="i1",
    tags={"lang": "zh", "half": "first"},
)
HOSTED = Call(
    id=name("hosted"),
    workload="chat",
    tenant="acme",
    external_key="order-1",
    policy="cascade",
    episode="talk-1",
)
CACHED = Call(id=name("cached"), prompt="once", workload="chat", tenant="acme", episode="talk-1")
UNPRICED = Call(id=name("unpriced"), workload="chat")
UNCHARGED = Call(id=name("uncharged"), workload="chat")
CALLS = (LOCAL, HOSTED, CACHED, UNPRICED, UNCHARGED)


def leg(call: Call, seq: int, **more: object) -> Attempt:
    fields = {
        "engine": "openai",
        "usage": Usage(input_uncached=100, output=20, complete=True, counted_by=CountedBy.PROVIDER),
        "started_s": NOON + 0.25,
        "ttft_s": 0.5,
        "e2e_s": 2.5,
        "finish": Finish.STOP,
    }
    return Attempt(call_id=call.id, seq=seq, **(fields | more))


def charge(call: Call | None, seq: int | None, nano: int | None, version: str = "p1", **more: object) -> Charge:
    fields = {"basis": "usage", "price_version": version, "incremental_nano_usd": nano} | more
    return Charge(call_id=call.id if call else None, seq=seq, **fields)


def fill(ledger: Ledger) -> None:
    """Write one of everything."""
    ledger.start_run(RUN)
    ledger.add_window(WINDOW)
    _local(ledger)
    _hosted(ledger)
    ledger.record_sync(
        CACHED,
        [leg(CACHED, 0, engine="cache", started_s=NOON + 40, usage=Usage(input_uncached=0, output=20, engine_s=0.001))],
        [charge(CACHED, 0, 7, avoided_nano_usd=450_000)],
    )
    ledger.record_sync(
        UNPRICED, [leg(UNPRICED, 0, provider="who", model="m9")], [charge(UNPRICED, 0, None, "unpriced")]
    )
    ledger.record_sync(UNCHARGED, [leg(UNCHARGED, 0, usage=Usage(), finish=Finish.CANCELLED, e2e_s=None)])
    ledger.add_charges([charge(None, None, 1_000_000, "given:0.08/h", basis="idle")], run=RUN.id, window=WINDOW.id)
    ledger.end_run(RUN.id, NOON + 91.0)
    record_energy(
        ledger,
        [
            EnergyUse(
                window=WINDOW.id,
                run=RUN.id,
                component="package-0",
                joules=1234.5,
                basis=Basis.MEASURED,
                source="RAPL package-0",
            )
        ],
    )
    _outcomes(ledger)


def _local(ledger: Ledger) -> None:
    """Two legs on the reserved device; the second one answers. Charged again at another rate, and back."""
    legs = [
        leg(LOCAL, 0, engine="openvino", finish=Finish.ERROR, error="it fell over", usage=Usage(engine_s=10.0)),
        leg(
            LOCAL,
            1,
            engine="openvino",
            model="smol",
            started_s=NOON + 20.0,
            text="答案",
            gaps_s=(0.1, 1 / 3),
            propensity=0.25,
            usage=Usage(
                input_uncached=5,
                input_cache_read=3,
                input_cache_write=0,
                output=12,
                reasoning=2,
                parts={"input_audio_tokens": 1},
                engine_s=35.0,
                complete=True,
                counted_by=CountedBy.ENGINE,
            ),
        ),
    ]
    ledger.record_sync(LOCAL, legs, run=RUN.id)
    first = [charge(LOCAL, 0, 222_222, "given:0.08/h"), charge(LOCAL, 1, 777_778, "given:0.08/h")]
    ledger.add_charges(first, run=RUN.id, window=WINDOW.id)
    dear = [charge(LOCAL, 0, 444_444, "given:0.16/h"), charge(LOCAL, 1, 1_555_556, "given:0.16/h")]
    ledger.add_charges(dear, run=RUN.id, repricing="r1")
    ledger.add_charges(first, run=RUN.id, repricing="r2")


def _hosted(ledger: Ledger) -> None:
    """A timed-out leg and a good one; the good one has a flat fee besides."""
    ledger.record_sync(
        HOSTED,
        [
            leg(
                HOSTED,
                0,
                provider="azure",
                model="gpt-4o",
                finish=Finish.CANCELLED,
                usage=Usage(input_uncached=2_900, output=0, counted_by=CountedBy.ESTIMATED),
            ),
            leg(
                HOSTED,
                1,
                provider="openai",
                model="gpt-4o",
                service_tier="flex",
                role=Role.HEDGE,
                usage=Usage(
                    input_uncached=86,
                    input_cache_read=1_920,
                    input_cache_write=0,
                    output=300,
                    reasoning=100,
                    complete=True,
                    counted_by=CountedBy.PROVIDER,
                ),
            ),
        ],
        [
            charge(HOSTED, 0, 7_250_000),
            charge(HOSTED, 1, 5_615_000),
            charge(HOSTED, 1, 1, basis="flat"),
        ],
    )


def _outcomes(ledger: Ledger) -> None:
    """Judged by id, by key, by episode; revised; about nobody yet."""

    def said(what: str, value: float, source: Source, **more: object) -> Outcome:
        fields = {"observed_s": NOON + 100.0} | more
        return Outcome(id=name(f"{what}{value}{more}"), name=what, value=value, source=source, **fields)

    ledger.add_outcomes(
        [
            said("exact", 1.0, Source.CHECK, call_id=LOCAL.id, attempt=1, detail={"why": "it is the same"}),
            said("thumbs", 0.0, Source.USER, external_key="order-1"),
            said("thumbs", 1.0, Source.USER, external_key="order-1", observed_s=NOON + 200.0),
            said("solved", 1.0, Source.BUSINESS, episode="talk-1"),
            said("thumbs", 1.0, Source.USER, external_key="order-of-tomorrow"),
        ]
    )
