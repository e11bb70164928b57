"""Abstained: a student that is not sure says so instead of answering, and the next engine is asked."""

from cput.errors import EngineError


class Abstained(EngineError):  # noqa: N818  # reads as the sentence it stands for
    """A student is not sure enough of its answer; what it would have said is on it, for the grounds of a policy."""

    def __init__(self, message: str, *, probability: float, threshold: float, label: str) -> None:
        super().__init__(message)
        self.probability = probability
        """How probable the student held its answer to be right, in [0, 1]."""
        self.threshold = threshold
        """What that was held against."""
        self.label = label
        """The answer it kept to itself."""
