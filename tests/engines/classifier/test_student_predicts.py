"""A student knows what it was taught, says how sure it is, and means it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from cput.engines.classifier import Features, fit
from cput.engines.classifier.fitting import FOLDS, aurc, folds_of
from cput.engines.classifier.grams import learn
from cput.engines.classifier.neighbours import invert
from cput.errors import InputError

TEXTS = [
    "turn on the lamp",
    "my card is lost",
    "卡丢了怎么办",
    "the lamp is on",
    "把灯打开",
    "a song, please",
    "Ｆull width",
]


def test_it_answers_unseen_messages_far_better_than_the_commonest_label(spam):
    student, texts, labels = spam
    found = student.predict(texts)
    right = np.array(found.labels) == np.array(labels)
    assert right.mean() > 0.93 > labels.count("ham") / len(labels)


def test_the_surest_half_is_righter_than_the_rest(spam):
    student, texts, labels = spam
    found = student.predict(texts)
    right = np.array(found.labels) == np.array(labels)
    order = np.argsort(-found.confidence)
    half = len(order) // 2
    assert right[order[:half]].mean() > right[order[half:]].mean()
    assert aurc(found.confidence, right) < aurc(-found.confidence, right)


def test_confidence_means_what_it_says(spam):
    """Of 250 messages it had not seen, about as many are right as it expects (within five points)."""
    student, texts, labels = spam
    found = student.predict(texts)
    right = np.array(found.labels) == np.array(labels)
    assert abs(found.confidence.mean() - right.mean()) < 0.05


def test_probabilities_add_up_to_one_and_only_allowed_labels_have_any(rooms):
    texts = ["warm the hall", "who am I"]
    everything, some = rooms.predict(texts), rooms.predict(texts, allowed=[0, 3])
    assert np.allclose(everything.probabilities.sum(axis=1), 1)
    assert np.allclose(some.probabilities.sum(axis=1), 1)
    assert not some.probabilities[:, 1:3].any()
    assert set(some.labels) <= {rooms.labels[0], rooms.labels[3]}


def test_what_is_out_of_scope_is_never_sure(rooms):
    found = rooms.predict(["what is the capital of France", "turn on the lamp in the kitchen"])
    assert found.labels == ("oos", "light_on")
    assert found.confidence[0] == -np.inf
    assert 0.5 < found.confidence[1] <= 1


def test_a_text_like_nothing_taught_has_no_neighbour(rooms):
    found = rooms.predict(["ζω ξψ", "turn on the lamp in the kitchen"])
    assert found.scores["nearest"][0] == 0
    assert found.scores["nearest"][1] == pytest.approx(1, abs=1e-5)


def test_many_texts_and_one_at_a_time_are_the_same(rooms):
    texts = ["play a song", "", "暖和", "turn on the radio"]
    together = rooms.predict(texts)
    for at, text in enumerate(texts):
        alone = rooms.predict([text])
        assert alone.labels[0] == together.labels[at]
        assert alone.probabilities[0] == pytest.approx(together.probabilities[at], abs=1e-6)


def test_rows_are_those_of_scikit_learn():
    """What is answered with is what was fitted with."""
    features = Features()
    theirs = TfidfVectorizer(analyzer=features.grams, sublinear_tf=True, dtype=np.float32).fit(TEXTS)
    ours = learn(TEXTS, features)
    for text in [*TEXTS, "a lamp, a lamp, my lamp", "打开卡"]:
        row = ours.row(text)
        dense = np.zeros(len(ours.grams), np.float32)
        dense[row.places] = row.weights
        order = [theirs.vocabulary_[gram] for gram in ours.grams]
        assert dense == pytest.approx(theirs.transform([text]).toarray()[0][order], abs=1e-5)


@given(st.lists(st.text(max_size=12), min_size=2, max_size=12), st.text(max_size=12))
@settings(max_examples=25, deadline=None)
def test_the_nearest_example_is_the_one_that_looking_at_all_finds(texts, asked):
    vocabulary = learn([*texts, "anchor"], Features(words=1, chars=(1, 2)))
    rows = [vocabulary.row(text) for text in texts]
    near = invert(rows, len(vocabulary.grams))

    def dense(row):
        full = np.zeros(len(vocabulary.grams))
        full[row.places] = row.weights
        full[np.diff(near.starts) == 0] = 0
        size = np.linalg.norm(full)
        return full / size if size else full

    best = max(float(dense(row) @ dense(vocabulary.row(asked))) for row in rows)
    assert near.nearest(vocabulary.row(asked)) == pytest.approx(best, abs=1e-5)


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 2)), min_size=1, max_size=40))
def test_copies_share_a_fold_and_no_label_is_ever_untaught(pairs):
    texts, y = [text for text, _ in pairs], np.array([label for _, label in pairs])
    fold = folds_of(texts, y, seed=0)
    for text in set(texts):
        assert len({int(fold[at]) for at, other in enumerate(texts) if other == text}) == 1
    first = {text: y[texts.index(text)] for text in texts}  # copies with other labels go with the first
    for held in range(FOLDS):
        left = {first[text] for at, text in enumerate(texts) if fold[at] != held}
        assert left == set(first.values())


def test_a_vector_beside_the_grams_is_read():
    """Texts that say nothing are told apart by their vectors alone."""
    rng = np.random.default_rng(0)
    labels = ["a", "b"] * 20
    vectors = np.array([[1, 0] if label == "a" else [0, 1] for label in labels], np.float32)
    vectors += rng.normal(0, 0.05, vectors.shape).astype(np.float32)
    student = fit(["same"] * 20 + ["words"] * 20, labels, vectors=vectors, features=Features(embedder="made"))
    found = student.predict(["same", "words"], vectors=np.array([[1, 0], [0, 1]], np.float32))
    assert found.labels == ("a", "b")
    with pytest.raises(InputError, match=r"vectors of made: shape \(1, 2\) is needed, and none was given"):
        student.predict(["same"])


def test_weights_make_an_example_count(rooms):
    """The same text with two labels: the heavier one wins."""
    texts = ["open it"] * 12 + ["close that"] * 12
    labels = (["up"] * 6 + ["down"] * 6) * 2
    heavy = [9.0 if label == "up" else 1.0 for label in labels]
    assert fit(texts, labels, weights=heavy).predict(["open it"]).labels == ("up",)
    assert fit(texts, labels, weights=[10 - w for w in heavy]).predict(["open it"]).labels == ("down",)


def test_the_card_says_what_it_was_taught_and_how_well_each_slice_does(rooms):
    card = rooms.card
    assert card.examples == {"light_on": 24, "heat_up": 24, "play_music": 24, "oos": 32}
    assert (card.source, card.licence, len(card.data_sha256)) == ("made", "CC0-1.0", 64)
    assert set(card.figures["slices"]) == {"length=long", "length=short"}
    assert card.figures["calibration"] in {"temperature", "sigmoid", "isotonic"}
    losses = card.figures["log_loss"]
    assert losses[card.figures["calibration"]] == min(loss for kind, loss in losses.items() if kind != "none")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"texts": ["a"] * 3, "labels": ["x", "y", "x"]}, "there are 3 examples of 2 labels; allowed: 10 examples"),
        ({"labels": ["x"] * 12}, "12 examples of 1 label;"),
        ({"labels": ["x", "y"]}, "labels has 2 values; allowed: 12"),
        ({"outside": "xx"}, "unknown label for out of scope 'xx'; did you mean 'x'"),
        ({"score": "tpo"}, "unknown score 'tpo'; did you mean 'top'"),
        ({"weights": [0.0] * 12}, "the least weight is 0.0"),
        ({"features": Features(embedder="m")}, "features.embedder is 'm'; give vectors"),
        ({"texts": [" "] * 12, "features": Features(chars=(4, 5))}, "nothing that can be read"),
    ],
)
def test_what_cannot_be_taught_is_said(change, says):
    taught = {"texts": [f"text {n}" for n in range(12)], "labels": ["x", "y"] * 6} | change
    with pytest.raises(InputError) as error:
        fit(**taught)
    assert says in str(error.value)


@pytest.mark.parametrize(
    "sizes", [{"words": 9}, {"chars": (3, 2)}, {"chars": (0, 2)}, {"max_grams": 0}], ids=["words", "order", "0", "none"]
)
def test_sizes_of_features_are_bounded(sizes):
    with pytest.raises(InputError, match="allowed"):
        Features(**sizes)
