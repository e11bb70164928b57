"""Outcomes over HTTP: by response id, early, twice, revised, taken back, and never about somebody else's calls."""

import aiohttp
import gateways
import pytest
from flat_tariff import Flat
from gateways import chat_body, post

from cput.ledger.verdict import verdict
from cput.records import Verdict
from cput.serve.accounts import Accounts
from cput.serve.keys import create

THUMBS = {"name": "thumbs", "value": 1, "source": "user"}


async def asked(gateway, headers=None):
    _, _, body = await post(gateway, "/v1/chat/completions", chat_body(), headers)
    return body["id"]


async def delete(gateway, path, body=None, headers=None):
    async with (
        aiohttp.ClientSession() as session,
        session.delete(gateway.root + path, json=body, headers=headers or {}) as response,
    ):
        return response.status, await response.json()


def verdicts(gateway):
    return [verdict(record.outcomes) for record in gateway.records()]


@pytest.mark.parametrize("prefixed", [True, False])
async def test_an_outcome_joins_its_call_by_response_id_and_by_call_id(echo, prefixed):
    response_id = await asked(echo)
    about = {"response_id": response_id} if prefixed else {"call_id": response_id.removeprefix("chatcmpl-")}
    code, _, body = await post(echo, "/v1/outcomes", {**about, **THUMBS})
    assert (code, body["new"], body["waiting_for_their_call"]) == (200, 1, 0)
    assert verdicts(echo) == [Verdict.USEFUL]


async def test_an_outcome_by_external_key_may_come_before_its_call(echo):
    _, _, body = await post(echo, "/v1/outcomes", {"external_key": "order-17", **THUMBS})
    assert body["waiting_for_their_call"] == 1
    await asked(echo, {"X-Cput-External-Key": "order-17", "X-Cput-Workload": "shop"})
    (record,) = echo.records()
    assert (record.call.external_key, record.call.workload) == ("order-17", "shop")
    assert verdicts(echo) == [Verdict.USEFUL]


async def test_an_idempotency_key_makes_a_repeated_request_one_outcome(echo):
    said, key = {"response_id": await asked(echo), **THUMBS}, {"Idempotency-Key": "k1"}
    assert (await post(echo, "/v1/outcomes", said, key))[2]["new"] == 1
    code, _, body = await post(echo, "/v1/outcomes", said, key)
    assert (code, body["new"], body["repeated"], body["differing"]) == (200, 0, 1, [])
    code, _, body = await post(echo, "/v1/outcomes", {**said, "value": 0}, key)
    assert (code, body["differing"]) == (409, ["k1"])
    assert verdicts(echo) == [Verdict.USEFUL]


async def test_without_a_key_every_request_is_a_word_of_its_own(echo):
    said = {"response_id": await asked(echo), **THUMBS}
    for value, expected in ((1, Verdict.USEFUL), (0, Verdict.USELESS), (1, Verdict.USEFUL)):
        assert (await post(echo, "/v1/outcomes", {**said, "value": value}))[2]["new"] == 1
        assert verdicts(echo) == [expected]


async def test_a_batch_is_written_whole_or_not_at_all(echo):
    ids = [await asked(echo), await asked(echo)]
    batch = [{"response_id": each, **THUMBS} for each in ids]
    code, _, body = await post(echo, "/v1/outcomes", {"outcomes": [*batch, {"response_id": ids[0], "name": "x"}]})
    assert (code, body["error"]["param"]) == (400, "outcomes[2].source")
    assert verdicts(echo) == [Verdict.PENDING, Verdict.PENDING]
    code, _, body = await post(echo, "/v1/outcomes", batch, {"Idempotency-Key": "b"})
    assert (code, body["new"], body["ids"]) == (200, 2, ["b:0", "b:1"])
    assert verdicts(echo) == [Verdict.USEFUL, Verdict.USEFUL]


