"""Which policies a search tries: every combination of the choices that this machine and this workload allow."""

from dataclasses import dataclass, replace
from itertools import product

from cput.policy.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The values of each setting."""

    precisions: tuple[str, ...] = ("f16", "int8", "int4")
    """Weights."""
    kv_precisions: tuple[str | None, ...] = (None, "u8")
    """KV cache."""
    concurrencies: tuple[int, ...] = (8, 32)
    """Calls at once."""
    prefix_cache: tuple[bool, ...] = (False, True)
    """Reuse of shared prompt prefixes."""
    attempts: tuple[int, ...] = (1, 2, 4)
    """Most legs of a call; above 1 only where the check can judge at serving time."""
    retry_together: tuple[bool, ...] = (False, True)
    """Second and later legs one after the other, or at the same time."""
    abandon: tuple[bool, ...] = (False, True)
    """Giving up lost answers; likewise."""
    constrain: tuple[bool, ...] = (False, True)
    """Forcing what the check demands; only where it can say so."""


QUICK = Choices(
    precisions=("f16", "int8"),
    kv_precisions=(None,),
    concurrencies=(64,),
    prefix_cache=(True,),
    attempts=(1, 4),
    retry_together=(True,),
    abandon=(True,),
    constrain=(False,),
)
"""A search of a minute or two: the choices that made the difference in the full one (see LOG.md). Constraining is not
among them: masks take most of what they save, and what they buy is form."""


def grid(
    model: str, choices: Choices, *, servable: bool, constrainable: bool = False, tail: str = ""
) -> tuple[Policy, ...]:
    """Return all combinations for ``model``, each once; the one nearest to plain F16 batching comes first.

    ``constrainable`` says that the checks can say what they demand. ``tail`` is what all prompts end with (see
    ``layout``): with a prefix cache it is tried in front of them too.
    """
    ways = retries(choices) if servable else ((1, False),)
    abandon = choices.abandon if servable else (False,)
    constrain = choices.constrain if constrainable else (False,)
    prefixes: list[tuple[bool, str | None]] = [(kept, None) for kept in choices.prefix_cache]
    prefixes += [(True, tail)] if tail and True in choices.prefix_cache else []
    engines = product(choices.precisions, choices.kv_precisions, choices.concurrencies, prefixes)
    combinations = product(engines, ways, abandon, constrain)
    return tuple(
        Policy(
            model=model,
            precision=precision,
            kv_precision=kv,
            concurrency=concurrency,
            prefix_cache=prefix,
            shared_first=first,
            attempts=legs,
            retry_together=together,
            abandon=give_up,
            constrain=forced,
        )
        for (precision, kv, concurrency, (prefix, first)), (legs, together), give_up, forced in combinations
    )


def retries(choices: Choices) -> tuple[tuple[int, bool], ...]:
    """Return the ways to ask again: how many legs, and whether together; two legs can't differ in that, nor can one."""
    together = {legs: choices.retry_together if legs > 2 else (False,) for legs in choices.attempts}
    return tuple((legs, how) for legs in choices.attempts for how in together[legs])


def reference(model: str, choices: Choices) -> Policy:
    """Return plain F16 batching: the baseline's answers at a batch's speed, against which quality is compared."""
    return Policy(model=model, concurrency=max(choices.concurrencies))


def baseline(model: str) -> Policy:
    """Return the way most people run a model: F16, one call at a time, no tricks."""
    return replace(Policy(model=model), concurrency=1)
