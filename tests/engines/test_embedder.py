"""The embedding engine with real models: the numbers of the reference, what it counts, and what it does in trouble."""

import asyncio
import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from scipy.special import erf
from tokenizers import Tokenizer

from cput.compress import quantize
from cput.engines.embedder import Embedder, open_engine
from cput.engines.openvino import open_engine as open_chat
from cput.errors import EngineUnavailable, InputError, PromptTooLong
from cput.ledger.meter import Metered
from cput.ledger.store import Ledger
from cput.models import ModelStore, load_manifest
from cput.models.safetensors_file import open_safetensors
from cput.records import Call, Finish, Role, Vectors
from cput.testing import check_engine

pytestmark = pytest.mark.asyncio(loop_scope="module")
BANKING = Path(__file__).parents[2] / "workloads" / "banking77" / "items.jsonl"
ENCODER_FLOOR, TABLE_FLOOR = 0.68, 0.62
MIXED = ["a", "The quick brown fox jumps over the lazy dog.", "请用中文回答 😀 naïve café", "word " * 240, "x" * 3000]


@pytest.fixture(scope="module")
def items():
    return [json.loads(line) for line in BANKING.read_text().splitlines()]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedder(minilm):
    opened = open_engine(minilm.folder)
    yield opened
    await opened.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def static(wordllama):
    opened = open_engine(wordllama.folder)
    yield opened
    await opened.aclose()