async def test_deleting_takes_back_and_deleting_again_changes_nothing(echo):
    _, _, body = await post(echo, "/v1/outcomes", {"response_id": await asked(echo), **THUMBS})
    (outcome_id,) = body["ids"]
    code, body = await delete(echo, f"/v1/outcomes/{outcome_id}")
    assert (code, body["new"]) == (200, 1)
    assert verdicts(echo) == [Verdict.PENDING]
    code, body = await delete(echo, f"/v1/outcomes/{outcome_id}")
    assert (code, body["new"], body["repeated"], body["differing"]) == (200, 0, 1, [])
    assert len(echo.records()[0].outcomes) == 2  # nothing is erased


async def test_deleting_by_call_name_and_source(echo):
    response_id = await asked(echo)
    await post(echo, "/v1/outcomes", {"response_id": response_id, **THUMBS})
    code, _ = await delete(echo, "/v1/outcomes", {"response_id": response_id, "name": "thumbs", "source": "user"})
    assert code == 200
    assert verdicts(echo) == [Verdict.PENDING]
    assert (await delete(echo, "/v1/outcomes/none"))[0] == 404


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], "outcomes"),
        ([1], "outcomes[0]"),
        ("thumbs", "outcomes[0]"),
        ({**THUMBS}, "outcomes[0]"),
        ({"call_id": "a", **THUMBS, "value": 2}, "outcomes[0].value"),
        ({"call_id": "a", **THUMBS, "source": "teacher"}, "outcomes[0].source"),
        ({"call_id": "a", **THUMBS, "vaule": 1}, "outcomes[0].vaule"),
    ],
)
async def test_a_wrong_outcome_is_refused_by_field(echo, body, param):
    code, _, answer = await post(echo, "/v1/outcomes", body)
    assert (code, answer["error"]["param"]) == (400, param)


@pytest.fixture
def keyed(book):
    """A gateway that wants keys, and the headers of two tenants."""
    headers = [
        {"Authorization": f"Bearer {create(book, tenant, tenant=tenant).secret}"} for tenant in ("north", "south")
    ]
    with gateways.running(gateways.echo_door(book, gate=Accounts(book, Flat()))) as gateway:
        yield gateway, *headers


async def test_without_a_key_nobody_gets_in_and_nothing_is_written(keyed):
    gateway, north, _ = keyed
    assert (await post(gateway, "/v1/chat/completions", chat_body()))[0] == 401
    assert (await post(gateway, "/v1/chat/completions", b"{"))[0] == 401
    assert (await post(gateway, "/v1/outcomes", THUMBS))[0] == 401
    assert (await gateways.get(gateway, "/v1/models"))[0] == 401
    assert gateway.records() == ()
    await asked(gateway, north)
    assert gateway.only()[0].tenant == "north"


async def test_a_tenant_speaks_of_its_own_calls_only(keyed):
    gateway, north, south = keyed
    said = {"response_id": await asked(gateway, north), **THUMBS}
    code, _, body = await post(gateway, "/v1/outcomes", said, south)
    assert (code, body["error"]["code"]) == (404, "call_not_found")
    _, _, body = await post(gateway, "/v1/outcomes", said, north)
    (outcome_id,) = body["ids"]
    assert (await delete(gateway, f"/v1/outcomes/{outcome_id}", headers=south))[0] == 404
    assert verdicts(gateway) == [Verdict.USEFUL]
    assert (await delete(gateway, f"/v1/outcomes/{outcome_id}", headers=north))[0] == 200
    assert verdicts(gateway) == [Verdict.PENDING]


async def test_two_tenants_orders_of_one_number_are_two_orders(keyed):
    gateway, north, south = keyed
    for who in (north, south):
        await asked(gateway, {**who, "X-Cput-External-Key": "order-17"})
    await post(gateway, "/v1/outcomes", {"external_key": "order-17", **THUMBS, "id": "1"}, north)
    await post(gateway, "/v1/outcomes", {"external_key": "order-17", **THUMBS, "id": "1", "value": 0}, south)
    by_tenant = {record.call.tenant: verdict(record.outcomes) for record in gateway.records()}
    assert by_tenant == {"north": Verdict.USEFUL, "south": Verdict.USELESS}
