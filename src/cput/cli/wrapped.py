"""What a policy makes of its metered leaves: they give up, ask again, and ask the next where an answer may not stand.

engine = wrapped([Metered(small, ledger), Metered(large, ledger)], policy, Checked(workload))
"""

from collections.abc import Sequence

from cput.cli.checked import Checked
from cput.errors import InputError
from cput.policy import Abandoned, Persistent, Policy
from cput.policy.cascade import Cascade, Confidence, Leg, Of, Passes
from cput.policy.constrain import Constrained
from cput.policy.decide import Worth
from cput.policy.layout import Relaid
from cput.policy.routed import Routed
from cput.protocols import Engine
from cput.workloads import Workload


def wrapped(leaves: Sequence[Engine], policy: Policy, checks: Checked | None, *, name: str | None = None) -> Engine:
    """Return the line of wrappers around a policy's leaves, one for each of its legs.

    ``checks`` are the workload's; None where none is named. ``name`` is the policy's, for the grounds.

    Raises:
        InputError: the policy asks a check, and there is none that a server could ask.
    """
    if any(leg.attempts > 1 or leg.constrain or leg.stop == "check" for leg in policy.legs):
        checks = require_servable(checks)
    legs = [_alone(leaf, leg, checks) for leaf, leg in zip(leaves, policy.legs, strict=True)]
    if len(legs) == 1:
        return legs[0]
    if policy.router is not None:
        return _routed(legs, policy, name)
    return Cascade([_leg(engine, leg, checks) for engine, leg in zip(legs, policy.legs, strict=True)], policy=name)


def _routed(legs: Sequence[Engine], policy: Policy, name: str | None) -> Engine:
    from cput.policy.router import load_estimator

    assert policy.router is not None
    assert policy.worth_per_usd is not None, "a policy file is read with it, and a search gives it"
    engines = {leg.model: engine for engine, leg in zip(legs, policy.legs, strict=True)}
    return Routed(load_estimator(policy.router), engines, Worth(usd=policy.worth_per_usd), policy=name)


def require_servable(checks: Checked | None) -> Checked:
    """Refuse to judge at serving time by a check that needs the reference answer: there nobody has it.

    Raises:
        InputError: no workload is named, or its checks need references.
    """
    if checks is None:
        raise InputError("this policy asks a check whether an answer stands; name whose check with --workload")
    if not checks.workload.servable:
        raise InputError(
            f"workload '{checks.workload.name}' is judged against reference answers, which a server does not have; "
            "attempts above 1 need checks without references (ifeval, json_schema)"
        )
    return checks


def _alone(engine: Engine, leg: Policy, checks: Checked | None) -> Engine:
    """Return one leg by itself."""
    judge = checks or Checked(Workload(name=""))
    if leg.shared_first:
        engine = Relaid(engine, leg.shared_first)
    if leg.constrain:
        engine = Constrained(engine, judge.grammar)
    if leg.abandon:
        engine = Abandoned(engine, judge.lost)
    if leg.attempts > 1:
        engine = Persistent(
            engine,
            judge.stands,
            attempts=leg.attempts,
            together=leg.retry_together,
            temperature=leg.retry_temperature,
        )
    return engine


def _leg(engine: Engine, leg: Policy, checks: Checked | None) -> Leg:
    """Return one leg of several with what lets its answer stand."""
    if leg.stop == "check" and checks is not None:
        return Leg(engine=engine, rule=Passes(checks.passes))
    if leg.stop == "confidence" and leg.engine != "classifier":
        assert leg.threshold is not None, "a policy file is read with it, and a search gives it"
        return Leg(engine=engine, rule=Confidence(), threshold=leg.threshold)
    if leg.engine == "classifier":  # it abstains by itself; the rule only tells its probability
        return Leg(engine=engine, rule=Confidence(Of.FIRST), threshold=0.0, reason="student_sure")
    return Leg(engine=engine)
