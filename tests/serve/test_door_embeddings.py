"""/v1/embeddings by the official client and raw: MiniLM behind the door, and an upstream's own passed on."""

import asyncio
import base64
import json
import time
from decimal import Decimal

import aiohttp
import gateways
import numpy as np
import openai
import pytest
from gateways import get, post
from wire_server import silent, status, until

from cput.cli.door_embed import embedding_model
from cput.ledger.charged import charged
from cput.ledger.meter import Metered
from cput.ledger.price import PriceBook
from cput.ledger.price.fx import Exchange
from cput.ledger.price.model import parse_models
from cput.ledger.store import Ledger
from cput.records import Call, CountedBy, Finish, Role
from cput.serve import keys
from cput.serve.accounts import Accounts
from cput.serve.budgets import Per, set_budget, standings
from cput.serve.dialects.base import Takes
from cput.serve.door import Door, Model
from cput.serve.forward import Forward
from cput.serve.limits import RateLimit, set_limit
from cput.serve.most import most_of_prompt
from cput.serve.serving import Serving, Stack
from cput.serve.subjects import Scope, Subject
from cput.serve.tariff import BilledAs, BookTariff

MINILM = "all-minilm-l6-v2"
SHOP = Subject(Scope.TENANT, "shop")
PRICES = PriceBook(
    [
        parse_models(
            f'[[model]]\nmodel = "{MINILM}"\nvalid_from = 2026-01-01\ninput = "0.02"\noutput = "0"\nterms = "t"\n'
            'source = "s"\n',
            "prices.toml",
            Exchange(),
        )
    ]
)


def embedding_door(book, **options):
    """The echo engine and MiniLM behind one door."""
    door = gateways.echo_door(book, **options)
    name, model = embedding_model(MINILM, "f16", door, PRICES, keep_text=False)
    door.models = {**door.models, name: model}
    return door


@pytest.fixture(scope="session")
def gate_to_minilm(minilm, tmp_path_factory):
    """One gateway for all tests: loading takes a moment."""
    with (
        Ledger.open(tmp_path_factory.mktemp("embeddings") / "ledger.db") as first,
        gateways.running(embedding_door(first)) as gateway,
    ):
        yield gateway


@pytest.fixture
def embedding(gate_to_minilm, book):
    return gate_to_minilm.writing_to(book)


@pytest.fixture
def client(embedding):
    return openai.OpenAI(base_url=embedding.url, api_key="none", max_retries=0)


def asked(given="a red bicycle", **more):
    return {"model": MINILM, "input": given, **more}


def rows(answer):
    return np.array([entry.embedding for entry in answer.data], np.float32)


# The official client


def test_the_client_gets_one_vector_a_text_in_order(embedding, client):
    texts = ["a red bicycle", "the sea", "a bike that is red"]
    answer = client.embeddings.create(model=MINILM, input=texts)
    found = rows(answer)
    assert ([entry.index for entry in answer.data], found.shape) == ([0, 1, 2], (3, 384))
    assert (found[0] @ found[2] > 0.8, found[0] @ found[1] < 0.3) == (True, True)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    call, attempt = embedding.only()
    assert (answer.model, answer.id) == (MINILM, f"embd-{call.id}")
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (attempt.usage.input, attempt.usage.input)


def test_decimal_digits_and_base64_are_the_same_numbers(client):
    digits = client.embeddings.create(model=MINILM, input="the sea", encoding_format="float")
    packed = client.embeddings.create(model=MINILM, input="the sea", encoding_format="base64")
    raw = packed.data[0].embedding
    assert isinstance(raw, str)
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(raw), "<f4"), rows(digits)[0])
    np.testing.assert_array_equal(rows(client.embeddings.create(model=MINILM, input="the sea")), rows(digits))


