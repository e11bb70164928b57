"""What an upstream may say, for the wire server's next answers: a text, or a call of a tool, as it is streamed."""

import json

from wire_server import stream


def events_of(*chunks):
    """Chunks as server-sent events, with the mark at the end."""
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def _delta(delta, finish=None):
    return {"id": "u1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def says(*parts, prompt_tokens=9, completion_tokens=None):
    """A handler that streams a text in parts."""
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens or len(parts)}
    chunks = [_delta({"role": "assistant", "content": ""}), *(_delta({"content": part}) for part in parts)]
    return stream(events_of(*chunks, _delta({}, "stop"), {"choices": [], "usage": usage}))


def calls(name, *arguments, call_id="call_1"):
    """A handler that streams the call of a tool, its arguments in parts."""
    first = {"index": 0, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
    parts = [{"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in arguments]
    chunks = [_delta({"role": "assistant", "content": None, "tool_calls": [first]}), *(_delta(part) for part in parts)]
    usage = {"prompt_tokens": 9, "completion_tokens": 7}
    return stream(events_of(*chunks, _delta({}, "tool_calls"), {"choices": [], "usage": usage}))
