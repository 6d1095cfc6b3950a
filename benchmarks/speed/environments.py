"""An environment for each subject, made once and kept, all with one interpreter."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.processes import ROOT
from benchmarks.subjects.__main__ import load

_NEWEST = ("python3.13", "python3.12")
_MADE = "made.json"
_INSTALL_S = 600


class Unusable(Exception):
    """A subject cannot be measured here; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a subject runs.

    Attributes:
        module: Its file in `benchmarks/subjects`.
        python: The interpreter that has it installed.
        versions: Of that Python and of what was installed for it.
    """

    module: str
    python: Path
    versions: dict[str, str]


def interpreter(given: str | None) -> Path:
    """Return the Python that environments are made with; the newest known one if not given."""
    for name in [given] if given else _NEWEST:
        if (path := shutil.which(Path(name).expanduser())) and _runs(path):
            return Path(path)
    if given:
        raise Unusable(f"{given} does not run")
    return Path(sys.executable)


def _runs(python: str) -> bool:
    """Tell whether it does; some version managers put names on PATH that do not."""
    done = subprocess.run([python, "-c", ""], capture_output=True, check=False)  # noqa: S603
    return done.returncode == 0


def provide(module: str, folder: Path, python: Path) -> Environment:
    """Return the environment of a subject, made now if it is not there.

    Raises:
        Unusable: If something cannot be installed.
    """
    wanted = list(load(module).requirements)
    if "hms-async" in wanted:
        module_folder, installed = "hms", ["-e", f"{ROOT}[all]"]
    else:
        module_folder, installed = module, wanted
    made = _output([python, "-c", "import sys; print(*sys.version_info[:2], sep='.')"]).strip()
    home = folder.resolve() / f"{module_folder}-{made}"
    note = home / _MADE
    if not note.exists() or json.loads(note.read_text()) != installed:
        shutil.rmtree(home, ignore_errors=True)
        _output([python, "-m", "venv", home])
        _output([home / "bin/python", "-m", "pip", "install", "-q", *installed])
        note.write_text(json.dumps(installed))
    return described(module, home / "bin/python")


def described(module: str, python: Path) -> Environment:
    """Return an environment that is there, with the versions that it has.

    Raises:
        Unusable: If the subject is not installed in it.
    """
    variant = next(iter(load(module).variants))
    told = _output([python, "-m", "benchmarks.subjects", module, variant, "versions"])
    return Environment(module, python, json.loads(told))


def _output(command: Sequence[str | Path]) -> str:
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, cwd=ROOT, timeout=_INSTALL_S, check=False
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no output"]
        errors = [line for line in lines if line.startswith("ERROR")]
        raise Unusable((errors or lines)[-1])
    return done.stdout
