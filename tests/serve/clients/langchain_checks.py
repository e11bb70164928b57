"""LangChain's chat models for OpenAI and for Anthropic, unchanged, in front of both kinds of engines.

``test_clients_langchain`` has pytest run this file in a venv with LangChain.
"""

import os

import pytest
from pydantic import BaseModel, SecretStr
from upstream_words import calls, says
from wire_server import until

from cput.records import Finish

os.environ["LANGCHAIN_TRACING_V2"] = os.environ["LANGSMITH_TRACING"] = "false"  # whatever the user has set

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

NONE = SecretStr("none")


class Place(BaseModel):
    """A place on a map."""

    city: str
    metres: int


@tool
def weather(city: str) -> str:
    """What the weather is like in a city."""
    return f"rain in {city}"


def openai_chat(gateway, **options):
    return ChatOpenAI(base_url=gateway.url, api_key=NONE, max_retries=0, **{"model": "echo", **options})


def openai_responses(gateway, **options):
    return openai_chat(gateway, use_responses_api=True, **options)


def anthropic_chat(gateway, **options):
    given = {"model": "echo", "max_tokens": 200, **options}
    return ChatAnthropic(base_url=gateway.root, api_key=NONE, max_retries=0, **given)


KINDS = [openai_chat, openai_responses, anthropic_chat]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@every_kind
def test_invoke_answers_with_usage_and_the_calls_id(echo, kind):
    answer = kind(echo).invoke("one two three")
    call, attempt = echo.only()
    assert answer.text == "one two three"
    assert (answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]) == (3, 3)
    assert answer.response_metadata["id"].endswith(call.id)
    assert attempt.usage.output == 3


@every_kind
def test_stream_gives_a_part_for_every_piece_and_adds_up_with_its_usage(echo, kind):
    parts = list(kind(echo, stream_usage=True).stream("one two three"))
    assert [part.text for part in parts if part.text] == ["one ", "two ", "three"]
    whole = parts[0]
    for part in parts[1:]:
        whole += part
    assert (whole.usage_metadata["output_tokens"], whole.usage_metadata["total_tokens"]) == (3, 6)
    assert echo.only()[1].usage.output == 3


async def test_batches_and_asynchronous_calls_are_calls_each(echo):
    asked = [f"call {at}" for at in range(4)]
    for kind in KINDS:  # in one event loop: LangChain's models of one URL share their connections
        assert [answer.text for answer in kind(echo).batch(asked)] == asked
        assert [answer.text for answer in await kind(echo).abatch(asked)] == asked
        assert "".join([part.text async for part in kind(echo).astream("one two")]) == "one two"
    assert len(echo.records()) == 9 * len(KINDS)


@every_kind
def test_tools_are_called_and_their_results_go_on(remote, server, kind):
    model = kind(remote, model="m").bind_tools([weather])
    server.next = [calls("weather", '{"ci', 'ty": "Lhasa"}')]
    first = model.invoke("How is Lhasa?")
    (call,) = first.tool_calls
    assert (call["name"], call["args"]) == ("weather", {"city": "Lhasa"})
    server.next = [says("It ", "rains.")]
    result = weather.invoke(call)
    assert isinstance(result, ToolMessage)
    second = model.invoke([HumanMessage("How is Lhasa?"), first, result])
    assert second.text == "It rains."
    said = server.bodies[-1]
    assert said["tools"][0]["function"]["parameters"]["required"] == ["city"]
    asked, called, answered = said["messages"]
    assert (asked["role"], called["role"], answered["role"]) == ("user", "assistant", "tool")
    assert called["tool_calls"][0]["id"] == answered["tool_call_id"] == call["id"]
    assert answered["content"] == "rain in Lhasa"


@every_kind
def test_tool_calls_are_streamed_in_parts(remote, server, kind):
    server.next = [calls("weather", '{"ci', 'ty": "Lhasa"}')]
    whole = None
    for part in kind(remote, model="m").bind_tools([weather]).stream("How is Lhasa?"):
        whole = part if whole is None else whole + part
    assert [(call["name"], call["args"]) for call in whole.tool_calls] == [("weather", {"city": "Lhasa"})]


@pytest.mark.parametrize("kind", [openai_chat, openai_responses], ids=lambda kind: kind.__name__)
def test_structured_output_by_schema(echo, kind):
    model = kind(echo).with_structured_output(Place, method="json_schema")
    assert model.invoke('{"city": "Lhasa", "metres": 3650}') == Place(city="Lhasa", metres=3650)


@every_kind
def test_structured_output_by_a_tool(remote, server, kind):
    server.next = [calls("Place", '{"city": "Lhasa", ', '"metres": 3650}')]
    method = {} if kind is anthropic_chat else {"method": "function_calling"}
    model = kind(remote, model="m").with_structured_output(Place, **method)
    assert model.invoke("where?") == Place(city="Lhasa", metres=3650)


@every_kind
def test_a_conversation_with_a_system_turn(echo, kind):
    turns = [("system", "be brief"), ("human", "one"), AIMessage("two"), HumanMessage("three four")]
    assert kind(echo).invoke(turns).text == "three four"
    assert echo.only()[1].usage.input == 6


@every_kind
async def test_a_stream_that_is_left_halfway_is_one_cancelled_row(remote, server, kind):
    server.token_s = 0.01
    parts = kind(remote, model="m", max_tokens=500).stream("word " * 400)
    for _ in range(6):
        next(parts)
    parts.close()
    await until(remote.records)
    _, attempt = remote.only()
    assert (attempt.finish, attempt.usage.complete) == (Finish.CANCELLED, False)
