"""Costs of answers that nobody billed: tokens guessed from the text's length, times a dated list price.

RouteLLM's files say who was right, and neither tokens nor money. Four characters of English are about one token, which
holds for both models to some 20 %; it moves all costs alike, and hardly the ratio of two engines. The price is that of
the maker's own API in force on ``DAY``, as genai-prices knows it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from cput.ledger.price import PriceBook
from cput.policy.recorded import Floats
from cput.records import Usage

CHARS_PER_TOKEN = 4
DAY = datetime(2024, 7, 1, tzinfo=UTC)
"""When RouteLLM was published: both models were on sale then."""


class Listed(NamedTuple):
    """A model on a price list."""

    model: str
    """Its name there."""
    provider: str
    """Whose list."""

    def cost_usd(self, input_chars: Sequence[int], output_chars: Sequence[int]) -> Floats:
        """Return the estimated cost of each answer, (n,) US dollars; NaN where no price is known."""
        one_in, one_out = self._per_token_usd()
        tokens_in = np.ceil(np.asarray(input_chars, dtype=np.float64) / CHARS_PER_TOKEN)
        tokens_out = np.ceil(np.asarray(output_chars, dtype=np.float64) / CHARS_PER_TOKEN)
        return np.asarray(tokens_in * one_in + tokens_out * one_out, dtype=np.float64)

    def _per_token_usd(self) -> tuple[float, float]:
        book, million = PriceBook(), 1_000_000
        inputs = Usage(input_uncached=million, output=0)
        outputs = Usage(input_uncached=0, output=million)
        found = [book.price(usage, model=self.model, provider=self.provider, at=DAY) for usage in (inputs, outputs)]
        nano = [priced.nano_usd for priced in found]
        return tuple(np.nan if each is None else each / 1e9 / million for each in nano)  # type: ignore[return-value]


MIXTRAL = Listed("open-mixtral-8x7b", "mistral")
GPT_4 = Listed("gpt-4-1106-preview", "openai")
WORDS = f"costs estimated: {CHARS_PER_TOKEN} characters a token, list prices of {DAY:%Y-%m-%d} (genai-prices)"
