"""What ``policy_student.py`` runs on: labelled texts, a heavy labeller's real answers to them, and what a call costs.

The labeller is the strongest model that was made here from all of the training split: a linear SVM over n-grams, a
logistic regression and nearest neighbours over MiniLM's vectors, averaged; for Chinese, which MiniLM does not read, a
linear SVM and a logistic regression over n-grams. It takes part as an engine would: with
its own mistakes, and at the price of a hosted small model asked with the list of labels.
"""

import asyncio
import json
import lzma
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cput.engines.classifier.calibrate import log_softmax
from cput.engines.classifier.grams import Features, learn
from cput.engines.embedder import open_engine
from cput.ledger.price import PriceBook
from cput.models import ModelStore
from cput.records import CountedBy, Usage
from cput.workloads import load

HERE = Path(__file__).parent
BUILD = HERE.parent / "build" / "bench-student"
EMBEDDER = "all-minilm-l6-v2"
TOKENIZER = "smollm2-135m-instruct"
HOSTED = ("openai", "gpt-4o-mini")
CHAT_TOKENS = 8
"""What a chat format adds to a prompt of two turns, about."""
RATE_USD_PER_S = 0.08 / 3600
"""A small cloud machine's price, as in ``make demo``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Labelled texts of one split."""

    texts: tuple[str, ...]
    labels: npt.NDArray[np.str_]
    topics: npt.NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.texts)

    def rows(self, at: npt.NDArray[np.int64]) -> "Labelled":
        return Labelled(texts=tuple(self.texts[i] for i in at), labels=self.labels[at], topics=self.topics[at])


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One data set and how it is used."""

    name: str
    train: Labelled
    test: Labelled
    outside: str | None
    per_label: int
    """Examples of each label that the student sees."""
    slices: tuple[str, ...] = ()
    """Topics that must hold the floor each by itself."""
    facts: dict[str, Any] = field(default_factory=dict)


PER_LABEL = {"banking77": 25, "clinc150": 25, "cold": 1500}


def task(name: str, *, quick: bool = False) -> Task:
    """Return one of ``PER_LABEL``: whole, or the shipped workload's sample split in two for a smoke run."""
    if quick:
        parts = _sampled(name)
    else:
        rows = _rows(HERE / "data" / "labels" / f"{name}.jsonl.xz")
        parts = {part: _labelled([row for row in rows if row["split"] in splits]) for part, splits in _PARTS.items()}
    topics = tuple(sorted(set(parts["test"].topics) - {""}))
    outside = "oos" if name == "clinc150" else None
    return Task(name=name, **parts, outside=outside, per_label=PER_LABEL[name], slices=topics)


_PARTS = {"train": ("train", "val"), "test": ("test",)}


def _rows(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in lzma.decompress(file.read_bytes()).decode().split("\n") if line]


def _labelled(rows: list[dict[str, str]]) -> Labelled:
    return Labelled(
        texts=tuple(row["text"] for row in rows),
        labels=np.array([row["label"] for row in rows]),
        topics=np.array([row.get("topic", "") for row in rows]),
    )


def _sampled(name: str) -> dict[str, Labelled]:
    items = load(name).items
    rows = [{"text": item.text, "label": item.reference, "topic": item.tags.get("topic", "")} for item in items]
    return {"train": _labelled(rows[::2]), "test": _labelled(rows[1::2])}


@dataclass(frozen=True, slots=True, kw_only=True)
class Labeller:
    """A labeller's answers to the test split."""

    name: str
    answers: npt.NDArray[np.str_]
    engine_s: float | None
    """Measured seconds of a core for one answer (a loaded machine stretches a clock's); None: not measured."""


def heavy(found: Task, *, seed: int = 0) -> Labeller:
    """Return the ensemble's answers; they are kept under ``build/`` and made once."""
    file = BUILD / f"{found.name}-{len(found.train)}-labeller.npz"
    if file.is_file():
        kept = np.load(file)
        return Labeller(name="ensemble", answers=kept["answers"], engine_s=float(kept["engine_s"]))
    from scipy.sparse import csr_array
    from sklearn.linear_model import LogisticRegression

    names, y = np.unique(found.train.labels, return_inverse=True)
    features = Features(words=2, chars=(1, 4), max_grams=40_000)
    words = learn(found.train.texts, features)

    def sparse(texts: tuple[str, ...]) -> Any:
        rows = [words.row(text) for text in texts]
        ends = np.concatenate(([0], np.cumsum([len(row.places) for row in rows]))).astype(np.int32)
        values = np.concatenate([row.weights for row in rows])
        return csr_array((values, np.concatenate([row.places for row in rows]), ends), (len(rows), len(words.grams)))

    grams = sparse(found.train.texts), sparse(found.test.texts)
    said = [_svm(*grams, y, seed)]
    if found.name == "cold":  # MiniLM reads no Chinese
        dense = LogisticRegression(C=10.0, max_iter=300).fit(grams[0], y)
        said.append(dense.predict_proba(grams[1]))
    else:
        near = vectors(found.name, "train", found.train), vectors(found.name, "test", found.test)
        dense = LogisticRegression(C=30.0).fit(near[0], y)
        said += [dense.predict_proba(near[1]), _neighbours(near[0], y, near[1], len(names))]
    answers = names[sum(said).argmax(axis=1)]
    engine_s = _one_answer_s(found, words, len(names))
    BUILD.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file, answers=answers, engine_s=engine_s)
    return Labeller(name="ensemble", answers=answers, engine_s=engine_s)


