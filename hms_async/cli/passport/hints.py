"""What the demo says at the end: one task's way through the logs, and where to look further."""

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from hms_async.cli.passport.place import Place
from hms_async.telemetry import text

_HEAD_START_S = 0.05


def journey(
    request: str, logs: Sequence[Path], killed: Sequence[tuple[float, str, str]]
) -> list[tuple[float, str, str]]:
    """Return what became of a request: when, who, and a line of the quick start.

    Args:
        request: Its correlation id.
        logs: The workers' logs, named as they are.
        killed: What no log can tell.
    """
    logged = [
        (datetime.fromisoformat(entry["ts"]).timestamp(), log.stem, line)
        for log in logs
        for entry in _entries(log)
        if entry.get("corr_id") == request
        for line in _sentences(entry)
    ]
    # ACT logs a rescue when it is done; by then a quick worker may have said that it has the task.
    return sorted(
        [*killed, *logged], key=lambda one: one[0] - (_HEAD_START_S if "[ACT]" in one[2] else 0.0)
    )


def how_to_look(place: Place, task_id: str) -> list[tuple[str, str]]:
    """Return what to type to look around in what was left there, and to remove it."""
    nearby = os.path.relpath(sys.executable)
    python = sys.executable if nearby.startswith(os.pardir) else nearby
    lines = [("look", f"export HMS_URL={shlex.quote(place.url)}")]
    if place.namespace or "HMS_NAMESPACE" in os.environ:
        lines.append(("", f"export HMS_NAMESPACE={place.namespace}"))
    lines += [
        ("", f"{python} -m hms_async stats"),
        ("", f"{python} -m hms_async job show {task_id}"),
        ("files", f"{place.folder} (photos, journal.jsonl, clerk-*.log)"),
    ]
    kill = f"kill {place.server.pid}; " if place.server else ""
    lines.append(("stop", f"{kill}rm -r {shlex.quote(str(place.folder))}"))
    if place.namespace:
        lines.append(("", f"(the keys {place.namespace}:* stay on that server)"))
    return lines


def _entries(log: Path) -> Iterator[dict[str, Any]]:
    for line in log.read_text(errors="replace").splitlines():
        with suppress(msgspec.DecodeError):  # a banner is no JSON, nor is a line cut off by a kill
            yield msgspec.json.decode(line, type=dict[str, Any])


def _sentences(entry: dict[str, Any]) -> list[str]:
    event, level = str(entry.pop("event", "")), str(entry.pop("level", ""))
    return text.render(event, level, entry, verbose=False).splitlines()
