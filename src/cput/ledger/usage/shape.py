"""The shapes that usage comes in, and what a layout of one says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from cput.ledger.usage.path import Expression
from cput.records import CountedBy


class Shape(StrEnum):
    """Which provider's way to write usage. Naming one switches off every reading of a body's own total."""

    OPENAI_CHAT = "openai-chat"
    """``prompt_tokens``: chat and completions of OpenAI, Azure, Groq, Mistral, DeepSeek, Moonshot, Zhipu, OpenRouter,
    DashScope's compatible mode, vLLM, SGLang, llama-server, Ollama's ``/v1``."""
    OPENAI_RESPONSES = "openai-responses"
    """``input_tokens`` with details: responses, realtime, images, transcriptions."""
    OPENAI_EMBEDDINGS = "openai-embeddings"
    """``prompt_tokens`` alone: nothing is generated."""
    XAI_CHAT = "xai-chat"
    """OpenAI's chat with the reasoning beside ``completion_tokens``."""
    PERPLEXITY = "perplexity"
    """OpenAI's chat with reasoning and citations beside ``completion_tokens``, and searches."""
    ANTHROPIC = "anthropic"
    """``input_tokens`` without the cache's reads and writes; also Bedrock's, Vertex' and MiniMax' door for it."""
    GEMINI = "gemini"
    """``usageMetadata``: thoughts beside candidates, tool prompts beside the prompt, modalities as lists."""
    BEDROCK = "bedrock"
    """``inputTokens`` of Bedrock's Converse, without the cache's reads and writes."""
    COHERE = "cohere"
    """``billed_units``, which is what Cohere's invoice counts."""
    COHERE_TOKENS = "cohere-tokens"
    """``tokens`` of the same body: what went through the model."""
    DASHSCOPE = "dashscope"
    """Qwen's own API: ``input_tokens`` with modalities beside the details."""
    OLLAMA = "ollama"
    """``prompt_eval_count`` and ``eval_count``."""
    LLAMA_SERVER = "llama-server"
    """llama.cpp's ``/completion``: ``tokens_evaluated``, ``tokens_predicted``."""
    LLAMA_TIMINGS = "llama-timings"
    """llama.cpp's ``timings`` alone, as its streams end without ``stream_options``."""
    SGLANG = "sglang"
    """``meta_info`` of SGLang's ``/generate``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a shape keeps its counts and how they lie in one another."""

    fields: Mapping[str, tuple[Expression, ...]]
    """genai-prices' usage key to the places where its inclusive amount may stand; the first that is there counts."""
    total: tuple[Expression, ...] = ()
    """Where the sum of input and output stands, if the shape has it."""
    beside: frozenset[str] = frozenset()
    """Classes that the input's or the output's own field leaves out."""
    elsewhere: tuple[Expression, ...] = ()
    """Tokens that were billed to another model and so cannot stand in this Usage."""
    silent: bool = False
    """Nothing is generated: an output that is not given is 0."""
    hides: bool = False
    """The total may hold generated tokens that no field gives."""
    counted_by: CountedBy = CountedBy.PROVIDER
    """Who counts."""
    first: Mapping[str, frozenset[str] | None] = field(init=False)
    """By usage key, the fields of which one must be there for any of its places; None where one is elsewhere."""

    def __post_init__(self) -> None:
        """Gather what tells quickly that a class is not there."""
        begins = {key: [place.first for place in places] for key, places in self.fields.items()}
        known = {
            key: None if None in firsts else frozenset().union(*(first or () for first in firsts))
            for key, firsts in begins.items()
        }
        object.__setattr__(self, "first", known)
