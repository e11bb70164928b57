"""The layouts: facts about each provider's body, as data.

Sources: the providers' API references (OpenAI, Anthropic, Google, AWS, Cohere, xAI, Perplexity, DeepSeek, Moonshot,
Zhipu, Alibaba Model Studio), the sources of vLLM, SGLang, llama.cpp and Ollama, and the bodies in tests/ledger/usage.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from cput.ledger.usage.lattice import MODALITIES
from cput.ledger.usage.path import Expression, expression
from cput.ledger.usage.shape import Layout, Shape
from cput.records import CountedBy

Texts = Mapping[str, tuple[str, ...]]
CACHE = frozenset({"cache_read_tokens", "cache_write_tokens"})
TTL_FIELD = {"5m": "ephemeral_5m_input_tokens", "1h": "ephemeral_1h_input_tokens"}


def _modalities(key: str, *places: str) -> dict[str, tuple[str, ...]]:
    """Return one entry per modality; ``@`` in the key and in the places stands for its name."""
    return {key.replace("@", name): tuple(place.replace("@", name) for place in places) for name in MODALITIES}


_CHAT: Texts = {
    "input_tokens": ("prompt_tokens", "prompt_cache_hit_tokens + prompt_cache_miss_tokens"),
    "cache_read_tokens": (
        "prompt_tokens_details.cached_tokens",
        "cached_tokens",  # Moonshot, SGLang
        "prompt_cache_hit_tokens",  # DeepSeek
        "num_cached_tokens",  # Mistral
        "cache_read_input_tokens",  # Databricks
        "cached_prompt_text_tokens",  # xAI until 2025
        "/timings.cache_n",  # llama-server before it had details
    ),
    "cache_write_tokens": (
        "prompt_tokens_details.cache_write_tokens",
        "prompt_tokens_details.cache_creation_input_tokens",  # DashScope
        "cache_creation_input_tokens",
    ),
    **{
        f"cache_write_{ttl}_tokens": (f"prompt_tokens_details.cache_creation.{field}",)
        for ttl, field in TTL_FIELD.items()
    },
    **_modalities("input_@_tokens", "prompt_tokens_details.@_tokens"),
    "output_tokens": ("completion_tokens",),
    "output_reasoning_tokens": ("completion_tokens_details.reasoning_tokens", "reasoning_tokens"),
    **_modalities("output_@_tokens", "completion_tokens_details.@_tokens"),
    "web_searches": ("server_tool_use.web_search_requests",),  # OpenRouter
}
_RESPONSES: Texts = {
    "input_tokens": ("input_tokens",),
    "cache_read_tokens": (
        "input_tokens_details.cached_tokens",
        "input_token_details.cached_tokens",  # realtime
        "input_tokens_details.cache_read_input_tokens",  # Perplexity
        "prompt_tokens_details.cached_tokens",  # DashScope
    ),
    "cache_write_tokens": (
        "input_tokens_details.cache_write_tokens",
        "prompt_tokens_details.cache_creation_input_tokens",
        "x_details[].prompt_tokens_details.cache_creation_input_tokens",  # DashScope's responses
    ),
    **{
        f"cache_write_{ttl}_tokens": (
            f"prompt_tokens_details.cache_creation.{field}",
            f"x_details[].prompt_tokens_details.cache_creation.{field}",
        )
        for ttl, field in TTL_FIELD.items()
    },
    **_modalities("input_@_tokens", "input_tokens_details.@_tokens", "input_token_details.@_tokens"),
    **_modalities("cache_@_read_tokens", "input_token_details.cached_tokens_details.@_tokens"),
    "output_tokens": ("output_tokens",),
    "output_reasoning_tokens": ("output_tokens_details.reasoning_tokens",),
    **_modalities("output_@_tokens", "output_tokens_details.@_tokens", "output_token_details.@_tokens"),
    "audio_seconds": ("billable_audio_seconds", "seconds"),
    "input_text_messages": ("input_text_messages",),
    "web_searches": (
        "tool_calls_details.search_web.invocation",  # Perplexity
        "server_side_tool_usage_details.web_search_calls",  # xAI, as the next three
    ),
    "social_searches": ("server_side_tool_usage_details.x_search_calls",),
    "code_executions": ("server_side_tool_usage_details.code_interpreter_calls",),
    "storage_searches": (
        "server_side_tool_usage_details.file_search_calls + server_side_tool_usage_details.document_search_calls",
    ),
}
_DASHSCOPE: Texts = {
    **_RESPONSES,
    **_modalities("input_@_tokens", "input_tokens_details.@_tokens", "prompt_tokens_details.@_tokens", "@_tokens"),
    "web_searches": ("plugins.search.count",),
}
# A compaction samples the same model once more and is billed, but the totals leave it out.
_COMPACTION = "iterations[type=compaction]"
_ANTHROPIC: Texts = {
    "input_tokens": (f"input_tokens + {_COMPACTION}.input_tokens",),
    "cache_read_tokens": (f"cache_read_input_tokens + {_COMPACTION}.cache_read_input_tokens",),
    "cache_write_tokens": (
        f"cache_creation_input_tokens + {_COMPACTION}.cache_creation_input_tokens",
        " + ".join(f"cache_creation.{field}" for field in TTL_FIELD.values()),
    ),
    **{
        f"cache_write_{ttl}_tokens": (f"cache_creation.{field} + {_COMPACTION}.cache_creation.{field}",)
        for ttl, field in TTL_FIELD.items()
    },
    "output_tokens": (f"output_tokens + {_COMPACTION}.output_tokens",),
    "output_reasoning_tokens": ("output_tokens_details.thinking_tokens",),
    "web_searches": ("server_tool_use.web_search_requests",),
}
_MODALITY_NAMES = {"text": ("TEXT",), "image": ("IMAGE", "DOCUMENT"), "video": ("VIDEO",), "audio": ("AUDIO",)}


def _lists(*names: str) -> dict[str, tuple[str, ...]]:
    """Return, by modality, the sum over Gemini's lists of (modality, count)."""
    return {
        modality: (" + ".join(f"{name}[modality={kind}].tokenCount" for name in names for kind in kinds),)
        for modality, kinds in _MODALITY_NAMES.items()
    }


