"""A call's sampling, checked and flattened for the engine process."""

import math

import numpy as np

from cput.engines.openvino.grammar import engine_grammar
from cput.engines.openvino.wire import Submit
from cput.errors import InputError
from cput.records import Sampling

LARGEST_SEED = (1 << 63) - 1


def submit(sampling: Sampling, ids: list[int], room: int, *, grammars: bool) -> Submit:
    """Return the frame for prompt tokens ``ids``; its id is given when it is sent.

    Args:
        sampling: how the answer is drawn.
        ids: the prompt's tokens.
        room: most tokens that fit after the prompt.
        grammars: the engine process holds a tokenizer for grammars.

    Raises:
        InputError: a value that no engine takes, or a grammar where the engine was opened without them.
    """
    check(sampling)
    grammar = engine_grammar(sampling.grammar) if sampling.grammar is not None else None
    if grammar is not None and not grammars:
        raise InputError("this call carries a grammar, but the engine was opened with grammar=False; open it without")
    return Submit(
        id=0,
        ids=np.asarray(ids, dtype="<i8").tobytes(),
        max_new_tokens=min(sampling.max_new_tokens, room),
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        seed=sampling.seed,
        repetition_penalty=sampling.repetition_penalty,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        logprobs=sampling.logprobs,
        echo=sampling.echo,
        ignore_eos=sampling.ignore_eos,
        grammar_kind=grammar.kind if grammar else None,
        grammar_value=grammar.value if grammar else None,
    )


def check(sampling: Sampling) -> None:
    """Refuse values that mean nothing; the library takes some of them in silence.

    Raises:
        InputError: names the field, the value and what is allowed.
    """
    for name, value, fine, allowed in (
        ("max_new_tokens", sampling.max_new_tokens, sampling.max_new_tokens >= 0, "0 or more"),
        ("temperature", sampling.temperature, 0 <= sampling.temperature < math.inf, "0 (greedy) or more"),
        ("top_p", sampling.top_p, 0 < sampling.top_p <= 1, "above 0, up to 1"),
        ("top_k", sampling.top_k, sampling.top_k is None or sampling.top_k >= 1, "1 or more, or none"),
        ("seed", sampling.seed, sampling.seed is None or 0 <= sampling.seed <= LARGEST_SEED, "0 to 2**63 - 1"),
        ("repetition_penalty", sampling.repetition_penalty, 0 < sampling.repetition_penalty < math.inf, "above 0"),
        ("presence_penalty", sampling.presence_penalty, abs(sampling.presence_penalty) <= 2, "-2 to 2"),
        ("frequency_penalty", sampling.frequency_penalty, abs(sampling.frequency_penalty) <= 2, "-2 to 2"),
    ):
        if not fine:
            raise InputError(f"{name} is {value}; allowed: {allowed}")
