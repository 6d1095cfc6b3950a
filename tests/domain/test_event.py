from typing import Any

import pytest

from hms_async import ConfigInvalid, Event
from hms_async.domain.event import picking

TOLD = ("done", "failed", "retrying", "sla.warn", "sla.breach", "gap")


def picked(types: Any) -> list[str]:
    wanted = picking(types)
    return [kind for kind in TOLD if wanted(Event(id="1-1", type=kind, queue="q", fields={}))]


@pytest.mark.parametrize(
    ("types", "wanted"),
    [
        (None, [*TOLD]),
        ((), ["gap"]),
        (("done", "failed"), ["done", "failed", "gap"]),
        (["sla."], ["sla.warn", "sla.breach", "gap"]),
        ({"sla.warn", "done"}, ["done", "sla.warn", "gap"]),
        (("sla",), ["gap"]),
    ],
)
def test_the_types_that_were_asked_for_are_told_and_gaps_always(
    types: Any, wanted: list[str]
) -> None:
    assert picked(types) == wanted


def test_one_text_is_no_collection_of_types() -> None:
    with pytest.raises(ConfigInvalid, match=r"write types=\('done',\)"):
        picking("done")