class Reference:
    """MiniLM in float64 and plain numpy, from the original weights: modeling_bert.py, by hand, a text at a time."""

    def __init__(self, folder):
        slices = open_safetensors(folder / "model.safetensors", without=("position_ids",))
        self.weights = {name: piece.load().astype(np.float64) for name, piece in slices.items()}
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(256)

    def norm(self, x, name):
        even = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return even * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def linear(self, x, name):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def attended(self, x, name):
        q, k, v = (
            self.linear(x, f"{name}.self.{part}").reshape(len(x), 12, 32).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = np.exp(q @ k.swapaxes(1, 2) / math.sqrt(32))
        seen = (scores / scores.sum(-1, keepdims=True) @ v).swapaxes(0, 1).reshape(len(x), 384)
        return self.norm(x + self.linear(seen, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def vector(self, text):
        ids = self.tokenizer.encode(text).ids
        words, places, kinds = (
            self.weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position", "token_type")
        )
        x = self.norm(words[ids] + places[: len(ids)] + kinds[0], "embeddings.LayerNorm")
        for layer in range(6):
            block = f"encoder.layer.{layer}"
            x = self.attended(x, f"{block}.attention")
            wide = self.linear(x, f"{block}.intermediate.dense")
            wide = wide * (1 + erf(wide / math.sqrt(2))) / 2
            x = self.norm(x + self.linear(wide, f"{block}.output.dense"), f"{block}.output.LayerNorm")
        mean = x.mean(0)
        return mean / np.linalg.norm(mean)


@pytest.fixture(scope="module")
def texts(items):
    return [*MIXED, *(item["prompt"] for item in items[:10])]


@pytest.fixture(scope="module")
def expected(minilm_files, texts):
    reference = Reference(minilm_files)
    return np.stack([reference.vector(text) for text in texts])


def cosines(one, other):
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


# The numbers


@pytest.mark.parametrize(("compute", "least"), [("auto", 0.9999), ("f32", 0.999999)])
async def test_minilm_gives_the_vectors_of_the_reference(minilm, texts, expected, compute, least):
    engine = open_engine(minilm.folder, compute=compute)
    found = await engine.embed(texts)
    await engine.aclose()
    assert (found.shape, found.dtype) == ((15, 384), np.float32)
    assert cosines(found, expected).min() > least
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-3)


async def test_integer_weights_stay_close(minilm, texts, expected):
    build = lambda source, target: quantize.weights(source, target, "int8")  # noqa: E731
    engine = open_engine(ModelStore().variant(minilm.name, "int8", build))
    found = await engine.embed(texts)
    await engine.aclose()
    assert engine.name == "embedder:all-minilm-l6-v2:int8"
    assert cosines(found, expected).min() > 0.99


async def test_static_vectors_are_the_mean_of_the_tokens(static, wordllama_files):
    table = open_safetensors(wordllama_files / "model.safetensors")["embedding.weight"].load().astype(np.float64)
    tokenizer = Tokenizer.from_file(str(wordllama_files / "tokenizer.json"))
    means = [table[tokenizer.encode(text, add_special_tokens=False).ids].mean(0) for text in MIXED]
    assert cosines(await static.embed(MIXED), np.stack(means)).min() > 0.9999


async def test_a_cut_vector_is_the_beginning_of_the_long_one_and_as_long(static):
    whole, short = await static.embed(MIXED), await static.embed(MIXED, dimensions=64)
    assert short.shape == (5, 64)
    np.testing.assert_allclose(short, whole[:, :64] / np.linalg.norm(whole[:, :64], axis=1, keepdims=True), atol=1e-3)
    with pytest.raises(InputError, match="dimensions is 100; allowed for wordllama-256: 64, 128, 256"):
        await static.embed(["a"], dimensions=100)


async def test_batches_change_nothing_but_the_rounding(embedder, items):
    texts = [item["prompt"] for item in items[:40]]
    alone = np.concatenate([await embedder.embed([text]) for text in texts])
    assert cosines(alone, await embedder.embed(texts)).min() > 0.999


def nearest_centroid(train, train_labels, test, test_labels):
    names = sorted(set(train_labels))
    rows = np.array(train_labels)
    centroids = np.stack([train[rows == name].mean(0) for name in names])
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    return float(np.mean(np.array(names)[(test @ centroids.T).argmax(1)] == np.array(test_labels)))


async def accuracy(engine, items):
    """Nearest centroid on BANKING77: three messages of each intent learnt, the fourth asked; each message once."""
    rows = await engine.embed([item["prompt"] for item in items])
    labels = [item["reference"] for item in items]
    seen: dict[str, int] = {}
    fold = np.array([seen.update({label: seen.get(label, -1) + 1}) or seen[label] for label in labels])
    pick = lambda wanted: [label for label, on in zip(labels, wanted, strict=True) if on]  # noqa: E731
    return np.mean(
        [nearest_centroid(rows[fold != at], pick(fold != at), rows[fold == at], pick(fold == at)) for at in range(4)]
    )


async def test_a_customers_intent_is_found_by_meaning(embedder, static, items):
    """77 intents, three examples of each: chance is 0.013."""
    encoder, table = await accuracy(embedder, items), await accuracy(static, items)
    assert encoder > ENCODER_FLOOR
    assert TABLE_FLOOR < table < encoder


# The contract


@pytest.mark.parametrize("model", ["minilm", "wordllama"])
async def test_the_engine_keeps_the_contract(model, request):
    folder = request.getfixturevalue(model).folder
    kept = await check_engine(lambda: open_engine(folder, truncate=False), embeds=True, too_long="word " * 20_000)
    assert "too_long" in kept


async def test_a_long_text_is_cut_and_told(embedder):
    answer = embedder.answer(Call(embed=("short", "word " * 400)))
    pieces = [piece async for piece in answer]
    assert [place for piece in pieces if isinstance(piece, Vectors) for place in piece.cut] == [1]
    assert answer.ending.usage.input == 3 + 256


async def test_a_long_text_may_be_refused_instead(minilm):
    engine = open_engine(minilm.folder, truncate=False)
    with pytest.raises(PromptTooLong, match=r"text 1 has 402 tokens; all-minilm-l6-v2 reads 256"):
        await engine.embed(["a", "word " * 400])


async def test_one_text_may_be_ids_and_another_words(embedder):
    rows = await embedder.answer(Call(embed=("the sea", (1996, 2712)))).vectors()
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-2)
    with pytest.raises(InputError, match=r"the token id 30522; all-minilm-l6-v2 has 0 to 30,521"):
        await embedder.answer(Call(embed=((30522,),))).vectors()


@pytest.mark.parametrize(
    ("texts", "says"),
    [("one text", r"give \[text\]"), (["a", ""], "text 1 is empty"), (["a\ud800"], "half of a surrogate pair")],
)
async def test_what_is_no_text_is_refused(embedder, texts, says):
    with pytest.raises(InputError, match=says):
        await embedder.embed(texts)


async def test_nothing_to_embed_is_no_vectors(embedder):
    assert (await embedder.embed([])).shape == (0, 384)


@pytest.mark.parametrize(("options", "says"), [({"max_texts": 0}, "max_texts is 0"), ({"compute": "f8"}, "'f8'")])
async def test_an_option_out_of_range_is_named(minilm, options, says):
    with pytest.raises(InputError, match=says):
        open_engine(minilm.folder, **options)


async def test_a_model_that_writes_does_not_embed_nor_the_other_way_round(smollm2, minilm):
    with pytest.raises(InputError, match="generates text and makes no embeddings"):
        open_engine(smollm2.folder)
    with pytest.raises(InputError, match="makes embeddings and generates no text"):
        open_chat(minilm.folder)


async def test_a_model_that_can_not_be_loaded_is_one_sentence(minilm, tmp_path):
    for file in minilm.folder.iterdir():
        (tmp_path / file.name).write_bytes(b"" if file.suffix == ".xml" else file.read_bytes())
    engine = Embedder(load_manifest(tmp_path), tmp_path)
    with pytest.raises(EngineUnavailable, match="could not be loaded"):
        await engine.embed(["a"])


# Time and money


async def test_the_event_loop_runs_on_meanwhile(embedder):
    lates = []

    async def tick():
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            lates.append(time.perf_counter() - began)

    ticker = asyncio.create_task(tick())
    await embedder.embed(["word " * 250] * 64)
    ticker.cancel()
    assert len(lates) > 10
    assert sorted(lates)[len(lates) // 2] < 0.1


async def test_shares_of_the_devices_time_add_up(minilm):
    engine = open_engine(minilm.folder)
    calls = [Call(embed=tuple(MIXED[: at + 1])) for at in range(5)]
    answers = [engine.answer(call) for call in calls]
    await asyncio.gather(*(answer.vectors() for answer in answers))
    await engine.aclose()
    assert sum(answer.ending.usage.engine_s for answer in answers) == pytest.approx(engine.busy_s)
    assert engine.steps < 15


async def test_an_engine_outlives_the_loop_it_began_in(minilm):
    engine = open_engine(minilm.folder)

    def once():
        return asyncio.run(engine.embed(["a"])).shape

    assert [await asyncio.to_thread(once) for _ in range(2)] == [(1, 384)] * 2
    await engine.aclose()


async def test_an_embedding_leg_of_a_chat_is_recorded_as_one(embedder, tmp_path):
    """As a semantic cache makes it: the call's own id, another role."""
    with Ledger.open(tmp_path / "ledger.db") as book:
        asked = Call(embed=("the sea",))
        rows = await Metered(embedder, book, role=Role.EMBED, keep_text=True).answer(asked).vectors()
        (record,) = book.calls()
    assert rows.shape == (1, 384)
    assert record.call.embed == ("the sea",)
    assert [(leg.role, leg.finish, leg.usage.output) for leg in record.attempts] == [(Role.EMBED, Finish.STOP, 0)]
