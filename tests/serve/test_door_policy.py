"""A door that serves a policy of several engines: who answered and why is told, and an alarm falls back."""

import contextlib
import json
from dataclasses import replace

import gateways
import numpy as np
import openai
import pytest
from aiohttp import web
from gateways import chat_body, get, post
from upstream_gateways import gateway_of

from cput.cli import main
from cput.cli.asked import Asked
from cput.cli.door import opened
from cput.errors import InputError
from cput.ledger.grounds import read_grounds
from cput.ledger.store import Ledger
from cput.policy import Policy, save_policy
from cput.policy.estimates import Expected
from cput.policy.file import certificate_path, save_certificate
from cput.policy.guarantee import certify
from cput.workloads import Floor

CHAT, OUTCOMES = "/v1/chat/completions", "/v1/outcomes"
GOOD, BAD = '{"intent": "refund"}', "I think it is a refund."


def speaks(small, large):
    """Answer as the model that is asked; of the small one with the log-probability of its tokens."""

    async def handler(server, request, body):
        text, logprob = small if body["model"] == "small" else (large, -0.01)
        said = {"message": {"role": "assistant", "content": text}, "index": 0, "finish_reason": "stop"}
        if body.get("logprobs"):
            said["logprobs"] = {"content": [{"token": text, "logprob": logprob, "top_logprobs": []}]}
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        if not body.get("stream"):
            return web.json_response({"model": body["model"], "choices": [said], "usage": usage})
        response = await server.begin(request)
        await server.send(response, {"choices": [{**said, "delta": said.pop("message"), "finish_reason": None}]})
        await server.send(response, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage})
        await server.write(response, b"data: [DONE]\n\n")
        return response

    return handler


@pytest.fixture
def work(tmp_path):
    """A workload whose one schema judges any call."""
    folder = tmp_path / "intents"
    folder.mkdir()
    schema = '{ type = "object", required = ["intent"] }'
    head = f'[quality]\ncheck = "json_schema"\nparams = {{ schema = {schema} }}\n'
    (folder / "workload.toml").write_text(head)
    (folder / "items.jsonl").write_text('{"id": "1", "prompt": "Money back"}\n{"id": "2", "prompt": "Where is it?"}\n')
    return folder


@pytest.fixture
def serves(server, tmp_path, work):
    """Run a door with a policy of two upstream models."""

    @contextlib.contextmanager
    def run(stop, *, threshold=None, certificate=None, small=(BAD, -3.0), large=GOOD, strong=None):
        server.next = [speaks(small, large)] * 500
        legs = [Policy(model=name, engine="openai", url=server.url) for name in ("small", "large")]
        path = tmp_path / "intents.toml"
        thresholds = () if threshold is None else (threshold,)
        both = legs[0].followed_by(legs[1], stop=stop, thresholds=thresholds)
        save_policy(path, replace(both, strong=strong), {})
        if certificate is not None:
            save_certificate(path, certificate)
        asked = Asked(what=str(path), ledger=str(tmp_path / "ledger.db"), workload=str(work), quiet=True)
        with opened(asked) as (door, _), gateways.running(door) as gateway:
            yield gateway

    return run


async def ask(gateway, text="Money back, please", **more):
    code, _, body = await post(gateway, CHAT, chat_body(text, model="small", **more))
    assert code == 200, body
    return body


async def test_an_answer_that_fails_its_check_is_asked_of_the_next_engine(serves, tmp_path):
    """The reply says who answered and why, both legs are on record, and so are the grounds."""
    with serves("check") as gateway:
        body = await ask(gateway)
        assert body["choices"][0]["message"]["content"] == GOOD
        assert body["cput"]["reason"] == "last_leg"
        assert [option["asked"] for option in body["cput"]["options"]] == [True, True]
        (record,) = gateway.records()
        assert [attempt.model for attempt in record.attempts] == ["small", "large"]
        assert record.call.policy == "intents"
    with Ledger.open(tmp_path / "ledger.db") as book:
        grounds = read_grounds(book, record.call.id)
    assert grounds.chosen == "openai:large"
    assert grounds.options[0].score == 0.0


async def test_an_answer_that_passes_stands_and_the_next_engine_is_not_asked(serves):
    """Any call is judged by the one schema, also one that is no item of the workload."""
    with serves("check", small=(GOOD, -3.0)) as gateway:
        body = await ask(gateway, "something that no item says")
        assert (body["choices"][0]["message"]["content"], body["cput"]["reason"]) == (GOOD, "stop_rule")
        assert len(gateway.records()[0].attempts) == 1


