"""A gateway that redacts: what a client said and what an upstream answered reaches the ledger's files without it."""

import gateways
import ids
import msgspec
import pytest
import wire_server
from gateways import chat_body, events, post
from hypothesis import given, settings
from test_door_command import rows, serving

from cput.cli.redaction import redactor as asked_for
from cput.cli.serve import serve
from cput.errors import InputError, SetupError
from cput.govern.redact import Redactor
from cput.ledger.store import Ledger

MOBILE, RESIDENT, UPSTREAM = "13800138000", "11010519491231002X", gateways.UPSTREAM_KEY
KEY = b"0123456789abcdef"


def chunk(text):
    return b"data: " + msgspec.json.encode({"choices": [{"index": 0, "delta": {"content": text}}]}) + b"\n\n"


@pytest.fixture(scope="module")
def gateway(upstream, tmp_path_factory):
    with (
        Ledger.open(tmp_path_factory.mktemp("redacting") / "ledger.db") as book,
        gateways.running(
            gateways.remote_door(book, upstream.url, keep_text=True, redactor=Redactor(secrets=[UPSTREAM], key=KEY))
        ) as running,
    ):
        yield running


def on_disk(gateway):
    """All bytes of the ledger: the file, its write-ahead log and its index."""
    folder = gateway.door.ledger.path.parent
    return b"".join(path.read_bytes() for path in sorted(folder.glob("ledger.db*")))


def last(gateway):
    record = gateway.records()[-1]
    return record.call, record.attempts[-1]


async def test_a_whole_answer_and_its_prompt_are_redacted_and_the_client_gets_all(gateway, server):
    body = chat_body(f"我的身份证{RESIDENT}，电话{MOBILE}。", model="m", metadata={"phone": MOBILE})
    status, _, raw = await post(gateway, "/v1/chat/completions", body, {"X-Cput-External-Key": f"order-{MOBILE}"})
    assert (status, RESIDENT in str(raw)) == (200, True)
    call, attempt = last(gateway)
    assert call.messages[0].content.startswith("我的身份证<CN_RESIDENT_ID:")
    assert call.tags["phone"].startswith("<CN_MOBILE:")
    assert call.external_key.startswith("order-<CN_MOBILE:")
    assert "<CN_RESIDENT_ID:" in attempt.text
    assert attempt.usage.output == raw["usage"]["completion_tokens"]
    for secret in (MOBILE, RESIDENT):
        assert secret.encode() not in on_disk(gateway)


async def test_a_stream_that_cuts_a_number_in_two_is_redacted_as_a_whole(gateway, server):
    parts = ["call 138", "0013", "80", "00 or sk-", "proj-abcDEF123456", "ghi789, ok"]
    server.next.append(wire_server.stream(*map(chunk, parts), b"data: [DONE]\n\n"))
    said = await events(gateway, "/v1/chat/completions", chat_body("hello", model="m"))
    assert gateways.said(said) == "".join(parts)
    text = last(gateway)[1].text
    assert text.startswith("call <CN_MOBILE:")
    assert text.endswith(">, ok")
    assert b"abcDEF123456" not in on_disk(gateway)


async def test_outcomes_find_a_call_by_a_key_that_was_redacted(gateway, server):
    key = f"chat-{MOBILE}-17"
    await post(gateway, "/v1/chat/completions", chat_body("hello", model="m"), {"X-Cput-External-Key": key})
    outcome = {
        "external_key": key,
        "name": "thumbs",
        "value": 1,
        "source": "user",
        "detail": {"said": f"ring {MOBILE}"},
    }
    status, _, raw = await post(gateway, "/v1/outcomes", outcome)
    assert (status, raw["waiting_for_their_call"]) == (200, 0)
    (kept,) = gateway.records()[-1].outcomes
    assert kept.detail["said"].startswith("ring <CN_MOBILE:")
    assert MOBILE.encode() not in on_disk(gateway)