def _gemini() -> dict[str, tuple[str, ...]]:
    fields: dict[str, tuple[str, ...]] = {
        "input_tokens": ("promptTokenCount",),
        "cache_read_tokens": ("cachedContentTokenCount",),
        "input_tool_tokens": ("toolUsePromptTokenCount",),
        "output_tokens": ("candidatesTokenCount",),
        "output_reasoning_tokens": ("thoughtsTokenCount",),
    }
    lists = {
        # Embeddings spell it promptTokenDetails; no body has both.
        "input_@_tokens": ("promptTokensDetails", "promptTokenDetails", "toolUsePromptTokensDetails"),
        "cache_@_read_tokens": ("cacheTokensDetails",),
        "input_@_tool_tokens": ("toolUsePromptTokensDetails",),
        "output_@_tokens": ("candidatesTokensDetails",),
    }
    for key, names in lists.items():
        fields |= {key.replace("@", modality): places for modality, places in _lists(*names).items()}
    return {key: (*places, *map(_snake, places)) for key, places in fields.items()}


def _snake(place: str) -> str:
    """Spell the fields as Google's Python SDK dumps them; what a list is searched for stays."""
    return re.sub(r"(?<=[a-z])[A-Z]", lambda letter: "_" + letter[0].lower(), place)


_BEDROCK: Texts = {
    "input_tokens": ("inputTokens",),
    "cache_read_tokens": ("cacheReadInputTokens", "cacheReadInputTokenCount", "cacheReadTokens"),
    "cache_write_tokens": ("cacheWriteInputTokens", "cacheWriteInputTokenCount", "cacheWriteTokens"),
    **{f"cache_write_{ttl}_tokens": (f"cacheDetails[ttl={ttl}].inputTokens",) for ttl in TTL_FIELD},
    "output_tokens": ("outputTokens",),
}
_COHERE: Texts = {
    "input_tokens": ("billed_units.input_tokens", "tokens.input_tokens"),
    "input_image_tokens": ("billed_units.image_tokens",),
    "output_tokens": ("billed_units.output_tokens", "tokens.output_tokens"),
    "rerank_searches": ("billed_units.search_units",),
}
_COHERE_TOKENS: Texts = {
    "input_tokens": ("tokens.input_tokens",),
    "cache_read_tokens": ("cached_tokens",),
    "output_tokens": ("tokens.output_tokens",),
}
_PERPLEXITY: Texts = {
    "input_tokens": ("prompt_tokens",),
    "output_tokens": ("completion_tokens",),
    "output_reasoning_tokens": ("reasoning_tokens",),
    "output_citation_tokens": ("citation_tokens",),
    "web_searches": ("num_search_queries",),
}
_OLLAMA: Texts = {
    "input_tokens": ("prompt_eval_count",),  # left away where the whole prompt was cached (ollama#2068)
    "cache_read_tokens": ("prompt_eval_cached_count",),
    "output_tokens": ("eval_count",),
}
_LLAMA_SERVER: Texts = {
    "input_tokens": ("tokens_evaluated",),
    # Not tokens_cached: that is the cache's length after the answer.
    "cache_read_tokens": ("timings.cache_n", "tokens_evaluated - timings.prompt_n"),
    "output_tokens": ("tokens_predicted", "timings.predicted_n"),
}
_LLAMA_TIMINGS: Texts = {
    "input_tokens": ("timings.prompt_n",),
    "cache_read_tokens": ("timings.cache_n",),
    "output_tokens": ("timings.predicted_n",),
}


