"""The scripts under `examples/`, each in a process of its own, as a reader of them would run it."""

import os
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
LONGEST_S = 60


def environment(url: str) -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("HMS_")}
    # The package under test is the one beside these tests, installed or not.
    return mine | {"HMS_URL": url, "HMS_LOG_FORMAT": "text", "PYTHONPATH": str(ROOT)}


def output_of(url: str, folder: Path, *command: str | Path) -> str:
    """Run a script to its end in a folder, and return what it printed."""
    done = subprocess.run(  # noqa: S603  # our own script
        [sys.executable, *command],
        env=environment(url),
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=LONGEST_S,
    )
    assert done.stderr == ""
    return done.stdout


@contextmanager
def running_script(
    url: str, folder: Path, *command: str | Path
) -> Generator[subprocess.Popen[str]]:
    """A script at work in a folder; a process that hangs ends, and its reader with it."""
    process = subprocess.Popen(  # noqa: S603  # our own script
        [sys.executable, *command],
        env=environment(url),
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    limit = threading.Timer(LONGEST_S, process.kill)
    limit.start()
    try:
        with process:
            yield process
            process.terminate()
    finally:
        process.kill()
        limit.cancel()


def lines_until(word: str, process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if word in line:
            return lines
    pytest.fail("\n".join([f"the process ended without {word!r}:", *lines]))
