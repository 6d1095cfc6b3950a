import importlib.util
import re
import sys
from collections.abc import Generator
from pathlib import Path
from types import ModuleType

import pytest

from hms_async import AsyncOMSClient
from hms_async.testing import memory_url, running

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SCRIPTS = ROOT / "examples" / "quickstart"

SETUP = "python3 -m venv .venv && .venv/bin/pip install -q"
COMMANDS = [
    f"{SETUP} '.[embedded]' && .venv/bin/python -m hms_async demo",
    f"{SETUP} '.[test]' && .venv/bin/python -m pytest -q",
]


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def scripts() -> dict[str, str]:
    return {path.name: path.read_text() for path in SCRIPTS.glob("*.py")}


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    with memory_url() as url:
        monkeypatch.setenv("HMS_URL", url)
        yield url


@pytest.fixture
def service(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """All snippets but the three scripts, as one module; its clients find the store of `url`."""
    assert url.startswith("memory://")
    path = tmp_path / "service.py"
    path.write_text("\n".join(block for block in blocks() if block not in scripts().values()))
    spec = importlib.util.spec_from_file_location("service", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "service", module)
    spec.loader.exec_module(module)
    return module


def test_it_opens_with_the_two_commands_each_on_a_line_of_its_own() -> None:
    indented = [line[4:] for line in README.splitlines() if line.startswith("    python3 -m venv")]

    assert indented == COMMANDS
    assert README.index(COMMANDS[1]) < README.index("\n## ")


def test_the_quick_start_shows_the_scripts_as_they_are() -> None:
    assert len(scripts()) == 3
    assert [name for name, text in scripts().items() if text not in blocks()] == []


async def test_the_service_does_what_its_comments_say(service: ModuleType) -> None:
    async with AsyncOMSClient() as oms:
        for queue in ("mail", "print"):
            await oms.create_queue(queue)  # a worker creates none

        async with running(service.worker):
            await service.main()

        mail = await oms.stats("mail")
        assert (mail.scheduled, mail.failed, mail.done > 0) == (2, 0, True)


async def test_the_test_passes(service: ModuleType) -> None:
    await service.test_sam_gets_a_letter()


def test_every_link_into_the_repository_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", README)

    assert [link for link in links if not (ROOT / link).exists()] == []
