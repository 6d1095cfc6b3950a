import re
from pathlib import Path

import pytest

from hms_async.cli.sla import sla
from hms_async.domain.sla import ACTIONS

ROOT = Path(__file__).parent.parent
NAMED = re.compile(r"`(test_\w+\*?)`")


@pytest.fixture(scope="module")
def tests() -> set[str]:
    """The names of all test functions."""
    sources = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    return {name for source in sources for name in re.findall(r"def (test_\w+)\(", source)}


def test_each_test_that_the_architecture_page_names_exists(tests: set[str]) -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    named = NAMED.findall(page)
    assert len(named) > 20
    missing = [
        name
        for name in named
        if not any(
            test.startswith(name[:-1]) if name.endswith("*") else test == name for test in tests
        )
    ]
    assert missing == []


@pytest.mark.parametrize("rows", [[f"I{n}" for n in range(1, 10)], [f"R{n}" for n in range(1, 18)]])
def test_every_promise_and_rule_has_its_row_and_a_test(rows: list[str]) -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    for row in rows:
        line = next(line for line in page.splitlines() if line.startswith(f"| {row} |"))
        assert NAMED.search(line), row


def test_every_key_of_the_store_is_on_the_page() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    lua = "".join(path.read_text() for path in (ROOT / "hms_async/storage/lua").rglob("*.lua"))
    parts = set(re.findall(r"NORMAL \.\. '(:[a-z]+)", lua)) - {":none"}
    assert {part for part in parts if part not in page} == set()


def test_each_action_and_each_command_is_on_the_page_on_promises() -> None:
    page = (ROOT / "docs/sla.md").read_text()
    actions = [*ACTIONS, "reroute:<queue>", "call:<name>"]
    assert [action for action in actions if f"| `{action}` |" not in page] == []
    assert [name for name in sla.commands if f"`hms sla {name} " not in page] == []
