"""Watch: does a certified policy still hold its floor? Outcome by outcome, with one error rate for all that is watched.

    watch = Watch(certificate.levels, engines={"small": 0.8}, horizon=10_000)
    alarm = watch.saw(call.id, 1.0, engine="small", slices=["language=de"])      # None, or what broke

A certificate rests on calls being drawn as the held-out ones were. A mix of calls that shifts, or an engine that gets
worse without a word, shows in the realised quality; ``wealth`` weighs it. All calls together get half of the error
rate, each slice and each engine an equal part of the other half; the whole of it where nothing else is watched.

What an alarm rests on:

* outcomes are read as they arrive. They may be late and out of order, as long as how late one comes does not depend on
  what it says. Where complaints come sooner than praise, hand outcomes over in batches, once a day's are all there;
* a call counts once. Where its outcome is revised, the bet that was made on the first word stands (a bet on a known
  result would be none), and the realised figures follow the last word.

Explored calls, which the strong engine answered, say nothing of the policy. Where a policy draws by chance, each
outcome is weighted with 1 over the probability of the way it took: all its ways count as often as it would choose them.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Self

from cput.errors import InputError
from cput.policy.guarantee.alarm import Alarm, Broken
from cput.policy.guarantee.certificate import OVERALL
from cput.policy.guarantee.level import Level
from cput.policy.guarantee.wealth import Wealth

Alarmed = Callable[[Alarm], None]


class Key(NamedTuple):
    """What is watched."""

    kind: Broken
    """All calls, a slice or an engine."""
    name: str
    """Of the slice or engine; empty for all calls."""


class _Heard(NamedTuple):
    quality: float
    keys: tuple[Key, ...]


class _Sum:
    """Realised quality."""

    __slots__ = ("count", "total")

    def __init__(self, count: int = 0, total: float = 0.0) -> None:
        self.count, self.total = count, total

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None


class Watch:
    """Takes outcomes of a policy's calls and says when its quality has fallen below a level.

    Args:
        levels: the quality that is still good enough, ``overall`` and for each slice: a certificate's ``levels``.
        engines: likewise for the answers of single engines; see ``engine_levels``.
        alpha: probability of a false alarm, ever, until ``reset``.
        horizon: outcomes within which a fall is to be noticed as fast at any time; about a certificate's life.
        least_propensity: the smallest probability of a way that ``saw`` is told.
        remember: calls whose outcome is recognised when it comes again.
        alarmed: is told of an alarm, once.

    Raises:
        InputError: a level is not between 0 and 1, none is given for ``overall``, or an argument is out of its range.
    """

    def __init__(
        self,
        levels: Mapping[str, Level | float],
        *,
        engines: Mapping[str, Level | float] | None = None,
        alpha: float = 0.05,
        horizon: int = 10_000,
        least_propensity: float = 0.5,
        remember: int = 100_000,
        alarmed: Alarmed | None = None,
    ) -> None:
        if OVERALL not in levels:
            raise InputError(f"the levels are for {', '.join(levels) or 'nothing'}; allowed: '{OVERALL}' and slices")
        _check(alpha=alpha, horizon=horizon, least_propensity=least_propensity, remember=remember)
        given = {_key(name): level for name, level in levels.items()}
        given |= {Key(Broken.ENGINE, name): level for name, level in (engines or {}).items()}
        self._levels = {key: _level(key, level) for key, level in given.items()}
        self.alpha = alpha
        self.horizon = horizon
        self.least_propensity = least_propensity
        self._remember = remember
        self._told = [alarmed] if alarmed else []
        self.reset()

    def reset(self) -> None:
        """Begin anew, with the whole error rate: after a new certificate, or once what broke is mended."""
        self.alarm: Alarm | None = None
        """What broke; None while nothing has."""
        self.revised = 0
        """Outcomes that came again with another value."""
        self._heard: dict[str, _Heard] = {}
        heaviest = 1 / self.least_propensity
        self._wealth = {
            key: Wealth(level=level, horizon=self.horizon, heaviest=heaviest) for key, level in self._levels.items()
        }
        self._sums = {key: _Sum() for key in self._levels}
        self._strong = _Sum()

    def on_alarm(self, alarmed: Alarmed) -> None:
        """Tell somebody else of an alarm too."""
        self._told.append(alarmed)

    @property
    def slices(self) -> frozenset[str]:
        """Names of the slices that are watched."""
        return frozenset(key.name for key in self._levels if key.kind is Broken.SLICE)

    @property
    def outcomes(self) -> int:
        """Calls of the policy that were counted."""
        return self._sums[_key(OVERALL)].count

    @property
    def quality(self) -> float | None:
        """Mean quality of the policy's calls since the watch began; None before the first outcome."""
        return self._sums[_key(OVERALL)].mean

    @property
    def strong_quality(self) -> float | None:
        """Mean quality of explored calls; None without any."""
        return self._strong.mean

    def e_value(self, kind: Broken = Broken.OVERALL, name: str = "") -> float:
        """Return the evidence that something is below its level; an alarm is at ``limit``."""
        return self._wealth[Key(kind, name)].value

    def limit(self, kind: Broken = Broken.OVERALL) -> float:
        """Return the evidence at which the alarm goes off: 1 over the share of the error rate."""
        others = len(self._levels) - 1
        share = 1.0 if not others else 0.5 if kind is Broken.OVERALL else 0.5 / others
        return 1 / (self.alpha * share)

    def saw(
        self,
        call_id: str,
        quality: float,
        *,
        engine: str | None = None,
        slices: Iterable[str] = (),
        propensity: float = 1.0,
        explored: bool = False,
        at_s: float | None = None,
    ) -> Alarm | None:
        """Take a call's outcome in; return the alarm that it sets off, if it does.

        Args:
            call_id: each call counts once.
            quality: between 0 and 1.
            engine: who answered, where engines are watched.
            slices: those the call belongs to; names that are not watched are passed over.
            propensity: probability with which the policy went the way it did.
            explored: the strong engine was asked in the policy's stead.
            at_s: when (Unix seconds); now if None.

        Raises:
            InputError: the quality is unknown or outside [0, 1], or the propensity below ``least_propensity``.
        """
        if not 0 <= quality <= 1:
            raise InputError(f"the quality of call '{call_id}' is {quality}; allowed: 0 to 1")
        if not explored and not self.least_propensity <= propensity <= 1:
            raise InputError(
                f"the propensity of call '{call_id}' is {propensity}; allowed: {self.least_propensity:g} to 1"
            )
        if call_id in self._heard:
            self._revise(call_id, quality)
            return None
        keys = () if explored else self._keys(engine, slices)
        self._heard[call_id] = _Heard(quality, keys)
        if len(self._heard) > self._remember:
            del self._heard[next(iter(self._heard))]
        for total in [self._sums[key] for key in keys] if keys else [self._strong]:
            total.count += 1
            total.total += quality
        if self.alarm is not None:
            return None
        values = [(self._wealth[key].bet(quality, 1 / propensity), key) for key in keys]
        broken = max(((value / self.limit(key.kind), key) for value, key in values), default=None)
        if broken is None or broken[0] < 1:
            return None
        self.alarm = self._alarm(broken[1], time.time() if at_s is None else at_s)
        for told in self._told:
            told(self.alarm)
        return self.alarm

    def as_json(self) -> dict[str, Any]:
        """Return its state as plain JSON values, so that a restarted gateway goes on where it was."""
        return {
            "alpha": self.alpha,
            "horizon": self.horizon,
            "least_propensity": self.least_propensity,
            "remember": self._remember,
            "watched": [
                [key.kind, key.name, wealth.as_json(), self._sums[key].count, self._sums[key].total]
                for key, wealth in self._wealth.items()
            ],
            "strong": [self._strong.count, self._strong.total],
            "heard": [[call, heard.quality, [list(key) for key in heard.keys]] for call, heard in self._heard.items()],
            "revised": self.revised,
            "alarm": None if self.alarm is None else self.alarm.as_json(),
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any], *, alarmed: Alarmed | None = None) -> Self:
        """Read what ``as_json`` wrote.

        Raises:
            InputError: it is something else.
        """
        try:
            return cls._read(given, alarmed)
        except (TypeError, KeyError, ValueError) as error:
            raise InputError(
                f"a watch can't be read: {error!r}; allowed: the JSON that Watch.as_json() gave"
            ) from error

    @classmethod
    def _read(cls, given: Mapping[str, Any], alarmed: Alarmed | None) -> Self:
        watched = {
            Key(Broken(kind), name): (Wealth.from_json(wealth), _Sum(count, total))
            for kind, name, wealth, count, total in given["watched"]
        }
        watch = cls(
            {key.name or OVERALL: each[0].level for key, each in watched.items() if key.kind is not Broken.ENGINE},
            engines={key.name: each[0].level for key, each in watched.items() if key.kind is Broken.ENGINE},
            alpha=given["alpha"],
            horizon=given["horizon"],
            least_propensity=given["least_propensity"],
            remember=given["remember"],
            alarmed=alarmed,
        )
        watch._wealth = {key: wealth for key, (wealth, _) in watched.items()}
        watch._sums = {key: realised for key, (_, realised) in watched.items()}
        watch._strong = _Sum(*given["strong"])
        watch._heard = {
            call: _Heard(quality, tuple(Key(Broken(kind), name) for kind, name in keys))
            for call, quality, keys in given["heard"]
        }
        watch.revised = given["revised"]
        watch.alarm = None if given["alarm"] is None else Alarm.from_json(given["alarm"])
        return watch

    def _keys(self, engine: str | None, slices: Iterable[str]) -> tuple[Key, ...]:
        asked = (_key(OVERALL), *(Key(Broken.SLICE, name) for name in dict.fromkeys(slices)))
        return tuple(key for key in (*asked, Key(Broken.ENGINE, engine or "")) if key in self._levels)

    def _revise(self, call_id: str, quality: float) -> None:
        before = self._heard[call_id]
        if before.quality == quality:
            return
        self.revised += 1
        self._heard[call_id] = before._replace(quality=quality)
        for total in [self._sums[key] for key in before.keys] if before.keys else [self._strong]:
            total.total += quality - before.quality

    def _alarm(self, key: Key, at_s: float) -> Alarm:
        seen, level = self._sums[key], self._levels[key].value
        return Alarm(
            kind=key.kind,
            name=key.name,
            at_s=at_s,
            outcomes=seen.count,
            e_value=self._wealth[key].value,
            limit=self.limit(key.kind),
            alpha=self.alpha,
            level=level,
            quality=seen.total / seen.count,
            loss=level * seen.count - seen.total,
            strong_quality=self._strong.mean,
            strong_outcomes=self._strong.count,
            revised=self.revised,
        )


def _key(name: str) -> Key:
    return Key(Broken.OVERALL, "") if name == OVERALL else Key(Broken.SLICE, name)


def _level(key: Key, given: Level | float) -> Level:
    level = given if isinstance(given, Level) else Level.known(float(given))
    if not level.steps or not all(0 < step < 1 for step, _ in level.steps):
        raise InputError(f"the level of {key.kind} '{key.name}' is {level.value}; allowed: between 0 and 1")
    return level


def _check(*, alpha: float, horizon: int, least_propensity: float, remember: int) -> None:
    if not 0 < alpha < 1:
        raise InputError(f"alpha is {alpha}; allowed: a probability between 0 and 1, such as 0.05")
    if horizon < 1 or remember < 1:
        raise InputError(f"horizon is {horizon} and remember {remember}; allowed: 1 or more outcomes")
    if not 0 < least_propensity <= 1 or math.isnan(least_propensity):
        raise InputError(f"least_propensity is {least_propensity}; allowed: above 0 up to 1")
