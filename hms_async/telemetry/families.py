"""Metrics, and how those of a queue are made from what was measured of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

from hms_async.domain import counters
from hms_async.storage.standings import Standing

MOST_WORDS: Final = 51
"""Values of a label that others choose; the rest is in `_other`."""

Kind = Literal["counter", "gauge", "histogram"]


class Buckets(NamedTuple):
    """A histogram: how many values were not above each bound, and what all sum up to."""

    upto: list[tuple[str, int]]
    sum: float


class Family(NamedTuple):
    """A metric.

    Attributes:
        name: Its name, that of a counter with `_total`.
        kind: What it is.
        meaning: For whoever sees it.
        labels: The names of its labels.
        samples: Values of the labels, and the value.
    """

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...]
    samples: list[tuple[tuple[str, ...], float | Buckets]]


Values = Iterator[tuple[tuple[str, ...], float | Buckets]]


class Named(NamedTuple):
    """A metric of queues, and what a queue adds to it: values of further labels, and the value."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...]
    values: Callable[[Standing], Values]


def seconds(ms: float | None) -> float | None:
    """Return milliseconds as seconds."""
    return None if ms is None else ms / 1_000


def gauge(name: str, meaning: str, value: Callable[[Standing], float | None]) -> Named:
    """Return a gauge of which a queue has one value, or none."""

    def values(one: Standing) -> Values:
        if (found := value(one)) is not None:
            yield (), found

    return Named(name, "gauge", meaning, ("queue",), values)


def words(
    name: str,
    meaning: str,
    label: str,
    values: Callable[[Standing], Mapping[str, float]],
    *,
    kind: Kind = "counter",
) -> Named:
    """Return a metric with one value for each of some words."""

    def listed(one: Standing) -> Values:
        for word, value in values(one).items():
            yield (word,), value

    return Named(name, kind, meaning, ("queue", label), listed)


def histogram(name: str, meaning: str, field: str) -> Named:
    """Return the histogram that the scripts keep under this name."""
    bounds = counters.HISTOGRAMS[field]
    names = [*(f"{bound:g}" for bound in bounds), "+Inf"]
    unit = ":sum_milli" if field == "used" else ":sum_ms"

    def values(one: Standing) -> Values:
        totals, seen = one.stats.totals, 0
        upto: list[tuple[str, int]] = []
        for number, bound in enumerate(names, 1):
            seen += totals.get(f"{field}:{number}", 0)
            upto.append((bound, seen))
        yield (), Buckets(upto, totals.get(field + unit, 0) / 1_000)

    return Named(name, "histogram", meaning, ("queue",), values)


def fields(of: Mapping[str, str]) -> Callable[[Standing], Mapping[str, float]]:
    """Return the counters of some words, 0 where nothing was counted yet."""

    def values(one: Standing) -> Mapping[str, float]:
        return {word: one.stats.totals.get(field, 0) for word, field in of.items()}

    return values


def prefixed(
    prefix: str,
    *,
    but: Iterable[str] = (),
    always: Callable[[Standing], Iterable[str]] = lambda _: (),
) -> Callable[[Standing], Mapping[str, float]]:
    """Return what follows a prefix in the names of counters; the most frequent, and the rest."""

    def values(one: Standing) -> Mapping[str, float]:
        found: dict[str, float] = dict.fromkeys(always(one), 0)
        for name, value in one.stats.totals.items():
            word = name.removeprefix(prefix)
            if word != name and word not in but:
                found[word] = value
        if len(found) <= MOST_WORDS:
            return found
        ordered = sorted(found.items(), key=lambda item: (item[0] == counters.OTHER, -item[1]))
        kept = dict(ordered[: MOST_WORDS - 1])
        kept[counters.OTHER] = sum(value for _, value in ordered[MOST_WORDS - 1 :])
        return kept

    return values


def total(name: str, meaning: str, *of: str) -> Named:
    """Return a counter that some fields make together."""

    def values(one: Standing) -> Values:
        yield (), sum(one.stats.totals.get(field, 0) for field in of)

    return Named(name, "counter", meaning, ("queue",), values)