async def test_an_answer_that_says_the_upstream_s_key_is_stored_without_it(gateway, server):
    await post(gateway, "/v1/chat/completions", chat_body(f"the key is {UPSTREAM}", model="m"))
    assert UPSTREAM.encode() not in on_disk(gateway)
    assert "<SECRET:" in last(gateway)[1].text


async def test_a_long_text_is_on_record_when_the_client_has_its_answer(gateway, server):
    text = f"{'很长的一段话，' * 5000}{MOBILE}"
    server.next.append(wire_server.status(400, {"error": {"message": f"no {MOBILE}"}}))
    status, _, raw = await post(gateway, "/v1/chat/completions", chat_body(text, model="m"))
    assert (status, MOBILE in str(raw)) == (400, True)
    call, attempt = last(gateway)
    assert "<CN_MOBILE:" in call.messages[0].content[-40:]
    assert "<CN_MOBILE:" in attempt.error


def test_any_ids_in_any_prose(gateway, server):
    @settings(max_examples=10, deadline=None)
    @given(ids.values, ids.prose)
    def law(value, prose):
        import asyncio

        asyncio.run(post(gateway, "/v1/chat/completions", chat_body(f"{prose}：{value[1]}。", model="m")))
        assert value[1].encode() not in on_disk(gateway)

    law()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"presidio": True}, "add --redact"),
        ({"presidio": True, "redact": True}, "add --keep-text"),
        ({"presidio": True, "keep_text": True}, "add --redact"),
    ],
)
def test_a_wrong_combination_is_one_sentence(tmp_path, options, says):
    with pytest.raises(InputError, match=says):
        serve("http://x/v1", ledger=str(tmp_path / "l.db"), quiet=True, **options)


async def test_the_command_redacts(server, tmp_path):
    with serving(server.url, tmp_path / "l.db", "--keep-text", "--redact", "--quiet") as running:
        status, raw = await running.ask(chat_body(f"电话{MOBILE}。", model="m"))
        assert (status, MOBILE in raw.decode()) == (200, True)
    (record,) = rows(tmp_path / "l.db")
    assert record.call.messages[0].content == "电话<CN_MOBILE>。"
    assert "<CN_MOBILE>" in record.attempts[0].text


async def test_without_kept_text_an_error_is_redacted_all_the_same(server, tmp_path):
    server.next.append(wire_server.status(400, {"error": {"message": f"what about {MOBILE}"}}))
    with serving(server.url, tmp_path / "l.db", "--redact", "--quiet") as running:
        assert (await running.ask(chat_body("hello", model="m")))[0] == 400
    (record,) = rows(tmp_path / "l.db")
    assert (record.call.messages, record.attempts[0].error.endswith("what about <CN_MOBILE>")) == ((), True)


def test_a_key_that_is_too_short_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("CPUT_REDACT_KEY", "short")
    with pytest.raises(InputError, match="CPUT_REDACT_KEY has 5 bytes; allowed: 16 or more"):
        serve("http://x/v1", ledger=str(tmp_path / "l.db"), quiet=True, redact=True)


def test_presidio_that_is_not_there_is_one_sentence_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr("cput.govern.redact.presidio.find_spec", lambda _: None)
    with pytest.raises(SetupError, match=r"pip install 'cput\[redact\]'"):
        serve("http://x/v1", ledger=str(tmp_path / "l.db"), quiet=True, redact=True, keep_text=True, presidio=True)


def test_the_keys_that_the_gateway_knows_are_secrets(monkeypatch):
    class Asked:
        redact, presidio, keep_text, api_key_env = True, False, False, "MY_KEY"

    monkeypatch.setenv("MY_KEY", "0f1e2d3c4b5a69788796")
    found = asked_for(Asked())
    assert found.redact("it is 0f1e2d3c4b5a69788796").text == "it is <SECRET>"
    Asked.redact = False
    assert asked_for(Asked()) is None
