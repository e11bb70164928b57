"""Where a body keeps its usage object, and which shape that has.

A body may be the whole response, one event of its stream, or the usage object alone.
"""

from collections.abc import Mapping
from typing import Any

from cput.errors import InputError, unknown
from cput.ledger.usage.shape import Shape

ROOTS = (
    ("usage",),
    ("usageMetadata",),
    ("usage_metadata",),
    ("response", "usage"),  # OpenAI's response.completed, realtime's response.done
    ("message", "usage"),  # Anthropic's message_start
    ("delta", "usage"),  # Cohere's message-end
    ("metadata", "usage"),  # Bedrock's ConverseStream
    ("result", "usage"),  # Cloudflare
    ("x_groq", "usage"),
    ("meta_info",),  # SGLang
    ("tokenUsage",),  # Cursor
    ("meta",),  # Cohere's embed and rerank
)
MARKS: tuple[tuple[Shape, frozenset[str]], ...] = (
    (Shape.GEMINI, frozenset({"promptTokenCount", "candidatesTokenCount", "totalTokenCount"})),
    (Shape.GEMINI, frozenset({"prompt_token_count", "candidates_token_count", "total_token_count"})),
    (Shape.BEDROCK, frozenset({"inputTokens", "outputTokens"})),
    (Shape.COHERE, frozenset({"billed_units", "tokens"})),
    (Shape.SGLANG, frozenset({"e2e_latency", "weight_version"})),
    (Shape.PERPLEXITY, frozenset({"citation_tokens", "num_search_queries"})),
    (Shape.OPENAI_CHAT, frozenset({"prompt_tokens", "completion_tokens", "prompt_cache_hit_tokens"})),
    (
        Shape.ANTHROPIC,
        frozenset({"cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation", "iterations"}),
    ),
    (
        Shape.DASHSCOPE,
        frozenset({"image_tokens", "audio_tokens", "video_tokens", "prompt_tokens_details", "plugins"}),
    ),
    (Shape.OPENAI_RESPONSES, frozenset({"input_tokens", "output_tokens", "billable_audio_seconds", "seconds"})),
    (Shape.OLLAMA, frozenset({"prompt_eval_count", "eval_count", "total_duration"})),
    (Shape.LLAMA_SERVER, frozenset({"tokens_evaluated", "tokens_predicted"})),
    (Shape.LLAMA_TIMINGS, frozenset({"timings"})),
    (Shape.OPENAI_CHAT, frozenset({"total_tokens"})),  # all that some embeddings and rerankers say
)
"""Fields that tell a shape; the first shape of which one is there is it."""

_BARE_MARKS = frozenset().union(*(marks for _, marks in MARKS)) - {"tokens", "seconds", "plugins", "iterations"}


def shape_of(body: Mapping[str, Any]) -> Shape | None:
    """Return the shape of a body's usage, or None where the body says no usage.

    Raises:
        InputError: not an object, or a usage object without a field of any known shape.
    """
    usage = usage_object(body)
    return None if usage is None else told_shape(usage)


def usage_object(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the object that holds the counts (the body itself, where they stand at its top), or None.

    Raises:
        InputError: the body, or what stands in the usage's place, is not an object.
    """
    if type(body) is not dict and not isinstance(body, Mapping):  # the first half is quick
        raise InputError(f"a body of usage is {type(body).__name__}; allowed: an object with string keys")
    for root in ROOTS:
        if body.get(root[0]) and (found := _follow(body, root)) is not None:
            return found
    choices = body.get("choices")
    first = choices[0] if choices and isinstance(choices, list) else None
    if (type(first) is dict or isinstance(first, Mapping)) and first.get("usage"):
        return _object(first["usage"], "choices[0].usage")  # Moonshot's streams
    return None if _BARE_MARKS.isdisjoint(body) else body


def told_shape(usage: Mapping[str, Any]) -> Shape:
    """Return the shape that a usage object's fields tell.

    Raises:
        InputError: none of its fields is of a known shape.
    """
    said = {name for name, value in usage.items() if value is not None}
    for names in (said, usage.keys()):  # a null tells a shape only where nothing else does
        for shape, marks in MARKS:
            if not marks.isdisjoint(names):
                return shape
    fields = ", ".join(sorted(map(str, usage)))[:200]
    known = ", ".join(dict.fromkeys(shape.value for shape, _ in MARKS))
    raise InputError(f"usage of an unknown shape with the fields {fields}; known shapes: {known}")


def named_shape(name: str) -> Shape:
    """Return a shape by its name.

    Raises:
        InputError: no such shape; the message lists all.
    """
    try:
        return Shape(name)
    except ValueError:
        raise unknown("usage shape", str(name), [shape.value for shape in Shape]) from None


def embeds(body: Mapping[str, Any]) -> bool:
    """Tell whether a response holds embeddings, for which nothing is generated."""
    output, data = body.get("output"), body.get("data")
    if "embedding" in body or "embeddings" in body or (isinstance(output, Mapping) and "embeddings" in output):
        return True
    return isinstance(data, list) and bool(data) and isinstance(data[0], Mapping) and "embedding" in data[0]


def _follow(body: Mapping[str, Any], root: tuple[str, ...]) -> Mapping[str, Any] | None:
    """Return the object at a root; None where there is none, or nothing in it, or (``meta``) nothing of usage in it."""
    node: Any = body
    for name in root[:-1]:
        node = node.get(name)
        if not isinstance(node, Mapping):
            return None
    found = node.get(root[-1])
    if root == ("meta",):
        return found if isinstance(found, Mapping) and isinstance(found.get("billed_units"), Mapping) else None
    if root == ("meta_info",):
        return found if isinstance(found, Mapping) and not _BARE_MARKS.isdisjoint(found) else None
    return _object(found, ".".join(root)) if found else None


def _object(found: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(found, Mapping):
        raise InputError(f"'{where}' holds {repr(found)[:60]}; allowed: an object of counts, or nothing")
    return found