async def test_the_same_text_as_ids_of_the_models_own_vocabulary(embedding):
    # 1996 4153 are "the sea" in BERT's uncased vocabulary
    _, _, text = await post(embedding, "/v1/embeddings", asked("the sea"))
    _, _, ids = await post(embedding, "/v1/embeddings", asked([1996, 2712]))
    _, _, both = await post(embedding, "/v1/embeddings", asked([[1996, 2712], [1996]]))
    assert ids["usage"] == text["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    np.testing.assert_allclose(ids["data"][0]["embedding"], text["data"][0]["embedding"], atol=1e-6)
    assert len(both["data"]) == 2


async def test_a_long_text_is_cut_and_the_response_says_which(embedding):
    code, _, body = await post(embedding, "/v1/embeddings", asked(["short", "word " * 400]))
    assert (code, body["truncated"], body["usage"]["prompt_tokens"]) == (200, [1], 3 + 256)


async def test_two_thousand_texts_at_once_leave_the_door_open(embedding):
    """The event loop answers others meanwhile."""
    texts = [f"text number {at}" for at in range(2048)]
    big = asyncio.create_task(post(embedding, "/v1/embeddings", asked(texts, encoding_format="base64")))
    waits = []
    while not big.done():
        began = time.perf_counter()
        await get(embedding, "/healthz")
        waits.append(time.perf_counter() - began)
    code, _, body = await big
    assert (code, [entry["index"] for entry in body["data"]]) == (200, list(range(2048)))
    assert max(waits) < 2, f"the door was shut for {max(waits):.1f} s"


# What it costs


def test_a_call_is_one_embedding_attempt_charged_by_its_tokens(embedding, client):
    client.embeddings.create(model=MINILM, input=["the sea", "a red bicycle"])
    (record,) = embedding.records()
    (attempt,) = record.attempts
    usage = attempt.usage
    assert (attempt.role, attempt.finish, attempt.model, attempt.ttft_s) == (Role.EMBED, Finish.STOP, MINILM, None)
    assert (usage.input, usage.output, usage.complete, usage.counted_by) == (9, 0, True, CountedBy.ENGINE)
    assert usage.engine_s > 0
    assert charged(record) == 9 * 20  # $0.02 a million tokens are 20 nano-dollars each
    assert (record.call.embed, record.call.sampling.max_new_tokens) == ((), 0)


@pytest.mark.parametrize("given", [["one two", "three"], "one two three"])
async def test_an_upstreams_embeddings_are_billed_by_its_own_count(remote, server, given):
    code, headers, body = await post(remote, "/v1/embeddings", {"model": "text-embedding-3-small", "input": given})
    call, attempt = remote.only()
    assert (code, headers["x-cput-call-id"], body["id"]) == (200, call.id, f"embd-{call.id}")
    assert (body["model"], body["usage"]) == ("text-embedding-3-small", {"prompt_tokens": 3, "total_tokens": 3})
    assert (attempt.role, attempt.usage.input, attempt.usage.output) == (Role.EMBED, 3, 0)
    assert (attempt.usage.complete, attempt.usage.counted_by) == (True, CountedBy.PROVIDER)
    assert server.bodies == [{"model": "text-embedding-3-small", "input": given}]


def hosted_door(book, url, **options):
    """An upstream that is billed as OpenAI."""
    door = Door(ledger=book, models={}, **options)
    leaf = Forward("any", url, any_model=True, api_key=gateways.UPSTREAM_KEY)
    leaf.provider = "openai"

    def engine_for(model):
        return Metered(leaf, door.tally, prices=PriceBook.load(), provider="openai", model=model)

    stack = Stack(engine_for=engine_for, close=leaf.aclose, bound_prompt=most_of_prompt)
    door.other = Model(serving=Serving(stack), takes=Takes.WIRE)
    return door


async def test_a_hosted_model_is_priced_and_its_budget_settled(server, book):
    set_budget(book, SHOP, Decimal("0.001"), per=Per.DAY)
    secret = keys.create(book, "web", tenant="shop").secret
    tariff = BookTariff(PriceBook.load(), lambda model: BilledAs(model, "openai"))
    bearer = {"Authorization": f"Bearer {secret}"}
    server.next = [embeddings_of(1000)]
    with gateways.running(hosted_door(book, server.url, gate=Accounts(book, tariff))) as gateway:
        body = {"model": "text-embedding-3-small", "input": "one two three"}
        code, _, _ = await post(gateway, "/v1/embeddings", body, bearer)
        refused, _, why = await post(gateway, "/v1/embeddings", {**body, "input": "x" * 100_000}, bearer)
        (record,) = gateway.records()
        ((_, standing),) = await asyncio.to_thread(standings, book)
    assert (code, record.call.tenant, charged(record)) == (200, "shop", 20_000)  # $0.02 a million, 1,000 tokens
    assert (standing.spent, standing.calls, standing.assumed) == (20_000, 1, 0)
    assert (refused, why["error"]["code"]) == (429, "insufficient_quota")


def embeddings_of(tokens):
    data = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.5]}]
    return status(200, {"object": "list", "data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})


async def test_tokens_per_minute_count_what_is_embedded(minilm, book):
    set_limit(book, RateLimit(subject=SHOP, tokens_per_min=20))
    bearer = {"Authorization": f"Bearer {keys.create(book, 'web', tenant='shop').secret}"}
    with gateways.running(embedding_door(book, gate=Accounts(book, BookTariff(PRICES)))) as gateway:
        codes = [(await post(gateway, "/v1/embeddings", asked("a b c d e f g"), bearer))[0] for _ in range(3)]
    assert codes == [200, 200, 429]


# What is refused


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": ["a", 1]}, "input[1]"),
        ({"input": [1, True]}, "input[0]"),
        ({"input": [-1]}, "input[0]"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"stream": True}, "stream"),
        ({"input_type": "query"}, "input_type"),
    ],
)
async def test_what_is_wrong_is_named(embedding, more, param):
    code, _, body = await post(embedding, "/v1/embeddings", {**asked(), **more})
    assert (code, body["error"]["param"]) == (400, param), body
    assert not embedding.records()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"dimensions": 100}, "dimensions is 100; allowed for all-minilm-l6-v2: 384"),
        ({"input": [1996, 99_999]}, "the token id 99999; all-minilm-l6-v2 has 0 to 30,521"),
        ({"input": "a\ud800"}, ""),
    ],
)
async def test_what_the_model_can_not_do_is_a_400(embedding, more, says):
    code, _, body = await post(embedding, "/v1/embeddings", json.dumps({**asked(), **more}).encode())
    assert code == 400
    assert says in body["error"]["message"]


