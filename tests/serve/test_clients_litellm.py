"""litellm as a client, by its OpenAI and its Anthropic provider; one process in a venv of its own asks everything."""

import json

import client_homes
import gateways
import pytest
from upstream_words import calls
from wire_server import status

from cput.ledger.store import Ledger
from cput.records import Finish

pytestmark = pytest.mark.timeout(900)  # the first run makes the venv
PROVIDERS = ["openai", "anthropic"]
PER_PROVIDER = 7
"""Calls of each provider that reach the echoing gateway's engine."""


@pytest.fixture(scope="module")
def asked(upstream, tmp_path_factory):
    """What the script told, and the calls on record at the echoing gateway."""
    python = client_homes.litellm_python()
    upstream.next = [
        handler
        for _ in PROVIDERS
        for handler in (
            calls("weather", '{"ci', 'ty": "Lhasa"}'),
            calls("weather", '{"ci', 'ty": "Lhasa"}'),
            status(429, {"error": {"message": "slow down"}}, {"Retry-After": "7"}),
        )
    ]
    folder = tmp_path_factory.mktemp("litellm")
    with (
        Ledger.open(folder / "echo.db") as echoes,
        Ledger.open(folder / "remote.db") as carried,
        gateways.running(gateways.echo_door(echoes)) as echo,
        gateways.running(gateways.remote_door(carried, upstream.url)) as remote,
    ):
        script = client_homes.SCRIPTS / "litellm_client.py"
        told = client_homes.run_python(python, script, echo.root, remote.root)
        yield json.loads(told.splitlines()[-1]), echoes.calls(), carried.calls()


@pytest.fixture(params=PROVIDERS)
def found(asked, request):
    return asked[0][request.param]


def test_a_completion_has_its_text_usage_and_reason(found):
    whole = found["whole"]
    assert (whole["text"], whole["reason"], whole["usage"]) == ("one two three", "stop", [3, 3])


def test_a_stream_is_told_piece_by_piece_with_its_usage(found):
    stream = found["stream"]
    assert "".join(stream["texts"]) == stream["whole"]["text"] == "one two three"
    assert len(stream["texts"]) == 3
    assert stream["whole"]["usage"] == [3, 3]


def test_several_are_asked_at_once(found):
    assert found["at once"]["texts"] == [f"call {at}" for at in range(4)]
    assert "".join(text or "" for text in found["at once"]["streamed"]) == "one two three"


def test_tools_are_called_streamed_and_whole(found):
    for called in (found["tools"], found["streamed tools"]["whole"]):
        assert (called["calls"], called["reason"]) == ([["weather", {"city": "Lhasa"}]], "tool_calls")


def test_errors_are_its_own_classes(found):
    assert (found["limited"]["class"], found["limited"]["status"]) == ("RateLimitError", 429)
    assert (found["missing"]["class"], found["missing"]["status"]) == ("NotFoundError", 404)
    assert (found["wrong"]["class"], found["wrong"]["status"]) == ("BadRequestError", 400)
    assert "did you mean" in found["missing"]["message"] or "not served here" in found["missing"]["message"]


def test_its_other_doors_are_open_too(asked):
    assert (asked[0]["text completion"], asked[0]["responses"]) == ("a b", "one two")


def test_every_call_is_on_record_once(asked):
    told, echoes, carried = asked
    assert len(echoes) == PER_PROVIDER * len(PROVIDERS) + 2
    assert [record.attempts[0].finish for record in carried] == [Finish.STOP, Finish.STOP, Finish.ERROR] * 2
    assert told["openai"]["whole"]["id"].removeprefix("chatcmpl-") in {record.call.id for record in echoes}
