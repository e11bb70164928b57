"""What the charges in effect say of each call: its cost, what was avoided, and whether all of it is known."""

from typing import NamedTuple

import numpy as np

from cput.errors import InputError
from cput.ledger.query.bycall import NONE, ByCall, endings
from cput.ledger.query.columns import Coded, Flags, Ints
from cput.ledger.query.gather import NOBODY
from cput.ledger.query.scan import AttemptRows, CallRows, ChargeRows
from cput.units import NANO

_MOST_NANO_USD = 2.0**62  # far enough below the 64 bits that a sum's rounding doesn't matter
_MEASURED = "usage"


class Money(NamedTuple):
    """One entry per call; see ``Columns``."""

    cost: Ints
    avoided: Ints
    unpriced: Flags
    unmeasured: Coded


def add_up(charges: ChargeRows, attempts: AttemptRows, calls: CallRows) -> Money:
    """Return what each call's charges add up to.

    Raises:
        InputError: when a call's charges exceed what 64 bits of nano-dollars hold.
    """
    rows = _in_effect(charges)
    call, unknown = charges.call[rows], charges.unknown[rows] == 1
    by_call = ByCall(call, len(calls.ids))
    of_usage = np.array([word == _MEASURED for word in charges.basis.words], np.bool_)[charges.basis.codes[rows]]
    version, last = charges.version.codes[rows], by_call.last(unknown & of_usage)
    another = unknown & of_usage & (version != version[last[call]]) if len(rows) else unknown
    return Money(
        cost=_exact(charges.incremental[rows], by_call, calls),
        avoided=_exact(charges.avoided[rows], by_call, calls),
        unpriced=~by_call.any(np.ones(len(rows), np.bool_))
        | by_call.any((unknown & ~of_usage) | another)
        | _uncharged(attempts, call, charges.seq[rows], len(calls.ids)),
        unmeasured=charges.version.picked(np.where(last == NONE, NONE, rows[last] if len(rows) else NONE)),
    )


def _in_effect(charges: ChargeRows) -> Ints:
    """Return the rows of the last charge of each call, attempt and basis."""
    basis, seq, call = charges.basis.codes, charges.seq, charges.call
    order = np.lexsort((charges.arrival, basis, seq, call))
    order = order[call[order] != NOBODY]
    in_effect: Ints = order[endings(call[order], seq[order], basis[order])]
    return in_effect


def _uncharged(attempts: AttemptRows, call: Ints, seq: Ints, count: int) -> Flags:
    """Return whether a call has an attempt without a charge, and no charge of the whole call either."""
    whole = np.zeros(count, np.bool_)
    whole[call[seq == NOBODY]] = True
    span = 1 + int(max(attempts.seq.max(initial=0), seq.max(initial=0)))
    known = attempts.call != NOBODY
    legs = attempts.call[known] * span + attempts.seq[known]
    paid = call[seq != NOBODY] * span + seq[seq != NOBODY]
    found = np.zeros(count, np.bool_)
    found[attempts.call[known][~np.isin(legs, paid)]] = True
    return found & ~whole


def _exact(amounts: Ints, by_call: ByCall, calls: CallRows) -> Ints:
    rough = by_call.rough_sums(np.abs(amounts.astype(np.float64)))
    if rough.max(initial=0.0) > _MOST_NANO_USD:
        dollars = rough.max() / float(NANO)
        raise InputError(
            f"the charges of call {calls.ids[int(rough.argmax())]} come to ${dollars:,.0f}; "
            f"allowed: up to ${_MOST_NANO_USD / float(NANO):,.0f} per call"
        )
    return by_call.sums(amounts)
