"""What is on record and what it costs, where an answer did not end as answers should."""

import json

import aiohttp
import gateways
import pytest
from gateways import chat_body, events
from wire_server import stream, until

from cput.ledger.price import PriceBook
from cput.records import CountedBy, Finish

PRICE = '[[model]]\nmodel = "m"\nvalid_from = 2020-01-01\ninput = "2"\noutput = "5"\nterms = "T"\nsource = "S"\n'


def chunk(text, reason=None):
    said = {"model": "m", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]}
    return b"data: " + json.dumps(said).encode() + b"\n\n"


@pytest.fixture
def priced(book, server, tmp_path):
    path = tmp_path / "prices.toml"
    path.write_text(PRICE, encoding="utf-8")
    door = gateways.remote_door(book, server.url, prices=PriceBook.load([path]))
    with gateways.running(door) as gateway:
        yield gateway


async def test_an_incomplete_response_of_an_upstream_bills_its_64_tokens(priced, server):
    counted = {"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 64}}
    usage = b"data: " + json.dumps(counted).encode() + b"\n\ndata: [DONE]\n\n"
    server.next = [stream(*(chunk("w ") for _ in range(63)), chunk("w ", "length"), usage)]
    *_, last = await events(priced, "/v1/responses", {"model": "m", "input": "a", "max_output_tokens": 64})
    assert (last["type"], last["response"]["usage"]["output_tokens"]) == ("response.incomplete", 64)
    (record,) = priced.records()
    (attempt,), (charge,) = record.attempts, record.charges
    assert (attempt.finish, attempt.usage.complete, attempt.usage.output) == (Finish.LENGTH, True, 64)
    assert charge.incremental_nano_usd == 100 * 2_000 + 64 * 5_000


@pytest.mark.parametrize("chunks", [1, 3, 17])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
async def test_a_stream_that_its_upstream_aborts_is_one_row_incomplete_and_not_0(priced, server, chunks, path):
    server.next = [stream(*(chunk("w ") for _ in range(chunks)), "break")]
    asked = {"model": "m", "input": "a"} if path == "/v1/responses" else chat_body(model="m")
    found = await events(priced, path, asked)
    assert "error" in json.dumps(found[-1])
    (record,) = priced.records()
    (attempt,), (charge,) = record.attempts, record.charges
    assert (attempt.finish, attempt.usage.complete, attempt.usage.counted_by) == (
        Finish.ERROR,
        False,
        CountedBy.ESTIMATED,
    )
    assert attempt.usage.output == chunks
    assert charge.incremental_nano_usd is None  # nobody counted its prompt: unknown, and not 0


@pytest.mark.parametrize("chunks", [1, 3, 17])
async def test_a_stream_that_its_client_aborts_is_one_row_incomplete_and_not_0(priced, server, chunks):
    server.next = [stream(*(chunk("w ") for _ in range(chunks)), 30.0)]
    async with (
        aiohttp.ClientSession() as session,
        session.post(priced.url + "/chat/completions", json=chat_body(model="m", stream=True)) as response,
    ):
        read = b""
        while read.count(b'"w "') < chunks:
            read += await response.content.readany()
        response.close()
    await until(priced.records)
    (record,) = priced.records()
    (attempt,) = record.attempts
    assert (attempt.finish, attempt.usage.complete, attempt.usage.output) == (Finish.CANCELLED, False, chunks)