@pytest.mark.parametrize(("logprob", "model"), [(-0.05, "small"), (-1.0, "large")])
async def test_confidence_decides_whose_answer_is_given(serves, logprob, model):
    """The client asked for no log-probabilities and gets none."""
    with serves("confidence", threshold=0.8, small=(BAD, logprob)) as gateway:
        body = await ask(gateway)
        assert body["choices"][0]["message"]["content"] == (BAD if model == "small" else GOOD)
        assert not body["choices"][0].get("logprobs")
        assert body["cput"]["options"][0]["threshold"] == 0.8
        assert gateway.records()[0].attempts[-1].model == model


def test_an_official_client_reads_a_streamed_answer_of_a_policy(serves):
    """Unknown fields do not trouble it, and the last chunk says why."""
    with serves("check") as gateway, openai.OpenAI(base_url=gateway.url, api_key="none", max_retries=0) as client:
        chunks = list(client.chat.completions.create(**chat_body("Hi", model="small"), stream=True))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == GOOD
        told = [chunk.model_extra["cput"] for chunk in chunks if (chunk.model_extra or {}).get("cput")]
        assert [each["reason"] for each in told] == ["last_leg"]


def test_why_tells_what_the_door_decided(serves, tmp_path, capsys):
    """``cput why`` reads the same ledger."""
    with serves("check") as gateway, openai.OpenAI(base_url=gateway.url, api_key="none", max_retries=0) as client:
        call = client.chat.completions.create(**chat_body("Hi", model="small"))
    with pytest.raises(SystemExit) as left:
        main(["why", call.id, "--ledger", str(tmp_path / "ledger.db"), "--json"])
    assert not left.value.code
    said = json.loads(capsys.readouterr().out)
    assert said["grounds"]["reason"] == "last_leg"
    assert [attempt["model"] for attempt in said["attempts"]] == ["small", "large"]


def held_out(quality=0.95, n=400):
    """A certificate of a policy that was useful this often."""
    useful = (np.arange(n) % 100 < quality * 100).astype(float)
    found = certify(useful[:, None], np.ones((n, 1)), floor=Floor(useful_rate=0.9), names=["policy"])
    assert found.choice == 0
    return found.certificate


async def judged(gateway, value, count):
    for _ in range(count):
        body = await ask(gateway)
        outcome = {"call_id": body["id"], "name": "thumbs", "value": value, "source": "user"}
        assert (await post(gateway, OUTCOMES, outcome))[0] == 200
    return body


async def test_outcomes_below_the_floor_raise_the_alarm_and_the_strong_engine_answers(serves, tmp_path):
    """The alarm outlives a restart, and ends with another certificate."""
    certificate = held_out()
    with serves("check", small=(GOOD, -0.1), certificate=certificate) as gateway:
        assert (await judged(gateway, 1, 5))["cput"]["reason"] in {"stop_rule", "explored"}
        body = await judged(gateway, 0, 60)
        assert body["cput"]["reason"] == "alarm_fallback"
        assert gateway.records()[-1].attempts[0].model == "large"
        _, page = await get(gateway, "/metrics")
        assert 'cput_policy_alarm{policy="intents"} 1.0' in page
    with serves("check", small=(GOOD, -0.1), certificate=certificate) as gateway:
        assert (await ask(gateway))["cput"]["reason"] == "alarm_fallback"
    with serves("check", small=(GOOD, -0.1), certificate=held_out(0.96)) as gateway:
        assert (await ask(gateway))["cput"]["reason"] in {"stop_rule", "explored"}
    assert certificate_path(tmp_path / "intents.toml").is_file()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("intents.certificate.json", "null", "intents.certificate.json: a certificate can't be read"),
        ("intents.certificate.json", '{"levels": []}', "intents.certificate.json: a certificate can't be read"),
        ("intents.watch.json", "{", "delete it to begin the watch anew"),
        ("intents.watch.json", '{"certificate": "SAME"}', "delete it to begin the watch anew"),
    ],
)
def test_a_damaged_certificate_or_watch_is_one_sentence(serves, tmp_path, name, text, says):
    """It names the file, and what to do."""
    certificate = held_out()
    with serves("check", certificate=certificate):
        pass
    same = json.loads((tmp_path / "intents.watch.json").read_text())["certificate"]
    (tmp_path / name).write_text(text.replace("SAME", same))
    kept = None if name.startswith("intents.certificate") else certificate
    with pytest.raises(InputError, match=says), serves("check", certificate=kept):
        pass


