"""The measure of our footprint measures: every figure is there, whatever it is."""

import math

import pytest

from benchmarks.footprint import Figure, Size, measured

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

SMALL = Size(rounds=1, workers=1, flight=5, tasks=20, idle_s=1.5, queued=500, settled_s=0.1)


async def test_every_figure_is_there_and_is_a_number() -> None:
    told: list[Figure] = []

    figures = await measured(SMALL, told.append)

    assert told == figures
    assert len({figure.name for figure in figures}) == len(figures)
    assert all(math.isfinite(figure.value) and figure.unit for figure in figures)
    by_unit = {figure.unit: figure.value for figure in figures}
    assert set(by_unit) == {"ms", "MB", "kB", "a second", "%", "bytes a task"}
    assert by_unit["MB"] > 1
    assert by_unit["a second"] > 0
    assert by_unit["bytes a task"] > 100


def test_a_figure_beyond_its_target_says_so() -> None:
    assert str(Figure("x", 2.0, "kB", 1)).endswith("kB  MISSED")
    assert str(Figure("x", 1.0, "kB", 1)).endswith("kB")
    assert str(Figure("x", 1.0, "kB")).endswith("kB")
