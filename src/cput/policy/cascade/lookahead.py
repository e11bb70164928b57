"""Lookahead: whom to ask next, or to stop, from what has been seen and what is expected of the others.

``by_index`` is optimal, and so no worse than any router and any cascade, where the estimates are right and the engines
are independent: whoever pays for every answer and may keep the best faces Pandora's boxes (Weitzman, Optimal search for
the best alternative, Econometrica 47, 1979). Each engine has a reservation value, the score at which asking it would be
worth exactly its price; ask in falling order of it, and stop when the best score seen reaches the next one.

``by_sets`` is cascade routing as published (Dekoninck, Baader and Vechev, A unified approach to routing and cascading
for LLMs, ICML 2025, arXiv 2410.10347): of all sets of engines that contain those seen, take the one whose expected best
answer less its price is largest; stop if nothing is to be added, else ask its cheapest. A set in which some engine adds
less than it costs is left out with all that contain it. It plans as if it could not stop on the way, so that it can
fall behind a good cascade; docs/design/cascade.md has the figures.
"""

from itertools import combinations

import numpy as np

from cput.policy.cascade.spread import Outlook
from cput.policy.replayed import Flags, Floats, Ints

STOP = -1


def reservation(outlook: Outlook, cost_usd: Floats, usd: float) -> Floats:
    """Return the reservation values (n, m): ``E[max(score - value, 0)] = usd * cost``, exactly.

    Of ``k`` equally likely values, the gain above ``v`` is the largest over j of (sum of the j best less j v) / k, so
    that ``v`` is the largest of (sum of the j best less k times the price) / j.
    """
    count = outlook.atoms.shape[2]
    price = 0.0 if usd == 0 else usd * cost_usd
    ahead = np.cumsum(outlook.atoms, axis=2) - count * np.broadcast_to(price, cost_usd.shape)[:, :, None]
    values: Floats = (ahead / np.arange(1, count + 1)).max(axis=2)
    return values


def by_index(outlook: Outlook, cost_usd: Floats, usd: float, best: Floats, open_: Flags) -> Ints:
    """Return whom to ask next (n,), or ``STOP``.

    ``best`` (n,) is the best score seen, minus infinity where none is; ``open_`` (n, m) are those still to be asked.
    """
    values = np.where(open_, reservation(outlook, cost_usd, usd), -np.inf)
    next_ = values.argmax(axis=1)
    over = ~open_.any(axis=1) | (best >= values.max(axis=1))
    return np.where(over, STOP, next_)


def by_sets(outlook: Outlook, cost_usd: Floats, usd: float, best: Floats, open_: Flags) -> Ints:
    """Return whom to ask next (n,), or ``STOP``; see ``by_index``."""
    rows, engines, _ = outlook.atoms.shape
    seen = np.isfinite(best)
    floor = np.where(seen, best, 0.0)
    levels = np.sort(np.column_stack([np.zeros(rows), floor, outlook.atoms.reshape(rows, -1), np.ones(rows)]), axis=1)
    widths, at = np.diff(levels, axis=1), levels[:, :-1]
    below = np.stack([_share_below(outlook.atoms[:, each], at) for each in range(engines)], axis=1)  # (n, m, levels)
    nothing: Floats = np.where(seen, best, -np.inf)
    known: dict[tuple[int, ...], tuple[Floats, Flags]] = {(): (nothing, np.ones(rows, np.bool_))}
    products: dict[tuple[int, ...], Floats] = {(): (at >= floor[:, None]).astype(np.float64)}
    value, choice = nothing, np.full(rows, STOP)
    for size in range(1, engines + 1):
        grown: dict[tuple[int, ...], Floats] = {}
        for chosen in combinations(range(engines), size):
            smaller = [chosen[:at] + chosen[at + 1 :] for at in range(size)]
            if any(each not in known for each in smaller):
                continue
            product = products[chosen[:-1]] * below[:, chosen[-1]]
            gain = ((1.0 - product) * widths).sum(axis=1)  # the expected best answer of the set
            price = 0.0 if usd == 0 else usd * cost_usd[:, list(chosen)].sum(axis=1)
            worth_ = gain - price
            alive: Flags = np.asarray(open_[:, list(chosen)].all(axis=1))
            for each in smaller:
                alive = np.logical_and(alive & known[each][1], worth_ >= known[each][0])
            if not alive.any():
                continue
            known[chosen], grown[chosen] = (worth_, alive), product
            better = alive & (worth_ > value)
            cheapest = np.array(chosen)[cost_usd[:, list(chosen)].argmin(axis=1)]
            value, choice = np.where(better, worth_, value), np.where(better, cheapest, choice)
        products = grown
    return choice


def _share_below(atoms: Floats, levels: Floats) -> Floats:
    """Return the probability (n, l) that one engine's score (n, k values) is at most a level (n, l)."""
    counts = [np.searchsorted(row[::-1], at, side="right") for row, at in zip(atoms, levels, strict=True)]
    share: Floats = np.stack(counts) / atoms.shape[1]
    return share
