"""A request of OpenAI's Responses API as the chat completion that asks the same."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec

from cput.serve.body import fields_of, shown
from cput.serve.fault import BadRequest, unsupported

RENAMED = frozenset({"input", "instructions", "max_output_tokens", "text", "tools", "tool_choice", "reasoning"})
STATELESS: Mapping[str, tuple[Any, ...]] = {
    "store": (False,),
    "background": (False,),
    "previous_response_id": (),
    "conversation": (),
    "prompt": (),
    "include": ([],),
    "truncation": ("disabled",),
    "max_tool_calls": (),
}
"""Fields that need answers kept on a server, and the values that ask for none. Answers are kept nowhere here."""
PARTS = {"input_text": "text", "output_text": "text", "text": "text"}


class ResponsesBody(msgspec.Struct, kw_only=True):
    """The fields that are spelt otherwise than in the chat dialect."""

    input: str | list[dict[str, Any]]
    instructions: str = ""
    max_output_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    text: dict[str, Any] = {}
    tools: list[dict[str, Any]] = []
    tool_choice: str | dict[str, Any] = "auto"
    reasoning: dict[str, Any] = {}


def chat_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of the chat completion; fields that both have, and unknown ones, go through.

    Raises:
        BadRequest: a field is wrong, or asks for what no engine here has.
    """
    wanted = fields_of(body, ResponsesBody)
    for name, neutral in STATELESS.items():
        if body.get(name) is not None and body[name] not in neutral:
            raise unsupported(name, f"it is {shown(body[name])}, and this gateway keeps no responses")
    said = {name: value for name, value in body.items() if name not in RENAMED and name not in STATELESS}
    system = [{"role": "system", "content": wanted.instructions}] if wanted.instructions else []
    said["messages"] = [*system, *_turns(wanted.input)]
    if wanted.max_output_tokens is not None:
        said["max_completion_tokens"] = wanted.max_output_tokens
    if wanted.text:
        said |= _text_settings(wanted.text)
    if wanted.tools:
        said["tools"] = [_tool(at, tool) for at, tool in enumerate(wanted.tools)]
        said["tool_choice"] = _choice(wanted.tool_choice)
    if (effort := wanted.reasoning.get("effort")) is not None:
        said["reasoning_effort"] = effort
    return said


def _turns(given: str | list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    if isinstance(given, str):
        yield {"role": "user", "content": given}
        return
    if not given:
        raise BadRequest("'input' is []; allowed: a text, or a list of one item or more", param="input")
    for at, item in enumerate(given):
        kind = item.get("type", "message")
        if kind == "message":
            yield {"role": item.get("role"), "content": _content(at, item.get("content"))}
        elif kind == "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            call = {"id": item.get("call_id"), "type": "function", "function": function}
            yield {"role": "assistant", "content": None, "tool_calls": [call]}
        elif kind == "function_call_output":
            yield {"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")}
        else:
            raise unsupported(
                f"input[{at}]", f"its type is {shown(kind)}; served: message, function_call, function_call_output"
            )


def _content(at: int, content: Any) -> Any:
    if not isinstance(content, list):
        return content
    parts = []
    for number, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in PARTS:
            parts.append({"type": "text", "text": part.get("text")})
        elif kind == "input_image" and isinstance(part.get("image_url"), str):
            picture = {"url": part["image_url"]} | ({"detail": part["detail"]} if part.get("detail") else {})
            parts.append({"type": "image_url", "image_url": picture})
        else:
            raise unsupported(
                f"input[{at}].content[{number}]", f"its type is {shown(kind)}; served: texts and pictures"
            )
    return parts


def _text_settings(text: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    form = text.get("format")
    if isinstance(form, dict) and form.get("type") == "json_schema":
        schema = {name: value for name, value in form.items() if name != "type"}
        said["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif isinstance(form, dict):
        said["response_format"] = form
    if text.get("verbosity") is not None:
        said["verbosity"] = text["verbosity"]
    return said


def _tool(at: int, tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool.get("type") != "function":
        raise unsupported(f"tools[{at}]", f"its type is {shown(tool.get('type'))}; served: function")
    return {"type": "function", "function": {name: value for name, value in tool.items() if name != "type"}}


def _choice(choice: str | Mapping[str, Any]) -> Any:
    if isinstance(choice, str):
        return choice
    if choice.get("type") != "function":
        raise unsupported("tool_choice", f"its type is {shown(choice.get('type'))}; served: function")
    return {"type": "function", "function": {"name": choice.get("name")}}
