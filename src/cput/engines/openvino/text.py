"""Text in and out of token ids: chat templates, detokenisation that never splits a character, stop texts."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from cput.errors import EngineError, InputError
from cput.records import Message


class ChatTemplate:
    """A model's Jinja chat template, rendered in Jinja's sandbox as Hugging Face's ``apply_chat_template`` does."""

    def __init__(self, source: str, special: Mapping[str, str]) -> None:
        """Compile ``source``; ``special`` gives bos_token and eos_token.

        Raises:
            InputError: ``source`` is not Jinja.
        """
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda form: datetime.now(tz=UTC).strftime(form)
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise InputError(f"the model's chat template is not valid Jinja: {error}") from error
        self._special = dict(special)

    def render(self, messages: Sequence[Message]) -> str:
        """Return the prompt text for a conversation, ready for the assistant's turn.

        Raises:
            EngineError: when the template refuses the conversation.
        """
        turns: list[dict[str, Any]] = [{"role": turn.role, "content": turn.content} for turn in messages]
        try:
            return self._template.render(messages=turns, add_generation_prompt=True, **self._special)
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise EngineError(f"the model's chat template refused the conversation: {error}") from error


def _tojson(value: Any, indent: int | None = None) -> str:
    """Jinja's own escapes HTML, which a model should not see."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: str) -> None:
    raise TemplateError(message)


class Emitted(NamedTuple):
    """What may be shown now, and whether a stop text was met."""

    text: str
    stopped: bool


class Detokenizer:
    """Turns token ids into text as they arrive.

    Bytes of a character that is not complete yet (Chinese, emoji) wait for the rest; text that may be the beginning of
    a stop text waits until it is clear that it is not.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        """Start an empty answer."""
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)
        self._waiting: list[int] = []
        self._stop = tuple(text for text in stop if text)
        self._held = ""

    def push(self, ids: Sequence[int]) -> Emitted:
        """Take in new ids; return the text that is certain."""
        text = ""
        for token in ids:
            part = self._stream.step(self._tokenizer, token)
            if part is None:
                self._waiting.append(token)
            else:
                self._waiting.clear()
                text += part
        return self._hold(text)

    def finish(self) -> str:
        """Return what was held back. An unfinished character at the very end becomes U+FFFD."""
        tail = self._tokenizer.decode(self._waiting, skip_special_tokens=True) if self._waiting else ""
        emitted = self._hold(tail)
        held, self._held = self._held, ""
        return emitted.text if emitted.stopped else emitted.text + held

    def _hold(self, text: str) -> Emitted:
        if not self._stop:
            return Emitted(text, stopped=False)
        self._held += text
        found = [at for at in (self._held.find(stop) for stop in self._stop) if at >= 0]
        if found:
            shown, self._held = self._held[: min(found)], ""
            return Emitted(shown, stopped=True)
        keep = max(_overlap(self._held, stop) for stop in self._stop)
        split = len(self._held) - keep
        shown, self._held = self._held[:split], self._held[split:]
        return Emitted(shown, stopped=False)


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that is a beginning of ``stop``."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
