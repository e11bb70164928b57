"""The ``openai`` npm package under Node, unchanged; one process asks everything."""

import json
import time

import client_homes
import gateways
import pytest
from upstream_words import calls
from wire_server import status

from cput.ledger.store import Ledger
from cput.records import Finish

pytestmark = pytest.mark.timeout(900)  # the first run installs the package


@pytest.fixture(scope="module")
def asked(upstream, tmp_path_factory):
    """What the script told, and the calls on record at both gateways."""
    client_homes.node_home()
    upstream.token_s = 0.01
    upstream.next = [
        calls("weather", '{"ci', 'ty": "Lhasa"}'),
        calls("weather", '{"ci', 'ty": "Lhasa"}'),
        status(429, {"error": {"message": "slow down"}}, {"Retry-After": "7"}),
    ]
    folder = tmp_path_factory.mktemp("javascript")
    with (
        Ledger.open(folder / "echo.db") as echoes,
        Ledger.open(folder / "remote.db") as carried,
        gateways.running(gateways.echo_door(echoes)) as echo,
        gateways.running(gateways.remote_door(carried, upstream.url)) as remote,
    ):
        code = (client_homes.SCRIPTS / "openai_client.mjs").read_text(encoding="utf-8")
        told = client_homes.run_node(code, "openai_client", echo.url, remote.url)
        for _ in range(1000):  # the last call was hung up; its row comes a moment later
            if len(carried.calls()) == 4:
                break
            time.sleep(0.005)
        yield json.loads(told), echoes.calls(), carried.calls()


@pytest.fixture
def found(asked):
    return asked[0]


def test_a_completion_has_its_text_usage_and_ids(asked):
    found, echoes, _ = asked
    assert (found["whole"]["text"], found["whole"]["usage"]["total_tokens"]) == ("one two three", 6)
    assert found["whole"]["id"] == f"chatcmpl-{found['ids']['call']}"
    assert found["ids"]["request"] == "mine-9"
    assert found["ids"]["call"] in {record.call.id for record in echoes}


def test_a_stream_is_told_piece_by_piece_with_its_usage(found):
    assert found["stream"]["texts"] == ["one ", "two ", "three"]
    assert found["stream"]["usage"]["completion_tokens"] == 3
    assert found["helper"] == "one two three"


def test_raw_prompts_responses_and_models(found):
    assert found["completion"] == {"text": "a b ", "reason": "length"}
    assert found["response"] == "one two"
    assert (found["events"][0], found["events"][-1]) == ("created", "completed")
    assert found["models"] == ["echo"]


def test_tools_are_called_streamed_and_whole(found):
    for called in (found["tools"], found["streamedTools"]):
        assert [(call["id"], json.loads(call["function"]["arguments"])) for call in called] == [
            ("call_1", {"city": "Lhasa"})
        ]


def test_errors_are_the_clients_own_classes(found):
    limited, missing, wrong = (found[name] for name in ("limited", "missing", "wrong"))
    assert (limited["kind"], limited["status"], limited["retryAfter"]) == ("RateLimitError", 429, "7")
    assert (missing["kind"], missing["code"], missing["param"]) == ("NotFoundError", "model_not_found", "model")
    assert (wrong["kind"], wrong["param"], bool(wrong["requestID"])) == ("BadRequestError", "n", True)


def test_a_stream_that_is_left_halfway_is_one_cancelled_row(asked):
    *_, last = asked[2]
    (attempt,) = last.attempts
    assert (attempt.finish, attempt.usage.complete) == (Finish.CANCELLED, False)
    assert 1 <= attempt.usage.output < 400
