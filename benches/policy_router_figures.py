"""Figures over seeds: a mean, its spread, and paired differences.

Splits of one file overlap, so that an interval over them says how much the split matters and not how another file would
do: ``low`` and ``high`` are the 2.5 and 97.5 % points of the seeds' own figures.
"""

import numpy as np


def over(values) -> dict | None:
    """Return mean, standard deviation and the middle 95 % of some seeds' figures; None where one is unknown."""
    found = list(values)
    if not found or any(value is None for value in found):
        return None
    low, high = np.percentile(found, [2.5, 97.5])
    spread = float(np.std(found, ddof=1)) if len(found) > 1 else 0.0
    return {"mean": float(np.mean(found)), "sd": spread, "low": float(low), "high": float(high), "seeds": len(found)}


def paired(values, others) -> dict | None:
    """Return the difference of two lists of the same seeds, and in how many of them the first is below."""
    values, others = list(values), list(others)
    if any(value is None for value in (*values, *others)):
        return None
    found = over(np.subtract(values, others).tolist())
    return found and {**found, "below": int(np.sum(np.less(values, others)))}


def of_mmlu(rows: list[dict]) -> dict:
    """Return RouteLLM MMLU's figures over seeds."""
    names = list(rows[0]["shares"])
    table = [row["shares"]["by subject"]["95"] for row in rows]
    draws = [draw for row in rows for draw in row["certified"]]
    return {
        "ways": {
            name: {
                "strong_calls_for_95": over(row["shares"][name]["95"] for row in rows),
                "cpt50": over(row["shares"][name]["cpt50"] for row in rows),
                "cpt80": over(row["shares"][name]["cpt80"] for row in rows),
                "minus_by_subject": paired((row["shares"][name]["95"] for row in rows), table),
            }
            for name in names
        },
        "calibration_error": [over(row["calibration_error"][place] for row in rows) for place in (0, 1)],
        "certificate": {
            "splits": len(draws),
            "fits": len(rows),
            "held": float(np.mean([draw["kept_all"] >= 0.95 for draw in draws])),
            "held_on_unseen_half": float(np.mean([draw["kept"] >= 0.95 for draw in draws])),
            "certified_a_saving": float(np.mean([draw["choice"] > 0 for draw in draws])),
            "saved": over(draw["saved"] for draw in draws),
            "kept": over(draw["kept"] for draw in draws),
        },
    }


def of_task(found: dict) -> dict:
    """Return a task of RouterBench: its own split, and the same over seeds."""
    rows = found["seeds"]
    return {
        **{name: found[name] for name in ("own", "train", "test")},
        "over_seeds": {
            name: {
                "aiq": over(row["ways"][name]["aiq"] for row in rows),
                "aiq_minus_zero": paired(
                    (row["ways"][name]["aiq"] for row in rows), (row["ways"]["random_mix"]["aiq"] for row in rows)
                ),
                "cost_at_best_usd": over(
                    row["ways"][name]["cost_at_best_usd"]
                    for row in rows
                    if row["ways"][name]["cost_at_best_usd"] is not None
                ),
                "reached_best": sum(row["ways"][name]["cost_at_best_usd"] is not None for row in rows),
            }
            for name in rows[0]["ways"]
        },
        "found_cheap": [row["cheapest_not_shown_worse"]["engine"] for row in rows],
    }


def of_gsm8k(rows: list[dict]) -> dict:
    """Return RouteLLM GSM8K's figures over seeds."""
    return {
        "stayed_with_the_strong": sum(row["strong"] for row in rows),
        "seeds": len(rows),
        "below_floor": sum(row["kept"] < 0.95 for row in rows),
        "kept": over(row["kept"] for row in rows),
        "saved": over(row["saved"] for row in rows),
        "random_needs": over(row["random_95"] for row in rows),
        "needed": over(row["needed"] for row in rows if row["needed"]),
    }
