"""Requests that ask the same share an answer within a scope; thresholds are proven, and only ever raised."""

import json
from dataclasses import replace
from datetime import date
from importlib.resources import files
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cached import Counting, Flat

from cput.errors import EngineError, InputError, SetupError
from cput.ledger.charged import avoided, charged
from cput.ledger.meter import Metered
from cput.ledger.store import Ledger
from cput.policy.cache import (
    Bills,
    Cache,
    Cached,
    Certificate,
    FileStore,
    Fitted,
    MemoryStore,
    Pair,
    Semantic,
    fit,
    guard_version,
    load_pairs,
)
from cput.policy.cache.certificate import threshold_of, upper_bound
from cput.protocols import Answer
from cput.records import Call, CountedBy, Ending, Finish, Message, Outcome, Role, Sampling, Source, Usage, Vectors


class Letters:
    """Vectors of a text's letters: what is spelt alike lies close together."""

    name = "letters"
    manifest = SimpleNamespace(name="letters", sha256="0" * 64)

    def __init__(self):
        self.asked, self.error, self.cut = [], None, ()

    def rows(self, texts):
        rows = np.array([[1 + text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    async def start(self):
        pass

    async def embed(self, texts):
        return self.rows(texts)

    def answer(self, call):
        async def stream():
            self.asked.append(call.embed)
            if self.error is not None:
                raise self.error
            yield Vectors(places=(0,), values=self.rows(call.embed), cut=self.cut)
            usage = Usage(input_uncached=4, output=0, engine_s=0.001, complete=True, counted_by=CountedBy.ENGINE)
            yield Ending(finish=Finish.STOP, usage=usage, model="letters")

        return Answer(stream())

    async def aclose(self):
        pass


def certificate(threshold=0.6, **more):
    fitted = Fitted(threshold=threshold, pairs=1000, different=500, hits=300, false_hits=0, false_hit_upper=0.00994)
    about = {
        "embedder": "letters",
        "embedder_sha256": "0" * 64,
        "guard": guard_version(),
        "bound": 0.01,
        "confidence": 0.95,
        "date": "2026-01-01",
        "data": "a test",
        "languages": {"en": fitted},
    }
    return Certificate(**about | more)


class Line:
    def __init__(self, ledger, store=None, **options):
        self.ledger, self.leaf, self.embedder, self.bills = ledger, Counting(), Letters(), Bills(ledger)
        semantic = Semantic(self.embedder, certificate(), prices=Flat(), **options)
        self.cache = Cache(store or MemoryStore(), semantic=semantic)
        self.engine = Cached(Metered(self.leaf, self.bills, prices=Flat()), self.cache, self.bills, model="m")

    async def ask(self, text, *before, **more):
        turns = tuple(Message(role=role, content=said) for role, said in (*before, ("user", text)))
        call = Call(messages=turns, **more)
        answer = self.engine.answer(call)
        return await answer.text(), answer.ending, call


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "ledger.db") as opened:
        yield opened


@pytest.fixture(params=["memory", "file"])
def line(request, ledger, tmp_path):
    return Line(ledger, MemoryStore() if request.param == "memory" else FileStore(tmp_path / "cache.db"))


async def test_a_request_in_other_words_gets_the_same_answer_and_pays_its_look_up(line):
    said, _, first = await line.ask("How do I enable 2FA?")
    again, ending, call = await line.ask("how to turn on 2FA")
    assert (said, again, len(line.leaf.asked)) == ("How do I enable 2FA?", "How do I enable 2FA?", 1)
    grounds = ending.grounds
    assert (grounds.reason, grounds.chosen, grounds.source_call) == ("cache_semantic", "cache", first.id)
    assert grounds.options[0].threshold == 0.6
    assert 0.6 <= grounds.options[0].score <= 1
    record = next(each for each in line.ledger.calls() if each.call.id == call.id)
    assert [(each.engine, each.role) for each in record.attempts] == [("letters", Role.EMBED), ("cache", Role.SERVE)]
    assert (charged(record), int(avoided(record) * 10**9)) == (700, 700)
    assert line.cache.counts.hits == {"cache_exact": 0, "cache_semantic": 1}


async def test_flips_and_what_is_less_alike_are_asked(line):
    for text in ("turn on dark mode", "turn off dark mode", "send $5 to Bob", "send $6 to Bob", "pay from A to B"):
        assert (await line.ask(text))[0] == text
    assert len(line.leaf.asked) == 5


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "b"},
        {"policy": "p"},
        {"sampling": Sampling(max_new_tokens=9)},
        {"before": (("system", "be brief"),)},
        {"before": (("user", "a"), ("assistant", "b"))},
    ],
)
async def test_nothing_but_the_last_turn_may_differ(line, other):
    await line.ask("enable 2FA", tenant="a")
    other = dict(other)
    before = other.pop("before", ())
    await line.ask("turn on 2FA", *before, **{"tenant": "a", **other})
    assert len(line.leaf.asked) == 2


