"""Members fitted once a split, and every stack of them that the bench compares."""

from typing import NamedTuple

import numpy as np

from cput.policy.recorded import Recorded
from cput.policy.router.costs import CostLines
from cput.policy.router.estimates import Estimates
from cput.policy.router.features import Raw, Reader
from cput.policy.router.members import FITS, Lesson
from cput.policy.router.ridge import gram_of_words
from cput.policy.router.stacked import Weights


class Fitted(NamedTuple):
    """Members' words on the training prompts they had not seen, and on the test prompts."""

    left_out: dict
    said: dict
    train: Recorded
    costs: CostLines
    test: Recorded

    def stack(self, *names: str) -> Estimates:
        """Return the stacked estimates of some members on the test prompts."""
        return self._blend(names, self.said, self.test)

    def stack_left_out(self, *names: str) -> Estimates:
        """Return the same on the training prompts, each left out of what is said of it."""
        return self._blend(names, self.left_out, self.train)

    def _blend(self, names: tuple[str, ...], said: dict, asked: Recorded) -> Estimates:
        quality = self.train.quality.astype(np.float32)
        weights = Weights.fit([self.left_out[name] for name in names], quality)
        return Estimates(weights.blend([said[name] for name in names]), self.costs.of(asked.prompts))


def fit_members(
    train: Recorded,
    raw_train: Raw,
    test: Recorded,
    raw_test: Raw,
    members: tuple[str, ...],
    *,
    tag: str | None,
    seed: int,
) -> Fitted:
    """Fit each member on ``train`` alone; every quality must be known."""
    reader = Reader.learn(raw_train)
    features, asked = reader.weigh(raw_train), reader.weigh(raw_test)
    labels = None if tag is None else train.tags[tag]
    lesson = Lesson(features, train.quality.astype(np.float32), gram_of_words(features), labels, seed)
    fitted = {name: FITS[name](lesson) for name in members}
    return Fitted(
        left_out={name: left_out for name, (_, left_out) in fitted.items()},
        said={name: member.predict(asked) for name, (member, _) in fitted.items()},
        train=train,
        costs=CostLines.fit(train),
        test=test,
    )
