"""RouterBench's two tasks, RouteLLM's GSM8K and FrugalGPT's frontiers."""

import numpy as np
from policy_router_data import SHIPPED, each_seed, read_once
from policy_router_fit import fit_members
from rich.console import Console

from cput.policy.baselines import Singles, baselines, known_rows, singles
from cput.policy.choice import dial
from cput.policy.frontier import Point, aiq, cost_at, hull_of, point_of
from cput.policy.recorded import Recorded
from cput.policy.recordings import frontiers
from cput.policy.router import Estimates, settle, thresholds
from cput.policy.router.text import Template
from cput.workloads import Floor

ROUTERS = {
    "kNN": ("neighbours",),
    "MLP": ("perceptron",),
    "linear": ("linear",),
    "stack": ("linear", "neighbours", "perceptron"),
}
FLOOR = Floor(share_of_baseline=0.95)
TASKS = ("headlines", "agnews", "coqa", "overruling", "sciq")


def joined(first: Recorded, second: Recorded) -> Recorded:
    """Return two records of the same engines as one, without prompts of which a quality is unknown."""
    return known_rows(
        Recorded(
            engines=first.engines,
            items=first.items + second.items,
            prompts=first.prompts + second.prompts,
            quality=np.concatenate([first.quality, second.quality]),
            cost_usd=np.concatenate([first.cost_usd, second.cost_usd]),
            source=first.source,
        )
    )


def routerbench_task(task: str, own: tuple[Recorded, Recorded], seeds: int, console: Console) -> dict:
    """Return the figures of a task on its own files, and on splits of the same sizes of both together."""
    first, second = known_rows(own[0]), known_rows(own[1])
    table = joined(first, second)
    raw = read_once(table, console, task, template=Template.of(first.prompts))

    def split(train_at, test_at, seed: int) -> dict:
        train, test = table.rows(train_at), table.rows(test_at)
        fitted = fit_members(train, raw.rows(train_at), test, raw.rows(test_at), tuple(FITTED), tag=None, seed=seed)
        return routed(train, test, {name: fitted.stack(*members) for name, members in ROUTERS.items()})

    def one(seed: int) -> dict:
        drawn = np.random.default_rng(seed).permutation(len(table))
        return split(drawn[: len(first)], drawn[len(first) :], seed)

    settings = {"task": task, "prompts": len(table)}
    places = np.arange(len(table))
    return {
        "own": split(places[: len(first)], places[len(first) :], 0),
        "seeds": each_seed(task, settings, seeds, one, console),
        "train": len(first),
        "test": len(second),
    }


FITTED = dict.fromkeys(name for members in ROUTERS.values() for name in members)


def routed(train: Recorded, test: Recorded, estimates: dict[str, Estimates]) -> dict:
    """Return, of every way to answer, AIQ and the cost at the best single engine's quality on the test prompts."""
    found = singles(train)
    costs = np.nanmean(train.cost_usd, axis=0)
    span = {"least_usd": float(costs.min()), "most_usd": float(costs.max())}
    best = point_of(test.quality, test.cost_usd, np.full(len(test), found.best))
    ways = {each.name: each.points for each in baselines(train, test)}
    ways |= {name: points_of(each, test, found.best) for name, each in estimates.items()}
    return {
        "best_single": named(test, found.best),
        "cheapest_within_1_point": named(test, found.cheapest_near),
        "cheapest_not_shown_worse": named(test, found.cheapest_not_worse),
        "ratio": ratio(test, found),
        "ways": {
            name: {"aiq": aiq(points, **span), "cost_at_best_usd": cost_at(hull_of(points), best.quality)}
            for name, points in ways.items()
        },
    }


def points_of(estimates: Estimates, test: Recorded, reference: int) -> list[Point]:
    """Return a router's curve; its dial's marks come from estimates alone."""
    marks = [*dial(estimates.quality, estimates.cost_usd), float("inf")]
    return [point_of(test.quality, test.cost_usd, settle(estimates, mark, reference)) for mark in marks]


def named(test: Recorded, place: int) -> dict:
    """Return a single engine's name and what it costs and gives on the test prompts."""
    point = point_of(test.quality, test.cost_usd, np.full(len(test), place))
    return {"engine": test.engines[place], "cost_usd": point.cost_usd, "quality": point.quality}


def ratio(test: Recorded, found: Singles) -> float:
    """Return how many times the chosen cheap engine's price the best one's is."""
    cost = test.cost_usd.mean(axis=0)
    return float(cost[found.best] / cost[found.cheapest_not_worse])


def gsm8k(table: Recorded, seeds: int, console: Console) -> list[dict]:
    """Return every seed's choice: half to fit, a quarter to certify, a quarter to look."""
    raw = read_once(table, console, "GSM8K")

    def one(seed: int) -> dict:
        from cput.policy.guarantee import certify

        drawn = np.random.default_rng(seed).permutation(len(table))
        half, three = len(table) // 2, 3 * len(table) // 4
        train, rest = table.rows(drawn[:half]), table.rows(drawn[half:])
        members = ("linear", "neighbours")
        fitted = fit_members(train, raw.rows(drawn[:half]), rest, raw.rows(drawn[half:]), members, tag=None, seed=seed)
        strong = singles(train).best
        settings = thresholds(fitted.stack(*members), rest, reference=table.engines[strong])
        held = slice(0, three - half)
        looked = slice(three - half, None)
        found = certify(
            settings.quality[held], settings.cost_usd[held], floor=FLOOR, reference=settings.reference[held]
        )
        choice = 0 if found.choice is None else found.choice
        return {
            "choice": choice,
            "strong": settings.usd_per_useful[choice] is None,
            "needed": found.certificate.needed,
            "kept": float(settings.quality[looked, choice].mean() / settings.reference[looked].mean()),
            "saved": float(1 - settings.cost_usd[looked, choice].mean() / settings.cost_usd[looked, 0].mean()),
            "random_95": random_95(rest),
        }

    return each_seed("gsm8k", {"task": "gsm8k", "prompts": len(table)}, seeds, one, console)


def random_95(table: Recorded) -> float:
    from cput.policy.frontier import random_share

    return random_share(table.quality[:, 0], table.quality[:, 1], share=0.95)


def frugal(task: str) -> dict:
    """Return FrugalGPT's recorded cascade beside the single models of its own summary, all picked on its train half."""
    rows = frontiers(SHIPPED / f"frugalgpt_{task}_frontier.csv")
    alone = [row for row in rows if row.single]
    best = max(alone, key=lambda row: (row.train_quality, -row.train_cost_usd))
    near = min(
        (row for row in alone if row.train_quality >= best.train_quality - 0.01), key=lambda row: row.train_cost_usd
    )
    cascade = [row for row in rows if not row.single]
    # The cheapest budget whose quality on the train half is the best single model's.
    enough = [row for row in cascade if row.train_quality >= best.train_quality]
    picked = min(enough, key=lambda row: row.train_cost_usd) if enough else None
    hull = hull_of([Point(row.test_cost_usd, row.test_quality) for row in alone])
    return {
        "task": task,
        "tests": best.tests,
        "best_single": shown(best),
        "cheapest_within_1_point": shown(near),
        "cascade": None if picked is None else shown(picked),
        "cascade_saves": None if picked is None else 1 - picked.test_cost_usd / best.test_cost_usd,
        "near_saves": 1 - near.test_cost_usd / best.test_cost_usd,
        "singles_hull": [list(point) for point in hull],
    }


def shown(row) -> dict:
    return {"method": row.method, "quality": row.test_quality, "cost_usd": row.test_cost_usd}