async def test_a_bad_outcome_of_a_semantic_hit_evicts_the_entry(line):
    await line.ask("enable 2FA")
    _, _, call = await line.ask("turn on 2FA")
    bad = Outcome(call_id=call.id, name="thumbs", value=0, source=Source.USER)
    assert await line.cache.judged([bad], tenant=None) == 1
    await line.ask("turn on 2FA")
    assert len(line.leaf.asked) == 2
    await line.ask("enable 2FA")
    assert len(line.leaf.asked) == 2  # the new answer serves it


async def test_an_embedder_that_fails_or_cuts_is_a_miss_and_no_error(line):
    await line.ask("enable 2FA")
    line.embedder.error = EngineError("the device failed")
    assert (await line.ask("turn on 2FA"))[0] == "turn on 2FA"
    line.embedder.error, line.embedder.cut = None, (0,)
    assert (await line.ask("switch on 2FA"))[0] == "switch on 2FA"
    assert len(line.leaf.asked) == 3


async def test_an_uncertified_language_and_an_unreadable_text_cost_no_look_up(line):
    await line.ask("如何开启深色模式")
    await line.ask("turn on\u200b it")
    assert line.embedder.asked == []


async def test_an_entry_of_another_process_is_found(ledger, tmp_path):
    first, second = (Line(ledger, FileStore(tmp_path / "cache.db")) for _ in range(2))
    await second.ask("buy shares")
    await first.ask("enable 2FA")
    assert (await second.ask("turn on 2FA"))[0] == "enable 2FA"
    assert second.leaf.asked[1:] == []


def test_a_threshold_may_be_raised_and_never_lowered():
    assert Semantic(Letters(), certificate(0.7), threshold=0.9).thresholds == {"en": 0.9}
    assert Semantic(Letters(), certificate(0.7)).thresholds == {"en": 0.7}
    for wrong in (0.69, 1.1):
        with pytest.raises(InputError, match=r"allowed: 0\.7 to 1"):
            Semantic(Letters(), certificate(0.7), threshold=wrong)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"embedder": "another"}, "fitted for 'another'"),
        ({"embedder_sha256": "1" * 64}, "fit it again"),
        ({"guard": "0"}, "fitted with guard 0"),
        ({"languages": {}}, "does not start"),
    ],
)
def test_without_a_certificate_of_this_embedder_and_guard_it_does_not_start(other, says):
    with pytest.raises(SetupError, match=says):
        Semantic(Letters(), replace(certificate(), **other))


def test_an_embedder_without_a_shipped_certificate_says_how_to_fit_one():
    with pytest.raises(SetupError, match=r"cput\.policy\.cache\.fit"):
        Certificate.shipped("letters")


