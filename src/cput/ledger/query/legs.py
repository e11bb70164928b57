"""What the attempts say of each call: its tokens, its device time, and which leg gave the answer."""

from typing import Any, NamedTuple

import numpy as np

from cput.ledger.query.bycall import NONE, ByCall
from cput.ledger.query.columns import UNCOUNTED, Coded, Floats, Ints
from cput.ledger.query.gather import NOBODY
from cput.ledger.query.scan import CUT, EMBEDS, ENDED, SERVES, AttemptRows


class Legs(NamedTuple):
    """One entry per call; see ``Columns``."""

    started_s: Floats
    attempts: Ints
    input_tokens: Ints
    input_uncounted: Ints
    output_tokens: Ints
    output_uncounted: Ints
    answer_tokens: Ints
    engine_ns: Ints
    model: Coded
    engine: Coded
    provider: Coded


def add_up(attempts: AttemptRows, named: Ints) -> Legs:
    """Return what each call's attempts add up to; ``named`` is the attempt that an outcome names, or ``NOBODY``."""
    legs, by_call = _sorted(attempts, len(named))
    answer, final = _answer(legs, by_call, named)
    leg = np.where(answer == NONE, final, answer)
    tokens = np.full(len(named), UNCOUNTED)
    tokens[answer != NONE] = legs.output_tokens[answer[answer != NONE]]
    return Legs(
        started_s=by_call.first_of(legs.started_s),
        attempts=by_call.sums(np.ones(len(legs.call))),
        input_tokens=by_call.sums(np.maximum(legs.input_tokens, 0)),
        input_uncounted=by_call.sums(legs.input_tokens == UNCOUNTED),
        output_tokens=by_call.sums(np.maximum(legs.output_tokens, 0)),
        output_uncounted=by_call.sums(legs.output_tokens == UNCOUNTED),
        answer_tokens=tokens,
        engine_ns=by_call.sums(legs.engine_ns),
        model=legs.model.picked(leg),
        engine=legs.engine.picked(leg),
        provider=legs.provider.picked(leg),
    )


def _sorted(attempts: AttemptRows, count: int) -> tuple[AttemptRows, ByCall]:
    """Return the legs of known calls by call and number."""
    order = np.lexsort((attempts.seq, attempts.call))
    order = order[attempts.call[order] != NOBODY]
    columns: list[Any] = [
        Coded(column.codes[order], column.words) if isinstance(column, Coded) else column[order] for column in attempts
    ]
    return AttemptRows(*columns), ByCall(attempts.call[order], count)


def _answer(legs: AttemptRows, by_call: ByCall, named: Ints) -> tuple[Ints, Ints]:
    """Return the leg whose answer the caller got, as ``facts.answer_given`` has it, and the last serving leg."""
    answers, embeds = legs.serving == SERVES, legs.serving == EMBEDS
    serving = answers | (embeds & ~by_call.any(answers)[legs.call])
    final = by_call.last(serving)
    ended = by_call.last(serving & (legs.finish == ENDED))
    cut = by_call.last(serving & (legs.finish == CUT) & (legs.output_tokens > 0))
    told = by_call.last(serving & (legs.seq == named[legs.call]))
    hung_up_last = (final != NONE) & (final == cut)
    unnamed = np.where(hung_up_last, final, np.where(ended == NONE, cut, ended))
    return np.where(told == NONE, unnamed, told), final
