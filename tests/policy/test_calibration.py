"""A calibrated score is a probability; what is fitted comes back from its file as it was, and runs no code."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from legs import Says, ask, heard

from cput.errors import InputError
from cput.policy.cascade import Calibration, Cascade, Kind, Learned, Leg
from cput.policy.cascade.correctness import Correctness
from cput.policy.recorded import Recorded

PROMPTS = ["which colour is the sky", "what is two and two", "who wrote the book"]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(Kind), st.integers(0, 999), st.integers(20, 300))
def test_a_better_score_never_has_a_worse_probability(kind, seed, rows):
    rng = np.random.default_rng(seed)
    scores = rng.uniform(size=rows).round(2)
    useful = (rng.uniform(size=rows) < rng.uniform()) * 1.0  # scores that may say nothing
    found = Calibration.fit(scores, useful, kind=kind)(np.linspace(0, 1, 101))
    assert (np.diff(found) >= -1e-12).all()
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("kind", Kind)
def test_the_probability_is_what_became_of_such_answers(kind):
    rng = np.random.default_rng(0)
    scores = rng.uniform(size=20_000)
    useful = (rng.uniform(size=20_000) < scores**3) * 1.0  # far too sure of itself
    calibration = Calibration.fit(scores, useful, kind=kind)
    for low in (0.1, 0.3, 0.5, 0.7, 0.9):
        near = (scores >= low) & (scores < low + 0.1)
        tolerance = 0.05 if kind is Kind.PLATT else 0.03
        assert calibration(scores[near]).mean() == pytest.approx(useful[near].mean(), abs=tolerance)
    assert np.isnan(calibration([np.nan]))[0]


@pytest.mark.parametrize("kind", Kind)
def test_a_saved_calibration_is_the_same(kind, tmp_path):
    rng = np.random.default_rng(1)
    made = Calibration.fit(rng.uniform(size=100), rng.integers(0, 2, 100), kind=kind)
    made.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == made


def test_mistakes_are_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"scores lie in \[0, 2\]; allowed: 0 to 1"):
        Calibration.fit([0.0, 2.0] * 5, [0, 1] * 5)
    with pytest.raises(InputError, match=r"9 outcomes with a score .* 10 or more"):
        Calibration.fit([0.5] * 9 + [np.nan], [1] * 10)
    for said in ("{}", '{"kind": "other"}', '{"kind": "isotonic"}', "nonsense"):
        (tmp_path / "c.json").write_text(said)
        with pytest.raises(InputError, match="holds no calibration"):
            Calibration.load(tmp_path / "c.json")


def made(rows, seed):
    """Answers that are wrong where they say so or their confidence is low, by fixed odds."""
    rng = np.random.default_rng(seed)
    prompts = [PROMPTS[at % 3] for at in range(rows)]
    confidence = rng.uniform(0.05, 0.99, size=rows)
    hedged = rng.uniform(size=rows) < 0.3
    useful = (rng.uniform(size=rows) < np.where(hedged, 0.1, 0.2 + 0.75 * confidence)) * 1.0
    words = rng.choice(["blue", "four", "Lu Xun"], size=rows)
    answers = [f"I am not sure, {word}" if one else str(word) for word, one in zip(words, hedged, strict=True)]
    confidence[rng.uniform(size=rows) < 0.1] = np.nan
    return prompts, answers, confidence, useful


@pytest.fixture(scope="module")
def judge():
    return Correctness.fit(*made(600, seed=0))


def test_the_estimator_knows_more_than_confidence_alone_on_answers_it_has_not_seen(judge):
    from sklearn.metrics import roc_auc_score

    prompts, answers, confidence, useful = made(600, seed=1)
    found = judge.score(prompts, answers, confidence)
    told = ~np.isnan(confidence)
    alone = roc_auc_score(useful[told], confidence[told])
    assert roc_auc_score(useful[told], found[told]) > alone + 0.05
    assert found.mean() == pytest.approx(useful.mean(), abs=0.05)


def test_a_saved_estimator_gives_the_same_scores(judge, tmp_path):
    judge.save(tmp_path / "judge")
    prompts, answers, confidence, _ = made(20, seed=2)
    again = Correctness.load(tmp_path / "judge")
    assert (again.score(prompts, answers, confidence) == judge.score(prompts, answers, confidence)).all()
    assert b"colour" not in b"".join(path.read_bytes() for path in (tmp_path / "judge").iterdir())


def test_what_is_no_saved_estimator_is_refused(judge, tmp_path):
    import skops.io
    from sklearn.tree import DecisionTreeClassifier

    with pytest.raises(InputError, match="holds no estimator"):
        Correctness.load(tmp_path)
    judge.save(tmp_path)
    head = json.loads((tmp_path / "correctness.json").read_text())
    (tmp_path / "correctness.json").write_text(json.dumps(head | {"format": 99}))
    with pytest.raises(InputError, match="format 99; this cput reads 1"):
        Correctness.load(tmp_path)
    (tmp_path / "correctness.json").write_text(json.dumps(head))
    skops.io.dump({"model": Says, "tree": DecisionTreeClassifier()}, tmp_path / "model.skops")
    with pytest.raises(InputError, match="holds types that no estimator of ours has"):
        Correctness.load(tmp_path)


def test_too_few_outcomes_are_refused_with_both_numbers():
    prompts, answers, confidence, useful = made(60, seed=0)
    with pytest.raises(InputError, match="40 outcomes are given"):
        Correctness.fit(prompts[:40], answers[:40], confidence[:40], useful[:40])
    with pytest.raises(InputError, match="60 of them useful"):
        Correctness.fit(prompts, answers, confidence, np.ones(60))
    with pytest.raises(InputError, match="as many of each"):
        Correctness.fit(prompts, answers[:-1], confidence, useful)


async def test_a_learned_rule_judges_live_as_it_does_on_a_record(judge):
    answers = ("blue", "I am not sure, four")
    table = Recorded(
        engines=("small", "large"),
        items=("a", "b"),
        prompts=(PROMPTS[0], PROMPTS[1]),
        quality=np.ones((2, 2)),
        cost_usd=np.ones((2, 2)),
        answers=tuple((answer, "x") for answer in answers),
        confidence=np.full((2, 2), 0.8),
    )
    rule = Learned(judge)
    scores = rule.recorded(table, 0)
    for at, answer in enumerate(answers):
        engine = Cascade(
            [Leg(engine=Says("small", answer, p=0.8), rule=rule, threshold=0.0), Leg(engine=Says("large"))]
        )
        _, ending = await heard(engine, ask(table.prompts[at]))
        assert ending.grounds.options[0].score == pytest.approx(scores[at], rel=1e-6)
    assert scores[0] > scores[1]
