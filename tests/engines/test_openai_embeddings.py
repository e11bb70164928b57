"""A remote server's embeddings as an engine's: vectors, usage by the provider, and errors that say what came."""

import base64

import numpy as np
import pytest
from wire_server import status

from cput.engines.openai import OpenAI
from cput.errors import EngineUnavailable, InputError, UpstreamError
from cput.records import Call, CountedBy
from cput.testing import check_engine


@pytest.fixture
async def engine(server):
    opened = OpenAI("embed", server.url, api_key="sk-x")
    yield opened
    await opened.aclose()


def packed(*numbers):
    return base64.b64encode(np.array(numbers, "<f4").tobytes()).decode()


async def test_vectors_are_asked_for_in_base64_and_come_in_the_texts_order(engine, server):
    data = [{"index": 1, "embedding": packed(3, 4)}, {"index": 0, "embedding": packed(1, 2)}]
    server.next = [status(200, {"data": data, "model": "e-1", "usage": {"prompt_tokens": 7, "total_tokens": 7}})]
    answer = engine.answer(Call(embed=("a", "b"), dimensions=2))
    np.testing.assert_array_equal(await answer.vectors(), [[1, 2], [3, 4]])
    usage = answer.ending.usage
    assert (answer.ending.model, usage.input, usage.output) == ("e-1", 7, 0)
    assert (usage.complete, usage.counted_by) == (True, CountedBy.PROVIDER)
    assert server.bodies == [{"model": "embed", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 2}]


async def test_a_server_that_only_knows_digits_is_understood(engine, server):
    server.next = [status(200, {"data": [{"embedding": [0.5, 1]}]})]
    answer = engine.answer(Call(embed=((1, 2),)))
    np.testing.assert_array_equal(await answer.vectors(), [[0.5, 1]])
    usage = answer.ending.usage
    assert (usage.input, usage.output, usage.complete) == (None, 0, False)
    assert server.bodies[0]["input"] == [[1, 2]]


@pytest.mark.parametrize(
    "body",
    [
        {"data": []},
        {"data": [{"embedding": "?"}]},
        {"data": [{"embedding": [1]}, {"embedding": [2]}]},
        {"data": [{"embedding": None}]},
        {"data": {}},
        {"error": {"message": "no"}},
        "not JSON",
        "[1, 2]",
    ],
)
async def test_a_200_that_holds_no_embeddings_is_an_error(engine, server, body):
    server.next = [status(200, body)]
    with pytest.raises(UpstreamError, match="sent something that is no embeddings"):
        await engine.answer(Call(embed=("a",))).vectors()


async def test_texts_and_ids_can_not_be_mixed(engine):
    with pytest.raises(InputError, match="and not both at once"):
        await engine.answer(Call(embed=("a", (1,)))).vectors()


async def test_a_server_that_is_not_there_is_unavailable():
    nobody = OpenAI("m", "http://127.0.0.1:1/v1")
    with pytest.raises(EngineUnavailable, match="can't be reached"):
        await nobody.answer(Call(embed=("a",))).vectors()
    await nobody.aclose()


async def test_it_keeps_the_laws_that_a_remote_engine_can_know(server):
    """It answers chats as well, and what it knows of texts is the server's business."""
    server.token_s = 0.01
    without = ["no_texts", "vectors", "characters"]
    await check_engine(lambda: OpenAI("m", server.url), embeds=True, without=without)
