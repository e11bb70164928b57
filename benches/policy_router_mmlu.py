"""RouteLLM's MMLU file: how many calls GPT-4 must answer for 95 % of its quality, by the text alone.

Each seed halves the prompts; everything is fitted on one half and read off the curve of the other, as RouteLLM does. A
certificate is tried on ten draws of each seed's held-out half: 200 splits of 20 fits.
"""

import numpy as np
from policy_router_data import each_seed, read_once
from policy_router_fit import fit_members
from rich.console import Console

from cput.policy.baselines import category_scores
from cput.policy.frontier import random_share, strong_share
from cput.policy.recorded import Recorded
from cput.policy.router import Estimates, thresholds
from cput.workloads import Floor

MEMBERS = ("linear", "topic", "neighbours")
STACKS = {
    "linear": ("linear",),
    "topic guessed from text": ("topic",),
    "neighbours": ("neighbours",),
    "linear + topic": ("linear", "topic"),
    "linear + topic + neighbours": ("linear", "topic", "neighbours"),
}
BEST = "linear + topic + neighbours"
SHARE = 0.95
DRAWS = 10
KNOWN = {"by subject": 0.452, "random": 0.678, "oracle": 0.085}
"""Computed beforehand on other halves of the same file."""


def mmlu(table: Recorded, seeds: int, console: Console) -> list[dict]:
    """Return every seed's figures."""
    raw = read_once(table, console, "MMLU")

    def one(seed: int) -> dict:
        drawn = np.random.default_rng(seed).permutation(len(table))
        first, second = drawn[: len(table) // 2], drawn[len(table) // 2 :]
        train, test = table.rows(first), table.rows(second)
        fitted = fit_members(train, raw.rows(first), test, raw.rows(second), MEMBERS, tag="subject", seed=seed)
        estimates = {name: fitted.stack(*members) for name, members in STACKS.items()}
        return {
            "shares": {**by_hand(train, test, seed), **{name: shares(each, test) for name, each in estimates.items()}},
            "calibration_error": calibration_error(estimates[BEST], test),
            "certified": [certified(estimates[BEST], test, seed * DRAWS + draw) for draw in range(DRAWS)],
        }

    settings = {"task": "mmlu", "prompts": len(table), "members": MEMBERS, "share": SHARE, "draws": DRAWS}
    return each_seed("mmlu", settings, seeds, one, console)


def shares(estimates: Estimates, test: Recorded) -> dict:
    """Return the shares of strong calls for 95 % of the strong quality, and for 50 and 80 % of the gap."""
    gain = estimates.quality[:, 1] - estimates.quality[:, 0]
    return of_gain(gain, test)


def of_gain(gain, test: Recorded) -> dict:
    weak, strong = test.quality.T
    return {
        "95": strong_share(gain, weak, strong, share=SHARE),
        "cpt50": strong_share(gain, weak, strong, share=0.5, within=True),
        "cpt80": strong_share(gain, weak, strong, share=0.8, within=True),
    }


def by_hand(train: Recorded, test: Recorded, seed: int) -> dict:
    """Return the same of the table by subject (which is told the subject), a coin and the oracle."""
    weak, strong = test.quality.T
    scores = category_scores(train, test, "subject", weight=0.0)
    ties = 1e-9 * np.random.default_rng(seed).random(len(test))
    gap = random_share(weak, strong, share=SHARE)
    return {
        "by subject": of_gain(scores[:, 1] - scores[:, 0] + ties, test),
        "random": {"95": gap, "cpt50": 0.5, "cpt80": 0.8},
        "oracle": of_gain(strong - weak + ties, test),
    }


def calibration_error(estimates: Estimates, test: Recorded, bins: int = 10) -> list[float]:
    """Return each engine's expected calibration error over ten bins of equal count."""
    errors = []
    for place in range(estimates.quality.shape[1]):
        order = np.argsort(estimates.quality[:, place], kind="stable")
        parts = np.array_split(order, bins)
        gaps = [abs(float(np.mean(estimates.quality[part, place] - test.quality[part, place]))) for part in parts]
        errors.append(float(np.average(gaps, weights=[len(part) for part in parts])))
    return errors


def certified(estimates: Estimates, held: Recorded, draw: int) -> dict:
    """Certify on one random half of the held-out prompts, and look at the other."""
    from cput.policy.guarantee import certify

    drawn = np.random.default_rng([draw, 1]).permutation(len(held))
    first, second = np.sort(drawn[: len(held) // 2]), np.sort(drawn[len(held) // 2 :])
    settings = thresholds(estimates, held, reference=held.engines[1])
    # The dial's marks come from estimates on all held-out prompts, and from no outcome.
    found = certify(
        settings.quality[first],
        settings.cost_usd[first],
        floor=Floor(share_of_baseline=SHARE),
        reference=settings.reference[first],
    )
    choice = 0 if found.choice is None else found.choice
    strong = settings.usd_per_useful[choice]
    chosen_cost, strong_cost = settings.cost_usd[second, choice].mean(), settings.cost_usd[second, 0].mean()
    # Truth of a threshold: all held-out prompts but those it was certified on, and all of them together.
    return {
        "choice": choice,
        "usd_per_useful": strong,
        "kept": float(settings.quality[second, choice].mean() / settings.reference[second].mean()),
        "kept_all": float(settings.quality[:, choice].mean() / settings.reference.mean()),
        "saved": float(1 - chosen_cost / strong_cost),
    }
