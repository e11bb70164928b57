"""A race's contestants as the reports show them."""

from collections.abc import Callable, Sequence
from dataclasses import asdict

from cput.ledger.cput import cput, useful_rate
from cput.measure.optimization import Candidate, Status
from cput.policy import Policy
from cput.policy.front import front
from cput.policy.search import Contestant


def candidates(race: Sequence[Contestant], winner: Contestant, words: Callable[[Policy], str]) -> tuple[Candidate, ...]:
    """Return all of them in their order; ``words`` says a policy in few words."""
    unit = next((one.measurement.cput_unit for one in race if one.measurement is not None), "USD")
    best = front(race)
    return tuple(
        Candidate(
            name=words(one.policy),
            settings={name: value for name, value in asdict(one.policy).items() if value not in (None, ())},
            calls=len(one.facts),
            useful_rate=useful_rate(one.facts),
            cput=cput(one.facts),
            cput_unit=unit,
            tokens_per_s=None if one.measurement is None else one.measurement.tokens_per_s,
            status=_status(one, winner),
            reason=_reason(one, winner),
            rung=one.rung,
            ttft_p50_s=one.ttft_p50_s,
            front=at in best,
            replayed=one.replayed,
        )
        for at, one in enumerate(race)
        if one.facts
    )


def _status(one: Contestant, winner: Contestant) -> Status:
    if one is winner:
        return "winner"
    return "dropped" if one.dropped else "kept"


def _reason(one: Contestant, winner: Contestant) -> str:
    said = "cheapest whose confirmation was likely" if one is winner else one.dropped or "costs more, or less proven"
    return f"{said}; from answers on record, nothing was asked for it" if one.replayed else said
