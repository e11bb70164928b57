"""For tests around engines, yours and ours: ``EchoEngine``, ``FakeClock`` and the engine contract battery.

    async def test_my_engine():
        await check_engine(lambda: MyEngine(...), real=True)

    @pytest.mark.parametrize("law", LAWS, ids=str)             # or one test per law
    async def test_my_engine(law):
        await check_engine(lambda: MyEngine(...), real=True, laws=[law])

``make`` is called for a fresh engine once for the laws that leave it open and once for each law that closes it; the
battery closes them all. An engine that makes vectors is checked with ``embeds=True``, by ``EMBEDDING_LAWS``. A broken
law is an ``AssertionError`` that says which law, and what was seen instead.
"""

from cput.engines.echo import Echo as EchoEngine
from cput.testing.battery import BrokenLaw, check_engine
from cput.testing.bench import PROMPTS
from cput.testing.clock import FakeClock
from cput.testing.embedding_laws import EMBEDDING_LAWS
from cput.testing.laws import LAWS, Law

__all__ = ["EMBEDDING_LAWS", "LAWS", "PROMPTS", "BrokenLaw", "EchoEngine", "FakeClock", "Law", "check_engine"]