def _places(*texts: str) -> tuple[Expression, ...]:
    return tuple(map(expression, texts))


def _fields(texts: Texts) -> Mapping[str, tuple[Expression, ...]]:
    return MappingProxyType({key: _places(*places) for key, places in texts.items()})


_TOTAL = _places("total_tokens")
_REASONING = frozenset({"output_reasoning_tokens"})
LAYOUTS: Mapping[Shape, Layout] = MappingProxyType(
    {
        Shape.OPENAI_CHAT: Layout(fields=_fields(_CHAT), total=_TOTAL, hides=True),
        Shape.OPENAI_RESPONSES: Layout(fields=_fields(_RESPONSES), total=_TOTAL),
        Shape.OPENAI_EMBEDDINGS: Layout(
            fields=_fields({"input_tokens": ("prompt_tokens", "total_tokens")}), silent=True
        ),
        Shape.XAI_CHAT: Layout(fields=_fields(_CHAT), total=_TOTAL, beside=_REASONING),
        Shape.PERPLEXITY: Layout(fields=_fields(_PERPLEXITY), beside=_REASONING | {"output_citation_tokens"}),
        Shape.ANTHROPIC: Layout(
            fields=_fields(_ANTHROPIC),
            beside=CACHE,
            elsewhere=_places(
                "iterations[type=advisor_message].input_tokens + iterations[type=advisor_message].output_tokens"
            ),
        ),
        Shape.GEMINI: Layout(
            fields=_fields(_gemini()),
            total=_places("totalTokenCount", "total_token_count"),
            beside=_REASONING | {"input_tool_tokens"},
        ),
        Shape.BEDROCK: Layout(fields=_fields(_BEDROCK), total=_places("totalTokens"), beside=CACHE),
        Shape.COHERE: Layout(fields=_fields(_COHERE), beside=frozenset({"input_image_tokens"})),
        Shape.COHERE_TOKENS: Layout(fields=_fields(_COHERE_TOKENS)),
        Shape.DASHSCOPE: Layout(fields=_fields(_DASHSCOPE), total=_TOTAL),
        Shape.OLLAMA: Layout(fields=_fields(_OLLAMA), counted_by=CountedBy.ENGINE),
        Shape.LLAMA_SERVER: Layout(fields=_fields(_LLAMA_SERVER), counted_by=CountedBy.ENGINE),
        Shape.LLAMA_TIMINGS: Layout(
            fields=_fields(_LLAMA_TIMINGS), beside=frozenset({"cache_read_tokens"}), counted_by=CountedBy.ENGINE
        ),
        Shape.SGLANG: Layout(fields=_fields(_CHAT), counted_by=CountedBy.ENGINE),
    }
)
