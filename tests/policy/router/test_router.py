"""Routers learn from recorded answers, say what they know in probabilities, and come back from disk as they were."""

import json
import types

import numpy as np
import pytest

from cput.errors import InputError
from cput.policy.baselines import category_scores
from cput.policy.frontier import random_share, strong_share
from cput.policy.router import ByCategory, Estimates, fit, load_estimator, settle, thresholds
from cput.policy.router.features import Reader
from cput.policy.router.ridge import Ridge, gram_of_words
from cput.policy.router.text import STYLE, Template, style

WORDS = ("linear", "topic", "neighbours")


def test_words_alone_beat_a_coin_on_real_answers(mmlu):
    """On held-out MMLU prompts far fewer GPT-4 calls give 95 % of its quality than a coin needs, without an embedding."""
    train, test = mmlu.split(0.67, seed=3)
    estimates = fit(train, members=WORDS, tag="subject").estimate(test.prompts)
    weak, strong = test.quality.T
    needed = strong_share(estimates.quality[:, 1] - estimates.quality[:, 0], weak, strong, share=0.95)
    assert needed < random_share(weak, strong, share=0.95) - 0.1
    table = category_scores(train, test, "subject")
    assert needed < strong_share(table[:, 1] - table[:, 0], weak, strong, share=0.95) + 0.1


def test_estimates_are_calibrated_on_real_answers(mmlu):
    """Of each fifth of the held-out prompts as many are answered well as was estimated: off by 6 points on average."""
    train, test = mmlu.split(0.67, seed=4)
    quality = fit(train, members=WORDS, tag="subject").estimate(test.prompts).quality
    for place in (0, 1):
        parts = np.array_split(np.argsort(quality[:, place]), 5)
        gaps = [abs(quality[part, place].mean() - test.quality[part, place].mean()) for part in parts]
        assert np.mean(gaps) < 0.06


@pytest.mark.parametrize("members", [("linear",), ("topic",), ("neighbours",), ("boosted",), WORDS])
def test_every_member_learns_what_the_text_says(easy, members):
    """Where the answer follows from the words, the small engine gets its half and the large one the rest."""
    train, test = easy.split(0.7, seed=0)
    estimator = fit(train, members=members, tag="kind")
    chosen = [estimator.engines[place] for place in settle(estimator.estimate(test.prompts), 0.05, 1)]
    assert (
        np.mean([(one == "small") == (kind == "sum") for one, kind in zip(chosen, test.tags["kind"], strict=True)])
        > 0.9
    )


