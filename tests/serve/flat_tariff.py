"""A tariff for tests: every call may cost the same, and its usage says nothing about its cost."""

from dataclasses import dataclass

from cput.records import Usage
from cput.serve.gate import Asked
from cput.serve.tariff import Most


@dataclass
class Flat:
    nano_usd: int | None = 1_000_000

    def most(self, asked: Asked) -> Most:
        return Most(self.nano_usd, None if self.nano_usd is not None else "no price of 'm' is on file")

    def cost(self, asked: Asked, usage: Usage) -> int | None:
        return None
