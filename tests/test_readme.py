import importlib.util
import re
import sys
from collections.abc import Generator
from pathlib import Path
from types import ModuleType

import anyio
import pytest

from hms_async import AsyncOMSClient
from hms_async.testing import memory_url, running

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SCRIPTS = ROOT / "examples" / "quickstart"

SETUP = "python3 -m venv .venv && .venv/bin/pip install -q"
COMMANDS = [
    f"{SETUP} '.[embedded]' && .venv/bin/python -m hms_async demo",
    f"{SETUP} '.[test]' && .venv/bin/python -m pytest -q -n auto",
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


async def test_a_hand_off_comes_out_at_the_other_end(
    service: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ""
    async with AsyncOMSClient() as oms:
        await oms.create_queue("passport.photo")
        worker = service.AsyncWorker(queue="passport.photo", handler=service.check)
        with anyio.fail_after(10):
            async with running(worker), anyio.create_task_group() as group:
                group.start_soon(service.orchestrate)
                while "Photo Validated Handoff" not in told:
                    # The group begins with what comes from its first use on.
                    task = await oms.enqueue("passport.photo", {"file": "sam.jpg"})
                    await oms.result(task.id, timeout=10)
                    told += capsys.readouterr().out
                group.cancel_scope.cancel()

    assert (
        "Handoff(workflow='passport.renewal', key='REQ-123', payload={'file': 'sam.jpg'})" in told
    )