def _svm(taught: Any, asked: Any, y: Any, seed: int) -> Any:
    from sklearn.svm import LinearSVC

    margins = LinearSVC(C=1.0, random_state=seed).fit(taught, y).decision_function(asked)
    return np.exp(log_softmax(5 * (np.stack((-margins, margins), axis=1) if margins.ndim == 1 else margins)))


def references(found: Task) -> Labeller:
    """Return a labeller that is always right: what a student can save at most in front of one."""
    return Labeller(name="references", answers=found.test.labels, engine_s=None)


def _neighbours(known: Any, y: Any, asked: Any, labels: int, k: int = 10) -> Any:
    near = asked @ known.T
    best = np.argpartition(-near, k, axis=1)[:, :k]
    votes = np.zeros((len(asked), labels))
    weight = np.exp(20 * (np.take_along_axis(near, best, axis=1) - 1))
    for column in range(k):
        np.add.at(votes, (np.arange(len(asked)), y[best[:, column]]), weight[:, column])
    return votes / votes.sum(axis=1, keepdims=True)


def _one_answer_s(found: Task, words: Any, labels: int) -> float:
    """Measure one answer in seconds of a core: what the ensemble computes for a single text, with made weights."""
    texts = found.test.texts[:50]
    reads = found.name != "cold"
    known = np.zeros((len(found.train), 384), np.float32)
    matrix = np.zeros((len(words.grams), labels), np.float32)

    async def embed() -> float:
        engine = open_engine(EMBEDDER)
        await engine.embed(["warm"])
        began = time.process_time()
        for text in texts:
            await engine.embed([text])
        spent = time.process_time() - began
        await engine.aclose()
        return spent

    spent = asyncio.run(embed()) if reads else 0.0
    began = time.process_time()
    for text in texts:
        row = words.row(text)
        for _ in range(1 if reads else 2):
            row.weights @ matrix[row.places]
        if reads:
            np.argpartition(known @ known[0], 10)
    return (spent + time.process_time() - began) / len(texts)


def vectors(name: str, part: str, texts: Labelled, model: str = EMBEDDER) -> npt.NDArray[np.float32]:
    """Return the texts' vectors; they are kept under ``build/``."""
    file = BUILD / f"{name}-{part}-{len(texts)}-{model}.npy"
    if file.is_file():
        return np.load(file)

    async def embed() -> npt.NDArray[np.float32]:
        engine = open_engine(model)
        try:
            parts = [await engine.embed(texts.texts[at : at + 256]) for at in range(0, len(texts), 256)]
        finally:
            await engine.aclose()
        return np.concatenate(parts)

    made = asyncio.run(embed())
    BUILD.mkdir(parents=True, exist_ok=True)
    np.save(file, made)
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """What answers to the test split cost, and how long they are."""

    hosted_usd: dict[str, Any]
    """(n,) of each labeller's answers, at the hosted price."""
    tokens: Any
    """(n,) reference lengths: of the right label, and the token that ends it."""


def money(found: Task, labellers: list[Labeller]) -> Money:
    """Return what the labellers' answers cost; it is worked out once and kept under ``build/``."""
    file = BUILD / f"{found.name}-{len(found.test)}-money.npz"
    if not file.is_file():
        prices = Prices(found.name)
        usd = {
            each.name: [
                prices.hosted_usd(text, str(said)) for text, said in zip(found.test.texts, each.answers, strict=True)
            ]
            for each in labellers
        }
        BUILD.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(file, tokens=[prices.tokens(str(label)) + 1 for label in found.test.labels], **usd)
    kept = np.load(file)
    return Money(hosted_usd={each.name: kept[each.name] for each in labellers}, tokens=kept["tokens"])


class Prices:
    """What a call costs, in US dollars, and how long an answer is, in tokens."""

    def __init__(self, name: str) -> None:
        from tokenizers import Tokenizer

        folder = ModelStore().get(TOKENIZER, any_engine=True).folder
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._system = self.tokens(load(name).system_prompt or "")
        self._book = PriceBook.load()
        self.version = "unknown"

    def tokens(self, text: str) -> int:
        """Return how many tokens a text has."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def hosted_usd(self, text: str, answer: str) -> float:
        """Return what the hosted model costs for a text, asked with the workload's system prompt."""
        used = Usage(
            input_uncached=self._system + self.tokens(text) + CHAT_TOKENS,
            output=self.tokens(answer) + 1,
            complete=True,
            counted_by=CountedBy.ESTIMATED,
        )
        provider, model = HOSTED
        priced = self._book.price(used, model=model, provider=provider, at=datetime.now(UTC))
        self.version = priced.version
        return float(priced.usd if priced.usd is not None else Decimal("nan"))

    @property
    def system_tokens(self) -> int:
        """Tokens of the instructions and the list of labels."""
        return self._system
