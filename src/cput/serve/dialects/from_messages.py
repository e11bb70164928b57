"""Anthropic's request as the chat completion that asks the same."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec

from cput.serve.body import fields_of, shown
from cput.serve.fault import BadRequest, unsupported

RENAMED = frozenset(
    {"system", "messages", "max_tokens", "stop_sequences", "tools", "tool_choice", "metadata", "thinking"}
)
WITHOUT: Mapping[str, tuple[Any, ...]] = {
    "service_tier": ("auto", "standard_only"),
    "mcp_servers": ([],),
    "container": (),
    "context_management": (),
}
"""Anthropic's own services: values that ask for none of them."""


class MessagesBody(msgspec.Struct, kw_only=True):
    """The fields that are spelt otherwise than in OpenAI's dialect."""

    messages: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
    max_tokens: Annotated[int, msgspec.Meta(ge=1)]
    system: str | list[dict[str, Any]] = ""
    stop_sequences: list[str] = []
    tools: list[dict[str, Any]] = []
    tool_choice: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    thinking: dict[str, Any] = {}


def chat_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of the chat completion; fields that both dialects have, and unknown ones, go through.

    Raises:
        BadRequest: a field is wrong, or asks for what no engine here has.
    """
    wanted = fields_of(body, MessagesBody)
    if wanted.thinking.get("type", "disabled") != "disabled":
        raise unsupported("thinking", "no engine here offers it")
    for name, neutral in WITHOUT.items():
        if body.get(name) is not None and body[name] not in neutral:
            raise unsupported(name, f"it is {shown(body[name])}, a service of Anthropic's own")
    said = {name: value for name, value in body.items() if name not in RENAMED and name not in WITHOUT}
    said |= {"max_tokens": wanted.max_tokens, "messages": [*_system(wanted.system), *_turns(wanted.messages)]}
    if wanted.stop_sequences:
        said["stop"] = wanted.stop_sequences
    if wanted.tools:
        said["tools"] = [_tool(at, tool) for at, tool in enumerate(wanted.tools)]
        said |= _tool_choice(wanted.tool_choice)
    if user := wanted.metadata.get("user_id"):
        said["user"] = user
    return said


def _system(system: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    text = system if isinstance(system, str) else "\n".join(_text(f"system[{at}]", p) for at, p in enumerate(system))
    return [{"role": "system", "content": text}] if text else []


def _turns(messages: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    for at, turn in enumerate(messages):
        role, content = turn.get("role"), turn.get("content")
        if role not in {"user", "assistant", "system"}:
            raise BadRequest(f"'messages[{at}].role' is {shown(role)}; allowed: user, assistant", param="messages")
        if isinstance(content, str):
            yield {"role": role, "content": content}
        elif isinstance(content, list) and all(isinstance(block, dict) for block in content):
            yield from _assistant(at, content) if role == "assistant" else _user(at, role, content)
        else:
            said = f"'messages[{at}].content' is {shown(content)}; allowed: a text or a list of blocks"
            raise BadRequest(said, param="messages")


def _assistant(at: int, blocks: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    texts, calls = [], []
    for number, block in enumerate(blocks):
        if block.get("type") == "tool_use":
            arguments = msgspec.json.encode(block.get("input") or {}).decode()
            function = {"name": block.get("name"), "arguments": arguments}
            calls.append({"id": block.get("id"), "type": "function", "function": function})
        else:
            texts.append(_text(f"messages[{at}].content[{number}]", block))
    yield {"role": "assistant", "content": "\n".join(texts)} | ({"tool_calls": calls} if calls else {})


def _user(at: int, role: str, blocks: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Tool results are turns of their own in OpenAI's dialect, and stand before what the user says to them."""
    parts = []
    for number, block in enumerate(blocks):
        where = f"messages[{at}].content[{number}]"
        if block.get("type") == "tool_result":
            yield {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": _result(where, block)}
        elif block.get("type") == "image":
            parts.append(_image(where, block))
        else:
            parts.append({"type": "text", "text": _text(where, block)})
    if parts:
        yield {"role": role, "content": parts}


def _result(where: str, block: Mapping[str, Any]) -> str:
    content = block.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(_text(f"{where}.content[{at}]", part) for at, part in enumerate(content))


def _image(where: str, block: Mapping[str, Any]) -> dict[str, Any]:
    source = block.get("source")
    kind = source.get("type") if isinstance(source, dict) else None
    if isinstance(source, dict) and kind == "base64":
        url = f"data:{source.get('media_type')};base64,{source.get('data')}"
    elif isinstance(source, dict) and kind == "url":
        url = str(source.get("url"))
    else:
        raise unsupported(f"{where}.source", "pictures come as base64 or url")
    return {"type": "image_url", "image_url": {"url": url}}


def _text(where: str, block: Any) -> str:
    text = block.get("text") if isinstance(block, dict) and block.get("type") == "text" else None
    if isinstance(text, str):
        return text
    kind = block.get("type") if isinstance(block, dict) else None
    raise unsupported(where, f"its type is {shown(kind)}; served: text, image, tool_use, tool_result")


def _tool(at: int, tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool.get("type", "custom") != "custom":
        raise unsupported(f"tools[{at}]", f"its type is {shown(tool['type'])}, a tool that Anthropic runs itself")
    function = {"name": tool.get("name"), "parameters": tool.get("input_schema") or {"type": "object"}}
    if tool.get("description"):
        function["description"] = tool["description"]
    return {"type": "function", "function": function}


def _tool_choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    kind = choice.get("type", "auto")
    names = {"auto": "auto", "any": "required", "none": "none"}
    if kind == "tool":
        said: dict[str, Any] = {"tool_choice": {"type": "function", "function": {"name": choice.get("name")}}}
    elif kind in names:
        said = {"tool_choice": names[kind]}
    else:
        raise BadRequest(f"'tool_choice.type' is {shown(kind)}; allowed: auto, any, tool, none", param="tool_choice")
    return said | ({"parallel_tool_calls": False} if choice.get("disable_parallel_tool_use") else {})