@pytest.mark.parametrize("name", ["all-minilm-l6-v2", "wordllama-256"])
def test_the_shipped_certificates_are_of_this_guard_and_hold_their_bound(name):
    """After a change of the guard or its words: python benches/policy_cache.py --fit."""
    shipped = Certificate.shipped(name)
    assert shipped.guard == guard_version()
    for fitted in shipped.languages.values():
        assert fitted.false_hit_upper == pytest.approx(upper_bound(fitted.false_hits, fitted.hits, shipped.confidence))
        assert fitted.false_hit_upper <= shipped.bound
    assert json.loads(files("cput.policy.cache").joinpath(f"fitted/{name}.json").read_text())["embedder"] == name


async def test_a_certificate_is_fitted_on_pairs_saved_and_read(tmp_path):
    same = [Pair(f"enable thing number {at}", f"turn on thing number {at}", same=True) for at in range(400)]
    flipped = [Pair(f"enable thing number {at}", f"disable thing number {at}", same=False) for at in range(400)]
    found = await fit([*same, *flipped], Letters(), on=date(2026, 1, 2))
    fitted = found.languages["en"]
    assert (fitted.pairs, fitted.different, fitted.hits, fitted.false_hits) == (800, 400, 400, 0)
    assert (fitted.same_hit_rate, fitted.false_among_different, found.date) == (1.0, 0.0, "2026-01-02")
    found.save(tmp_path / "c.json")
    assert Certificate.load(tmp_path / "c.json") == found
    assert "0 of 400 hits" in found.words
    found.require_for(Letters.manifest)


async def test_too_few_pairs_prove_nothing():
    pairs = [Pair(f"enable thing {at}", f"turn on thing {at}", same=True) for at in range(298)]
    found = await fit(pairs, Letters())
    assert found.thresholds == {}
    with pytest.raises(SetupError, match="does not start"):
        found.require_for(Letters.manifest)


def test_the_bound_is_the_exact_one():
    assert upper_bound(0, 299, 0.95) == pytest.approx(1 - 0.05 ** (1 / 299))
    assert upper_bound(0, 298, 0.95) > 0.01 >= upper_bound(0, 299, 0.95)
    assert upper_bound(5, 5, 0.95) == 1.0


@given(st.lists(st.tuples(st.floats(0.5, 1.0), st.booleans()), min_size=1, max_size=60))
def test_a_fitted_threshold_always_holds_its_bound_on_its_pairs(rows):
    scores, same = np.array([score for score, _ in rows]), np.array([same for _, same in rows])
    found = threshold_of(scores, same, bound=0.3, confidence=0.9)
    if found.threshold is not None:
        hit = scores >= found.threshold
        assert (found.hits, found.false_hits) == (hit.sum(), (hit & ~same).sum())
        assert upper_bound(found.false_hits, found.hits, 0.9) <= 0.3


def test_the_bound_holds_in_at_least_95_of_100_draws():
    """Scores that say little, truth known: how often the threshold that is chosen has more than 10 % false hits."""
    random, broken, draws = np.random.default_rng(7), 0, 200
    for _ in range(draws):
        scores = random.uniform(0.6, 1.0, 600)
        same = random.random(600) < 0.6 + scores * 0.4
        found = threshold_of(scores, same, bound=0.1, confidence=0.95)
        if found.threshold is not None:
            middle = (found.threshold + 1) / 2
            broken += (1 - (0.6 + middle * 0.4)) > 0.1
    assert broken / draws <= 0.05 + 2 * (0.05 * 0.95 / draws) ** 0.5


def test_a_line_that_is_no_pair_is_named(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"one": "a", "other": "b", "same": true}\n\n{"one": "a", "same": 1}\n')
    with pytest.raises(InputError, match="line 3 is no pair"):
        load_pairs(path)
    path.write_text('{"one": "a", "other": "b", "same": true}\n')
    assert load_pairs(path) == [Pair("a", "b", same=True)]
    with pytest.raises(InputError, match="can't be read"):
        load_pairs(tmp_path / "none.jsonl")
