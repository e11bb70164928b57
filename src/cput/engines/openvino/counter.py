"""Usage of one call of the embedded engine while it runs."""

from cput.records import CountedBy, Usage


class Counter:
    """Prompt and output tokens, and the engine's seconds so far."""

    __slots__ = ("engine_s", "output", "prompt")

    def __init__(self) -> None:
        self.prompt = 0
        self.output = 0
        self.engine_s = 0.0

    def so_far(self) -> Usage:
        """Return the usage of an answer that is cut off now."""
        return self._usage(complete=False)

    def final(self) -> Usage:
        """Return the usage of an answer that has ended."""
        return self._usage(complete=True)

    def _usage(self, *, complete: bool) -> Usage:
        # openvino-genai does not say how much of a prompt came from its prefix cache: the whole prompt counts as
        # uncached and the cache classes stay unknown.
        return Usage(
            input_uncached=self.prompt,
            output=self.output,
            engine_s=self.engine_s,
            complete=complete,
            counted_by=CountedBy.ENGINE,
        )
