"""Texts to token ids, as an embedding model reads them: wrapped in its special tokens, cut at its length."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from cput.errors import InputError, PromptTooLong
from cput.models import Manifest
from cput.models.manifest import TOKENIZER

Ids = npt.NDArray[np.int64]
PROBE = "a"


class Encoded(NamedTuple):
    """One text."""

    ids: Ids
    """What the network reads, special tokens included."""
    cut: bool
    """Whether it was longer than the model reads."""


class TextEncoder:
    """Encodes for one model. Safe in several threads; the library lets go of the interpreter while it works."""

    def __init__(self, manifest: Manifest, folder: Path, *, truncate: bool) -> None:
        """``truncate`` cuts what is too long; otherwise it is refused."""
        self._manifest = manifest
        self._truncate = truncate
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._before, self._after = self._special() if manifest.special_tokens else ([], [])
        self._room = manifest.context_length - len(self._before) - len(self._after)

    def encode(self, texts: Sequence[str | tuple[int, ...]]) -> list[Encoded]:
        """Return the ids of each text.

        Raises:
            InputError: a text is empty or no text, or has an id that is not in the vocabulary.
            PromptTooLong: one is too long and is not to be cut.
        """
        plain = iter(self._plain([text for text in texts if isinstance(text, str)]))
        found = [next(plain) if isinstance(text, str) else self._checked(text, at) for at, text in enumerate(texts)]
        return [self._wrapped(ids, at) for at, ids in enumerate(found)]

    def count(self, texts: Sequence[str | tuple[int, ...]]) -> int:
        """Return how many tokens the model reads of these texts."""
        return sum(len(one.ids) for one in self.encode(texts))

    def most(self, texts: Sequence[str | tuple[int, ...]]) -> int:
        """Return a bound on that count that costs nothing: a token is one byte at least."""
        lengths = (len(text.encode("utf-8", "replace")) if isinstance(text, str) else len(text) for text in texts)
        around = self._manifest.context_length - self._room
        return sum(min(length + 1 + around, self._manifest.context_length) for length in lengths)

    def _plain(self, texts: list[str]) -> list[list[int]]:
        try:
            return [encoding.ids for encoding in self._tokenizer.encode_batch(texts, add_special_tokens=False)]
        except (TypeError, UnicodeEncodeError) as error:
            raise InputError(
                f"a text to embed holds half of a surrogate pair, which is no character: {error}"
            ) from error

    def _checked(self, ids: tuple[int, ...], at: int) -> list[int]:
        size = self._manifest.vocab_size
        wrong = next((one for one in ids if not 0 <= one < size), None)
        if wrong is not None:
            raise InputError(
                f"text {at} has the token id {wrong}; {self._manifest.name} has 0 to {size - 1:,}. Ids are of the "
                "model's own tokenizer: a client that splits texts for another model has to send them as text"
            )
        return list(ids)

    def _wrapped(self, ids: list[int], at: int) -> Encoded:
        if not ids and not self._before:
            raise InputError(f"text {at} is empty after tokenising; give a text")
        cut = len(ids) > self._room
        if cut and not self._truncate:
            raise PromptTooLong(
                f"text {at} has {len(ids) + self._manifest.context_length - self._room:,} tokens; "
                f"{self._manifest.name} reads {self._manifest.context_length:,}"
            )
        return Encoded(np.array([*self._before, *ids[: self._room], *self._after], np.int64), cut)

    def _special(self) -> tuple[list[int], list[int]]:
        """Return what the tokenizer puts before and after a text."""
        bare = self._tokenizer.encode(PROBE, add_special_tokens=False).ids
        whole = self._tokenizer.encode(PROBE).ids
        at = next(at for at in range(len(whole)) if whole[at : at + len(bare)] == bare)
        return whole[:at], whole[at + len(bare) :]
