"""One process of a subject, in its environment; started by the runner.

python -m benchmarks.subjects NAME VARIANT versions
python -m benchmarks.subjects NAME VARIANT produce --url URL --how many --tasks 1000
python -m benchmarks.subjects NAME VARIANT work --url URL --tasks 1000 --samples FILE
"""

import argparse
import asyncio
import json
import logging
import platform
import re
import resource
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from benchmarks.subjects.common import Subject, run
from benchmarks.subjects.producing import produce
from benchmarks.subjects.samples import Samples


def load(name: str) -> type[Subject]:
    """Return the class of the subject in `benchmarks/subjects/<name>.py`."""
    subject: type[Subject] = import_module(f"benchmarks.subjects.{name}").SUBJECT
    return subject


def work(subject: Subject, given: argparse.Namespace) -> None:
    """Be a worker until the runner ends this process."""
    samples, seconds = Samples(given.samples, given.tasks), given.sleep

    async def nothing(sent: float) -> None:
        samples.start(sent)
        samples.end()

    async def sleep(sent: float) -> None:
        samples.start(sent)
        await asyncio.sleep(seconds)
        samples.end()

    subject.work(sleep if seconds else nothing, given.concurrency)


def versions(subject: type[Subject]) -> dict[str, str]:
    """Return the versions of this Python and of what was installed for the subject."""
    names = [re.split(r"[^\w-]", wanted, maxsplit=1)[0] for wanted in subject.requirements]
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def main() -> None:
    """Do what the command line says; what is to be told goes to stdout as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("variant")
    parser.add_argument("what", choices=["versions", "produce", "work"])
    parser.add_argument("--url", default="")
    parser.add_argument("--tasks", type=int, default=0)
    parser.add_argument("--how", default="many")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--concurrency", type=int, default=100)
    parser.add_argument("--sleep", type=float, default=0.0)
    parser.add_argument("--samples", type=Path)
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)  # no line for each task, whoever it is
    # Some subjects have a connection for each task that runs.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    kind = load(given.name)
    if given.what == "versions":
        print(json.dumps(versions(kind)))
        return
    subject = kind(given.url, given.variant)
    if given.what == "work":
        work(subject, given)
        return

    async def report() -> None:
        print(json.dumps(await produce(subject, given.how, given.tasks, given.rate)))

    run(report())


if __name__ == "__main__":
    main()