@pytest.mark.parametrize("members", [("linear", "topic"), ("neighbours", "boosted")])
def test_a_saved_router_estimates_as_before(easy, members, tmp_path):
    """Nothing is lost, and no prompt is in the files."""
    estimator = fit(easy, members=members, tag="kind")
    estimator.save(tmp_path / "r")
    again = load_estimator(tmp_path / "r")
    for one, other in zip(estimator.estimate(easy.prompts), again.estimate(easy.prompts), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    assert again.engines == estimator.engines
    assert all(b"statute" not in file.read_bytes() for file in (tmp_path / "r").iterdir())


def test_a_saved_table_is_the_same_table(easy, tmp_path):
    """The by-category table is kept as JSON."""
    table = ByCategory.fit(easy, "kind")
    table.save(tmp_path)
    assert load_estimator(tmp_path) == table
    known = table.estimate(["x"] * 3, {"kind": ["sum", "law", "?"]}).quality
    assert known[0, 0] > 0.9
    assert known[1, 0] < 0.1
    assert known[2, 0] == pytest.approx(easy.quality[:, 0].mean())


def test_a_foreign_or_broken_folder_is_refused(easy, tmp_path):
    """A file that would have to be unpickled, another version, another kind, no file at all: one sentence each."""
    with pytest.raises(InputError, match="no saved router can be read from"):
        load_estimator(tmp_path)
    fit(easy).save(tmp_path)
    import skops.io

    skops.io.dump({"reader": types.SimpleNamespace(a=1)}, tmp_path / "router.skops")
    with pytest.raises(InputError, match=r"holds types that are not trusted: types\.SimpleNamespace"):
        load_estimator(tmp_path)
    (tmp_path / "router.skops").write_bytes(b"no zip")
    with pytest.raises(InputError, match="can't be read as a saved router"):
        load_estimator(tmp_path)
    head = json.loads((tmp_path / "router.json").read_text())
    for changed, message in (
        ({"version": 9}, "version is 9; allowed: 1"),
        ({"kind": "x"}, "unknown kind of saved router"),
    ):
        (tmp_path / "router.json").write_text(json.dumps({**head, **changed}))
        with pytest.raises(InputError, match=message):
            load_estimator(tmp_path)


def test_what_a_router_cannot_learn_from_is_refused(easy):
    for given, message in (
        ({"members": ("linaer",)}, "unknown member of a router 'linaer'; did you mean 'linear'?"),
        ({"members": ("topic",)}, "'None' is none of the record's; allowed: kind"),
        ({"members": ("perceptron",)}, "member 'perceptron' needs vectors"),
        ({"members": ()}, "a router needs a member"),
    ):
        with pytest.raises(InputError) as told:
            fit(easy, **given)
        assert message in str(told.value)
    with pytest.raises(InputError, match="5 prompts have every quality known; a router needs at least 20"):
        fit(easy.rows(range(5)))


def test_left_out_predictions_are_those_of_a_fit_without_the_prompt(easy):
    """The closed form says what a fit on the other prompts says, with words and means as they were."""
    part = easy.rows(range(30))
    _, features = Reader.fit(part.prompts, None)
    y = (part.quality - part.quality.mean(axis=0)).astype(np.float32)
    y -= y.mean(axis=0)
    _, left_out = Ridge.fit(features, gram_of_words(features), y, penalty=0.7)
    for out in (0, 17):
        rest = np.delete(np.arange(30), out)
        kernel = gram_of_words(features) + (features.style @ features.style.T) * 0.1 / len(STYLE)
        dual = np.linalg.solve(kernel[np.ix_(rest, rest)] + 0.7 * np.eye(29), y[rest])
        np.testing.assert_allclose(left_out[out], kernel[out, rest] @ dual, atol=2e-4)


def test_settings_go_from_the_reference_alone_to_the_cheapest(easy):
    """The first candidate is the reference's own answers; no later one is estimated to cost more."""
    estimator = fit(easy)
    found = thresholds(estimator.estimate(easy.prompts), easy, reference="large")
    assert found.usd_per_useful[0] is None
    assert (found.quality[:, 0] == found.reference).all()
    costs = found.cost_usd.mean(axis=0)
    assert (np.diff(costs[1:]) <= 1e-12).all()
    assert costs[-1] == pytest.approx(0.001)
    assert found.quality.shape == found.cost_usd.shape == (200, len(found.usd_per_useful))


def test_an_engine_of_unknown_cost_is_not_asked():
    """Nobody is chosen for being cheap whose cost nobody knows."""
    estimates = Estimates(np.array([[0.9, 0.8]]), np.array([[np.nan, 1.0]]))
    assert settle(estimates, 0.0, 1).tolist() == [1]
    assert settle(estimates, 100.0, 1).tolist() == [1]
    assert settle(estimates, None, 0).tolist() == [0]


def test_a_shared_beginning_is_dropped_whole_lines_only():
    """Instructions and worked examples that all prompts share say nothing; a shared half line is kept."""
    template = Template.of(["Do it.\nWhat is a?", "Do it.\nWhat is b?"])
    assert template.prefix == "Do it.\n"
    assert template.rest("Do it.\nWhat is c?") == "What is c?"
    assert template.rest("Else") == "Else"
    assert Template.of(["same", "same"]).prefix == Template.of([]).prefix == ""


def test_style_tells_a_negation_and_never_fails():
    """Each figure is a number for any text."""
    figures = dict(zip(STYLE, style(["Which is NOT true?\nA. 1\nB. 22\nAnswer:"])[0], strict=True))
    assert (figures["negation"], figures["negation in capitals"], figures["share of options with digits"]) == (1, 1, 1)
    assert np.isfinite(style(["", " ", "\n", "A" * 10000, "中文", "\x00"])).all()
