"""The most tokens that a prompt can have, for budgets of upstreams whose tokenizer is not here.

A token is at least one byte of UTF-8 in every tokenizer of today (byte-level BPE, SentencePiece with byte fallback). So
the bytes of what is sent bound its tokens, about four times over in English; a template adds a few per turn. What a
budget holds is corrected when the call is settled. Pictures, sounds and files have no such bound: they are unknown.
"""

import msgspec

from cput.records import Call
from cput.serve.forward import Carried

TEMPLATE_TOKENS = 16
"""Most tokens that a chat template puts around a turn, a tool, or the whole."""
SAID_IN_TEXT = frozenset({"text", "input_text", "output_text", "refusal"})
_encode = msgspec.json.Encoder().encode


def most_of_prompt(call: Call) -> int | None:
    """Return the most tokens that an upstream can count for a call's prompt; None where nothing bounds them."""
    if call.embed:
        return _of_texts(call)
    if call.prompt is not None:
        return len(call.prompt.encode("utf-8", "replace")) + TEMPLATE_TOKENS
    if not isinstance(call, Carried):
        return sum(len(turn.content.encode("utf-8", "replace")) + TEMPLATE_TOKENS for turn in call.messages)
    turns, tools = call.body.get("messages") or [], call.body.get("tools") or call.body.get("functions") or []
    if any(_is_more_than_text(turn) for turn in turns):
        return None
    asked = [turns, tools, call.body.get("response_format")]
    return len(_encode(asked)) + TEMPLATE_TOKENS * (len(turns) + len(tools) + 1)


def _is_more_than_text(turn: object) -> bool:
    content = turn.get("content") if isinstance(turn, dict) else None
    if not isinstance(content, list):
        return False
    return any(not isinstance(part, dict) or part.get("type") not in SAID_IN_TEXT for part in content)


def _of_texts(call: Call) -> int | None:
    """Around a text to embed stand two special tokens at most."""
    if "" in call.embed:
        return None  # not a text: a picture, say
    return sum(len(text.encode("utf-8", "replace")) + 2 if isinstance(text, str) else len(text) for text in call.embed)
