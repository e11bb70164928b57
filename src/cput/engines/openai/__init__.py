"""``openai``: any OpenAI-compatible endpoint (vLLM, SGLang, llama-server, Ollama, MindIE, hosted APIs)."""

from cput.engines.openai.engine import OpenAI, open_engine

__all__ = ["OpenAI", "open_engine"]
