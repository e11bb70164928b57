"""Cascade routing is no worse than any router and any cascade, given its estimates: held to brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cput.errors import InputError
from cput.policy.cascade.lookahead import STOP, by_index, by_sets, reservation
from cput.policy.cascade.plan import Lookahead, Plan, plan_path, taken
from cput.policy.cascade.spread import Spread
from cput.policy.cascade.thresholds import NEVER, cascaded, fit_thresholds, threshold_path
from cput.policy.decide import Worth
from cput.policy.estimates import Expected
from cput.policy.replayed import above, paid, within

# A small world that is known exactly: each engine's score is one of a few equally likely values, independently.

levels = st.integers(0, 8).map(lambda at: at / 8)
worlds = st.integers(1, 3).flatmap(
    lambda engines: st.tuples(
        st.lists(st.lists(levels, min_size=2, max_size=2), min_size=engines, max_size=engines),
        st.lists(st.integers(1, 40).map(lambda at: at / 100), min_size=engines, max_size=engines),
    )
)


def outcomes(values):
    """All that may happen (n, m), each as likely as any other."""
    return np.array(list(itertools.product(*values)), dtype=float)


def plan_for(values, usd, lookahead):
    mean = np.array([np.mean(each) for each in values])
    spread = Spread(
        differences=np.array([[np.array(each) - at] for each, at in zip(values, mean, strict=True)]),
        edges=np.zeros((len(values), 0)),
        covariance=np.zeros((len(values), len(values))),
    )
    return Plan(engines=tuple("abc"[: len(values)]), usd=usd, spread=spread, lookahead=lookahead), mean


def value_of(plan, mean, scores, costs):
    rows = len(scores)
    ahead = Expected(np.tile(mean, (rows, 1)), np.tile(costs, (rows, 1)))
    found = plan.through(ahead, scores, scores, ahead.cost_usd)
    return float((found.quality - plan.usd * found.cost_usd).mean())


def best_router(values, costs, usd):
    return max(np.mean(each) - usd * cost for each, cost in zip(values, costs, strict=True))


def best_cascade(scores, costs, usd):
    """The best of all cascades: any engines in any order, any thresholds, the last or the best answer given."""
    best, rows = -np.inf, len(scores)
    for size in range(1, scores.shape[1] + 1):
        for order in itertools.permutations(range(scores.shape[1]), size):
            some, cost = scores[:, order], np.tile(np.array(costs)[list(order)], (rows, 1))
            bars = [[*np.unique(some[:, at]), NEVER] for at in range(size - 1)]
            for thresholds in itertools.product(*bars):
                for give_best in (False, True):
                    found = cascaded(some, cost, some, (*thresholds, NEVER), best=give_best)
                    best = max(best, float((found.quality - usd * found.cost_usd).mean()))
    return best


@settings(max_examples=120, deadline=None)
@given(world=worlds, usd=st.sampled_from([0.0, 0.25, 1.0, 3.0]))
def test_in_a_known_world_it_is_no_worse_than_any_router_and_any_cascade(world, usd):
    values, costs = world
    scores = outcomes(values)
    plan, mean = plan_for(values, usd, Lookahead.INDEX)
    got = value_of(plan, mean, scores, np.array(costs))
    assert got >= best_router(values, costs, usd) - 1e-9
    assert got >= best_cascade(scores, costs, usd) - 1e-9


@settings(max_examples=60, deadline=None)
@given(world=worlds, usd=st.sampled_from([0.0, 0.25, 1.0, 3.0]))
def test_planning_by_sets_is_no_worse_than_any_router_and_no_better_than_the_index(world, usd):
    values, costs = world
    scores = outcomes(values)
    by_set, mean = plan_for(values, usd, Lookahead.SETS)
    by_value, _ = plan_for(values, usd, Lookahead.INDEX)
    got = value_of(by_set, mean, scores, np.array(costs))
    assert best_router(values, costs, usd) - 1e-9 <= got <= value_of(by_value, mean, scores, np.array(costs)) + 1e-9


tables = st.integers(1, 4).flatmap(
    lambda engines: st.lists(
        st.tuples(
            st.lists(levels, min_size=engines, max_size=engines),
            st.lists(st.integers(1, 40).map(lambda at: at / 100), min_size=engines, max_size=engines),
        ),
        min_size=1,
        max_size=6,
    )
)


@settings(max_examples=80, deadline=None)
@given(rows=tables, usd=st.sampled_from([0.0, 0.5, 2.0]), lookahead=st.sampled_from(Lookahead))
def test_with_estimates_that_are_the_truth_it_is_the_best_router_and_no_cascade_is_better(rows, usd, lookahead):
    quality, cost = (np.array([row[at] for row in rows]) for at in (0, 1))
    engines = quality.shape[1]
    plan = Plan(engines=tuple("abcd"[:engines]), usd=usd, spread=Spread.none(engines), lookahead=lookahead)
    found = plan.through(Expected(quality, cost), quality, quality, cost)
    got = float((found.quality - usd * found.cost_usd).mean())
    chosen = Worth(usd=usd)(quality, cost)
    routed = paid(quality, cost, np.arange(engines) == chosen[:, None], chosen)
    assert got == pytest.approx(float((routed.quality - usd * routed.cost_usd).mean()))
    for order in itertools.permutations(range(engines)):
        some, price = quality[:, order], cost[:, order]
        bars = fit_thresholds(some, price, some, usd)
        cascade = cascaded(some, price, some, bars)
        assert got >= float((cascade.quality - usd * cascade.cost_usd).mean()) - 1e-9


@given(st.lists(levels, min_size=1, max_size=6), st.integers(0, 60).map(lambda at: at / 100))
def test_a_reservation_value_is_where_asking_is_worth_exactly_its_price(values, price):
    atoms = np.array([[sorted(values, reverse=True)]])
    outlook = type("Outlook", (), {"atoms": atoms, "mean": atoms.mean(axis=2)})()
    (value,) = reservation(outlook, np.array([[price]]), 1.0)[0]
    gain = float(np.maximum(atoms - value, 0).mean())
    assert gain == pytest.approx(price, abs=1e-9)


def brute_sets(outlook, cost, usd, best, open_):
    """The best set by enumeration, without pruning."""
    engines = [at for at in range(cost.shape[1]) if open_[0, at]]
    top = (best if np.isfinite(best) else -np.inf, ())
    for size in range(1, len(engines) + 1):
        for some in itertools.combinations(engines, size):
            means = [max(best, *values) for values in itertools.product(*(outlook.atoms[0, at] for at in some))]
            value = float(np.mean(means)) - usd * cost[0, list(some)].sum()
            if value > top[0] + 1e-12:
                top = (value, some)
    return top


@settings(max_examples=100, deadline=None)
@given(world=worlds, usd=st.sampled_from([0.0, 0.3, 1.0]), best=st.one_of(st.just(-np.inf), levels))
def test_pruning_loses_no_set_that_is_best(world, usd, best):
    values, costs = world
    plan, mean = plan_for(values, usd, Lookahead.SETS)
    cost, open_ = np.array([costs]), np.ones((1, len(costs)), bool)
    outlook = plan.spread.outlook(mean[None], mean[None], ~open_)
    value, some = brute_sets(outlook, cost, usd, best, open_)
    got = int(by_sets(outlook, cost, usd, np.array([best]), open_)[0])
    if got == STOP:
        assert value <= best + 1e-9
    else:
        with_it = [
            (np.mean([max(best, *v) for v in itertools.product(*(outlook.atoms[0, at] for at in each))]))
            - usd * cost[0, list(each)].sum()
            for size in range(1, len(costs) + 1)
            for each in itertools.combinations(range(len(costs)), size)
            if got in each
        ]
        assert max(with_it) == pytest.approx(value)
        assert some or np.isfinite(best)


def test_nobody_is_asked_twice_and_someone_always_answers():
    outlook = Spread.none(2).outlook(np.array([[0.1, 0.2]]), np.full((1, 2), np.nan), np.zeros((1, 2), bool))
    cost, open_ = np.array([[9.0, 9.0]]), np.array([[True, True]])
    for step in (by_index, by_sets):
        assert step(outlook, cost, 5.0, np.array([-np.inf]), open_)[0] != STOP  # however dear
        assert step(outlook, cost, 0.0, np.array([0.0]), ~open_)[0] == STOP


def made(rows=400, seed=0):
    """Answers of a small, a middle and a large engine whose scores say something about their quality."""
    rng = np.random.default_rng(seed)
    hard = rng.uniform(size=rows)
    chance = np.clip(np.column_stack([1.1 - hard, 1.2 - 0.7 * hard, 1.2 - 0.4 * hard]), 0.02, 0.98)
    quality = (rng.uniform(size=chance.shape) < chance).astype(float)
    score = np.clip(chance + 0.15 * (quality - 0.5) + rng.normal(scale=0.1, size=chance.shape), 0, 1)
    cost = np.tile([1e-5, 1e-4, 1e-3], (rows, 1)) * rng.uniform(0.5, 1.5, size=(rows, 1))
    expected = Expected(np.clip(chance + rng.normal(scale=0.15, size=chance.shape), 0, 1), cost)
    return expected, score, quality, cost


@pytest.mark.parametrize("lookahead", Lookahead)
@pytest.mark.parametrize("linked", [False, True])
def test_plans_run_from_the_safest_to_the_riskiest_and_trade_money_for_quality(lookahead, linked):
    expected, score, quality, cost = made()
    plans = plan_path("abc", expected, score, quality, cost, count=8, linked=linked, lookaheads=(lookahead,))
    each = [plan.through(expected, score, quality, cost) for plan in plans]
    spent = [found.cost_usd.mean() for found in each]
    useful = [found.quality.mean() for found in each]
    assert len(plans) >= 3
    assert spent == sorted(spent, reverse=True)
    assert useful == sorted(useful, reverse=True)
    assert all(found.legs.any(axis=1).all() for found in each)
    assert all(found.legs[np.arange(len(score)), found.given].all() for found in each)


def test_a_budget_and_a_floor_choose_the_candidate_that_they_say():
    quality, cost = np.array([[1.0, 0.9, 0.5]] * 3), np.array([[3.0, 2.0, 1.0]] * 3)
    assert (within(quality, cost, 2.5), within(quality, cost, 0.5)) == (1, None)
    assert (above(quality, cost, 0.8), above(quality, cost, 1.1)) == (1, None)


def test_of_two_answers_the_one_that_scored_best_is_given_and_an_unknown_score_is_the_estimate():
    ahead = Expected(np.array([[0.5, 0.9]]), np.zeros((1, 2)))
    seen = np.array([[True, True]])
    assert taken(ahead, np.array([[0.7, np.nan]]), seen)[0] == 1
    assert taken(ahead, np.array([[0.7, 0.7]]), seen)[0] == 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), usd=st.sampled_from([0.0, 100.0, 1_000.0]))
def test_thresholds_of_two_legs_are_the_best_there_are(seed, usd):
    _, score, quality, cost = made(40, seed)
    pair = (quality[:, [0, 2]], cost[:, [0, 2]], score[:, [0, 2]])
    bars = fit_thresholds(*pair, usd)

    def value(threshold):
        found = cascaded(*pair, (threshold, NEVER))
        return float((found.quality - usd * found.cost_usd).mean())

    assert value(bars[0]) >= max(value(each) for each in [*score[:, 0], 0.0, NEVER]) - 1e-12


def test_a_path_of_thresholds_begins_with_the_safest():
    _, score, quality, cost = made()
    path = threshold_path(quality, cost, score, count=12)
    each = [cascaded(quality, cost, score, bars) for bars in path]
    spent, useful = [e.cost_usd.mean() for e in each], [e.quality.mean() for e in each]
    assert spent == sorted(spent, reverse=True)
    assert useful == sorted(useful, reverse=True)
    assert len(path) >= 4


@pytest.mark.parametrize("spread", ["none", "fitted"])
def test_a_saved_plan_decides_as_it_did(tmp_path, spread):
    expected, score, quality, cost = made()
    known = Spread.none(3) if spread == "none" else Spread.fit(expected.quality, score)
    plan = Plan(engines=("a", "b", "c"), usd=200.0, spread=known, lookahead=Lookahead.INDEX)
    plan.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json")
    one, other = (each.through(expected, score, quality, cost) for each in (plan, again))
    assert (one.legs == other.legs).all()
    assert (again.engines, again.usd, again.lookahead) == (plan.engines, plan.usd, plan.lookahead)
    text = (tmp_path / "plan.json").read_text()
    for wrong in ("nonsense", "{}", text.replace('"c"', '"c", "d"'), text.replace("index", "magic")):
        (tmp_path / "plan.json").write_text(wrong)
        with pytest.raises(InputError, match="holds no plan"):
            Plan.load(tmp_path / "plan.json")


def test_what_is_seen_moves_what_is_expected_of_the_others():
    expected, score, _, _ = made()
    spread = Spread.fit(expected.quality, score)
    seen = np.zeros((1, 3), bool)
    seen[0, 0] = True
    ahead = np.full((1, 3), 0.5)
    low, high = (spread.outlook(ahead, np.array([[value, np.nan, np.nan]]), seen).mean for value in (0.1, 0.9))
    links = spread.covariance[0, 1:]
    assert (np.sign(high[0, 1:] - low[0, 1:]) == np.sign(links)).all()
    apart = Spread.fit(expected.quality, score, linked=False)
    assert (apart.outlook(ahead, np.array([[0.1, np.nan, np.nan]]), seen).mean[0, 1:] == 0.5).all()
