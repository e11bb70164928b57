"""The door does what its OpenAPI document says, whatever it is sent; the document describes every route."""

import itertools
import json

import gateways
import jsonschema
import pytest
import schemathesis
from flat_tariff import Flat
from gateways import get
from hypothesis import HealthCheck, settings
from schemathesis import checks
from starlette.routing import Route

from cput.ledger.outcome_file import ALIASES, FIELDS
from cput.ledger.store import Ledger
from cput.serve.accounts import Accounts
from cput.serve.app import application
from cput.serve.door import Door
from cput.serve.openapi.document import document
from cput.serve.openapi.requests import OutcomeBody

DOCUMENT = document()
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
CONFIG = {"seed": 1, "generation": {"deterministic": True, "database": "none", "allow-extra-parameters": False}}
FIXED = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "print_blob": False,
    "suppress_health_check": list(HealthCheck),
}
schema = schemathesis.openapi.from_dict(DOCUMENT, config=schemathesis.Config.from_dict(CONFIG))


class Endless(list):
    """The same handler for every request that comes."""

    def pop(self, _):
        return self[0]


async def fine(server, request, body):
    """Answer well, whatever is asked."""
    response = await server.begin(request)
    said = [{"delta": {"content": "one "}, "text": "one "}, {"delta": {}, "text": "", "finish_reason": "stop"}]
    for part in said:
        part.pop("text" if "messages" in body else "delta")
        await server.send(response, {"choices": [{"index": 0, **part}]})
    await server.send(response, {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
    await server.write(response, b"data: [DONE]\n\n")
    return response


@pytest.fixture(scope="module", params=["text", "wire"])
def door(request, tmp_path_factory, upstream):
    """A gateway in front of an engine of text, and one that forwards to an upstream which answers well."""
    upstream.next = Endless([fine])
    with Ledger.open(tmp_path_factory.mktemp("described") / "ledger.db") as book:
        made = gateways.echo_door(book) if request.param == "text" else gateways.remote_door(book, upstream.url)
        with gateways.running(made) as gateway:
            yield gateway
    upstream.next = []


tamed = itertools.cycle([False, True])


def tame(case):
    """Let the case be about a model that is served; every other one is also streamed and says its turns plainly."""
    body = case.body
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        return
    body["model"] = "echo"
    if next(tamed) and isinstance(body.get("stream"), bool | None):
        body["stream"] = True
        for turn in body["messages"] if isinstance(body.get("messages"), list) else ():
            if isinstance(turn, dict) and isinstance(turn.get("role"), str) and turn["role"]:
                turn |= {"role": "user", "content": "one two"}


def conforms(gateway, case):
    """Send a case; the answer is as the document says, and no 500 whatever it says."""
    tame(case)
    response = case.call(base_url=gateway.root)
    assert response.status_code != 500, response.text
    case.validate_response(response, checks=CHECKS)
    if response.headers["content-type"][0].startswith("text/event-stream"):
        events_conform(case.operation.path, response.content)


def events_conform(path, raw):
    """Every event is of the schema that the document names, or the one error that ends the stream."""
    described = DOCUMENT["paths"][path]["post"]["responses"]
    event = described["200"]["content"]["text/event-stream"]["x-event"]
    error = described["400"]["content"]["application/json"]["schema"]
    *events, last = gateways.parsed(raw)
    for each in events:
        valid(each, event)
    if last != "[DONE]":
        valid(last, {"anyOf": [event, error]})


def valid(value, reference):
    jsonschema.Draft202012Validator({"components": DOCUMENT["components"], **reference}).validate(value)


@schema.parametrize()
@settings(max_examples=12, **FIXED)
def test_whatever_is_sent_the_answer_is_as_the_document_says(case, door):
    conforms(door, case)


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=200, **FIXED)
def test_two_hundred_of_each_are_answered_as_the_document_says(case, door):
    conforms(door, case)


# The document itself


async def test_it_is_served_and_sound(echo):
    code, text = await get(echo, "/openapi.json")
    assert code == 200
    assert json.loads(text) == json.loads(json.dumps(DOCUMENT))
    schema.validate()


def test_every_route_is_described_and_nothing_else(book):
    routes = application(Door(ledger=book, models={}))._other.routes  # behind the straight way
    assert all(isinstance(route, Route) for route in routes)
    served = {
        (route.path.replace(":path", ""), method.lower()) for route in routes for method in route.methods - {"HEAD"}
    }
    described = {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert served == described


def test_names_of_operations_are_unique():
    names = [each["operationId"] for methods in DOCUMENT["paths"].values() for each in methods.values()]
    assert len(set(names)) == len(names)


def test_every_reference_has_its_schema():
    text = json.dumps(DOCUMENT)
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named == set(DOCUMENT["components"]["schemas"])


def test_outcomes_have_the_fields_that_are_read():
    assert set(OutcomeBody.__struct_fields__) == {*FIELDS, *ALIASES}


async def test_what_wants_a_key_is_what_the_document_says(book):
    import aiohttp

    with gateways.running(gateways.echo_door(book, gate=Accounts(book, Flat()), admin_token="t")) as gateway:
        async with aiohttp.ClientSession(gateway.root) as session:
            for path, methods in DOCUMENT["paths"].items():
                for method, described in methods.items():
                    async with session.request(method, path.replace("{", "").replace("}", "")) as response:
                        assert response.status == (401 if len(described["security"]) > 1 else 200), path
