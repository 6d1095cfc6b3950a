import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hms_async.cli.main import hms as root
from tests.servers import Raw

Hms = Callable[..., Result]
ROOT = str(Path(__file__).parents[2])

SERVICE = """
import time
from dataclasses import dataclass

import anyio

from hms_async import AsyncWorker, Task, handler


@dataclass
class Photo:
    file: str


async def validate(task: Task[Photo]) -> None:
    if task.payload.file.endswith(".jpg"):
        await task.complete({"note": "Photo OK"})
    else:
        await task.fail("Not a JPEG")


def in_a_thread(task: Task) -> str:
    time.sleep(task.payload.get("s", 0))
    return "done"


async def sleepy(task: Task) -> None:
    await anyio.sleep(task.payload["s"])


@handler(queue="kyc", concurrency=3)
async def check_kyc(task: Task) -> None: ...


@handler(queue="mail")
async def send_mail(task: Task) -> None: ...


worker = AsyncWorker(handlers=[check_kyc, send_mail], name="clerk", concurrency=7)
answer = 42
"""


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """A directory with a service in it; nothing of it is imported, set or configured later."""
    (tmp_path / "service.py").write_text(SERVICE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for variable in ("HMS_URL", "HMS_NAMESPACE", "HMS_LOG_FORMAT", "HMS_LOG_LEVEL"):
        monkeypatch.delenv(variable, raising=False)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def url(embedded_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A real server, empty, which commands find in `HMS_URL`."""
    raw = Raw(embedded_url)
    raw("FLUSHALL")
    raw.close()
    monkeypatch.setenv("HMS_URL", embedded_url)
    return embedded_url


@pytest.fixture
def hms() -> Hms:
    """Run a command line; it never ends with an exception that it has not told about."""

    def run(*args: str, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(root, args, input=stdin, prog_name="hms")
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert "Traceback" not in result.stderr
        return result

    return run