async def test_the_strong_engine_need_not_be_the_last(serves, tmp_path):
    """The policy's file says which it is."""
    with serves("check", small=(GOOD, -0.1), certificate=held_out(), strong="small") as gateway:
        await judged(gateway, 0, 60)
        body = await ask(gateway)
        assert (body["cput"]["reason"], gateway.records()[-1].attempts[0].model) == ("alarm_fallback", "small")


async def test_useful_outcomes_raise_no_alarm(serves):
    """Nor do outcomes of calls that this door never answered."""
    with serves("check", small=(GOOD, -0.1), certificate=held_out()) as gateway:
        await judged(gateway, 1, 40)
        strange = {"call_id": "0198c0de-0000-7000-8000-000000000000", "name": "thumbs", "value": 0, "source": "user"}
        assert (await post(gateway, OUTCOMES, [strange] * 1))[0] == 200
        _, page = await get(gateway, "/metrics")
        assert 'cput_policy_alarm{policy="intents"} 0.0' in page


def two_upstreams(tmp_path, server, *lines):
    server.next = [speaks((BAD, -0.05), GOOD)] * 100
    path = tmp_path / "gateway.toml"
    named = [f'[[upstreams]]\nname = "{name}"\nurl = "{server.url}"\nmodel = "{name}"\n' for name in ("small", "large")]
    path.write_text("\n".join([*named, '[models."m"]', *lines, ""]))
    return path


@pytest.mark.parametrize(
    ("lines", "model"),
    [
        (['stop = "confidence"', "threshold = 0.8"], "small"),
        (['stop = "confidence"', "threshold = 0.99"], "large"),
        (['stop = "check"', 'workload = "WORK"'], "large"),
    ],
)
async def test_a_route_of_a_gateway_file_asks_in_turn(book, server, work, lines, model):
    """A client's own request goes on as it is, whichever upstream answers."""
    lines = [line.replace("WORK", str(work)) for line in lines]
    with gateway_of(two_upstreams(work.parent, server, *lines), book) as gateway:
        code, _, body = await post(gateway, CHAT, chat_body("Money back", model="m", top_p=0.9))
        assert (code, body["choices"][0]["message"]["content"]) == (200, BAD if model == "small" else GOOD)
        assert body["cput"]["engine"] == model
        assert server.bodies[-1]["top_p"] == 0.9
        assert read_grounds(book, gateway.records()[0].call.id).policy == "gateway"


class ByLength:
    """Expects short questions to be easy."""

    engines = ("small", "large")

    def estimate(self, prompts, tags=None):
        easy = np.array([len(prompt) < 20 for prompt in prompts])
        quality = np.column_stack([np.where(easy, 0.9, 0.1), np.full(len(prompts), 0.95)])
        return Expected(quality, np.tile([1.0, 10.0], (len(prompts), 1)))


async def test_a_route_of_a_gateway_file_is_routed(book, server, tmp_path, monkeypatch):
    """The cheapest upstream that is expected to be useful enough answers."""
    monkeypatch.setattr("cput.policy.router.load_estimator", lambda folder: ByLength())
    with gateway_of(two_upstreams(tmp_path, server, 'router = "r"', "at_least = 0.8"), book) as gateway:
        for text, wanted in (("short", "small"), ("a question that is much longer", "large")):
            code, _, body = await post(gateway, CHAT, chat_body(text, model="m"))
            assert (code, body["cput"]["engine"], body["cput"]["reason"]) == (200, wanted, "router")
        assert [[a.model for a in record.attempts] for record in gateway.records()] == [["small"], ["large"]]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (['router = "nowhere"', "at_least = 0.8"], "nowhere"),
        (['stop = "check"', 'workload = "nowhere"'], "unknown workload 'nowhere'"),
        (['stop = "check"', 'workload = "gsm8k"'], "reference answers"),
    ],
)
def test_a_door_does_not_open_on_a_route_that_it_can_not_choose_by(book, server, tmp_path, lines, says):
    """One sentence before the first call, and none to a client."""
    path = two_upstreams(tmp_path, server, *lines)
    with pytest.raises(InputError, match=says), gateway_of(path, book):
        pass