async def test_each_model_is_asked_where_it_answers(embedding):
    code, _, body = await post(embedding, "/v1/embeddings", asked(model="echo"))
    assert (code, body["error"]["code"]) == (400, "unsupported_endpoint")
    assert "ask it at /v1/chat/completions" in body["error"]["message"]
    for path, more in (
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
        ("/v1/completions", {"prompt": "a"}),
        ("/v1/responses", {"input": "a"}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "a"}], "max_tokens": 5}),
    ):
        code, _, body = await post(embedding, path, {"model": MINILM, **more})
        assert (code, "ask it at /v1/embeddings" in str(body)) == (400, True), body
    assert not embedding.records()


async def test_an_embedding_model_is_listed_with_the_others(embedding, client):
    assert {model.id for model in client.models.list()} == {"echo", MINILM}


# The upstream's own


async def test_the_clients_own_fields_reach_the_upstream_and_its_words_come_back(remote, server):
    said = {"object": "list", "data": [{"embedding": [1, 2], "sparse": {"a": 1}}], "usage": None, "meta": {"x": [1]}}
    server.next = [status(200, said)]
    sent = {"model": "m", "input": [{"image": "data:..."}], "input_type": "query", "encoding_format": "binary"}
    code, _, body = await post(remote, "/v1/embeddings", sent)
    call, attempt = remote.only()
    assert (code, body) == (200, said | {"model": "m", "id": f"embd-{call.id}"})
    assert server.bodies == [sent]
    assert (attempt.usage.input, attempt.usage.output, attempt.usage.complete) == (None, 0, False)


def test_the_official_client_reads_an_upstream_through_the_door(remote):
    client = openai.OpenAI(base_url=remote.url, api_key="none", max_retries=0)
    found = rows(client.embeddings.create(model="m", input=["abc", "de"]))
    np.testing.assert_array_equal(found, np.array([[3, 1, 0.5, 0], [2, 1, 0.5, -1]], np.float32))


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (status(400, {"error": {"message": "too many inputs", "code": "bad"}}), 400, "too many inputs"),
        (status(401, {"error": {"message": "sk-upstream-0123456789"}}), 502, "credentials"),
        (status(200, {"error": {"message": "no"}}), 502, "no embeddings"),
        (status(200, "<html>"), 502, "no embeddings"),
        (status(200, "[1]"), 502, "no embeddings"),
    ],
)
async def test_an_upstreams_error_is_told_and_on_record(remote, server, answer, code, says):
    server.next = [answer]
    found, _, body = await post(remote, "/v1/embeddings", {"model": "m", "input": "a"})
    assert (found, says in body["error"]["message"]) == (code, True), body
    _, attempt = remote.only()
    assert (attempt.role, attempt.finish) == (Role.EMBED, Finish.ERROR)


async def test_a_failed_leg_is_sent_again(server, book):
    server.next = [status(500, "oh"), status(503, "no")]
    with gateways.running(gateways.remote_door(book, server.url, attempts=3)) as gateway:
        code, _, _ = await post(gateway, "/v1/embeddings", {"model": "m", "input": "a"})
        (record,) = gateway.records()
    assert (code, [leg.finish for leg in record.attempts]) == (200, [Finish.ERROR, Finish.ERROR, Finish.STOP])
    assert {leg.role for leg in record.attempts} == {Role.EMBED}


async def test_a_client_that_hangs_up_hangs_up_the_upstream(remote, server):
    server.next = [silent(30)]
    async with aiohttp.ClientSession() as session:
        sent = asyncio.create_task(session.post(remote.url + "/embeddings", json={"model": "m", "input": "a"}))
        await until(lambda: server.bodies)
        gone_at = time.perf_counter()
        sent.cancel()
        await until(lambda: server.hung_up_at and remote.records())
    assert server.hung_up_at[0] - gone_at < 1
    _, attempt = remote.only()
    assert (attempt.finish, attempt.usage.input, attempt.usage.output) == (Finish.CANCELLED, None, 0)


async def test_a_client_that_hangs_up_stops_the_device(embedding):
    texts = ["word " * 250] * 500
    async with aiohttp.ClientSession() as session:
        sent = asyncio.create_task(session.post(embedding.url + "/embeddings", json=asked(texts)))
        engine = embedding.door.models[MINILM].serving.stack.engine_for(MINILM)._engine
        before = engine.steps
        await until(lambda: engine.steps > before, within_s=60)
        sent.cancel()
        await until(embedding.records, within_s=60)
    steps = engine.steps
    await asyncio.sleep(0.3)
    assert engine.steps <= steps + 1
    _, attempt = embedding.only()
    assert (attempt.finish, attempt.usage.output, attempt.usage.complete) == (Finish.CANCELLED, 0, False)
    assert 0 < attempt.usage.input < 100_000


def test_the_bound_on_a_prompt_is_never_below_its_count():
    assert most_of_prompt(Call(embed=("数据", (1, 2, 3)))) == 6 + 2 + 3
