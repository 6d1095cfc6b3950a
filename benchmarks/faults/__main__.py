"""The fault campaign: everything that may break is broken, and what was promised must hold.

    python -m benchmarks.faults                    # all of it, on every server that is found
    python -m benchmarks.faults --short            # a minute or two: what the tests run
    python -m benchmarks.faults --list
    python -m benchmarks.faults --server valkey --only zombie,server-killed
    python -m benchmarks.faults --soak --minutes 10 --seed 7

Each row is a scenario on a server of its own, with real worker processes, on this machine's
loopback interface. Handlers note their start and their end in a file, each line on the disk before
they go on, and the verdict is made from that file:

    lost         `enqueue` returned, and the task never came to an end
    duplicated   its handler came to a successful end more than once
    overlapping  two executions, each with a live lease, ran at one time
    recovery     how long until all that the fault had stopped went on

Verdict is `ok`, or what did not hold; the logs of such a row stay in the folder that it names. The
exit code is 1 if there is any. A column may hold a number other than 0 and the row be `ok`: a
frozen worker that comes back has done its tasks a second time, and that is what at-least-once
means. Rows with a name that is given to `--only` as a prefix run too.
"""

import argparse
import json
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import anyio

from benchmarks.faults import rows, servers, soak, table
from benchmarks.faults.campaign import SCENARIOS, Scenario, Verdict, run
from benchmarks.faults.servers import Kind

rows.load()


def _arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults",
        description=(__doc__ or "").splitlines()[0],
    )
    parser.add_argument("--server", choices=["valkey", "redis", "all"], default="all")
    parser.add_argument("--only", default="", metavar="NAME,...", help="these rows, by prefix")
    parser.add_argument("--list", action="store_true", help="only tell what there is")
    parser.add_argument("--short", action="store_true", help="the short form")
    parser.add_argument("--jobs", type=int, default=3, help="rows at a time (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, too")
    parser.add_argument("--soak", action="store_true", help="faults at random instead of rows")
    parser.add_argument("--minutes", type=float, default=10, help="how long to soak (10)")
    parser.add_argument("--seed", type=int, help="what is drawn; another each time if not given")
    return parser.parse_args(words)


def _chosen(given: argparse.Namespace) -> list[Scenario]:
    if given.soak:
        seed = random.randrange(10_000) if given.seed is None else given.seed
        print(f"seed {seed}, {given.minutes:g} minutes: --soak --seed {seed}")
        return [soak.scenario(seed, given.minutes)]
    only, short = given.only, given.short
    prefixes = [name.strip() for name in only.split(",") if name.strip()]
    unknown = [one for one in prefixes if not any(s.name.startswith(one) for s in SCENARIOS)]
    if unknown:
        raise SystemExit(f"no such row: {', '.join(unknown)}; --list tells which there are")
    if prefixes:
        return [one for one in SCENARIOS if one.name.startswith(tuple(prefixes))]
    return [one for one in SCENARIOS if one.short or not short]


def _kinds(server: str) -> list[Kind]:
    found = servers.found()
    kinds = [kind for name, kind in found.items() if server in ("all", name)]
    if not kinds:
        raise SystemExit(f"no server found for --server {server}; found: {', '.join(found)}")
    return kinds


async def campaign(
    chosen: Sequence[Scenario], kinds: Sequence[Kind], *, short: bool, jobs: int
) -> list[Verdict]:
    """Run scenarios, some at a time, and print each row as it comes."""
    verdicts: list[Verdict] = []
    runs = [
        (one, kind.with_fsync(fsync))
        for one in chosen
        for kind in kinds
        for fsync in (one.fsyncs[:1] if short else one.fsyncs)
    ]
    limit = anyio.CapacityLimiter(max(jobs, 1))

    async def one_run(one: Scenario, kind: Kind) -> None:
        async with limit:
            verdict = await run(one, kind, short=short)
        verdicts.append(verdict)
        table.show(verdict)

    async with anyio.create_task_group() as group:
        for one, kind in runs:
            if not one.alone:
                group.start_soon(one_run, one, kind)
    for one, kind in runs:
        if one.alone:
            await one_run(one, kind)
    return verdicts


async def _until_signalled(stop: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP, signal.SIGINT) as signals:
        async for _ in signals:
            stop.cancel()
            return


async def main(given: argparse.Namespace) -> int:
    """Run what is asked for; a signal ends it with all of its processes."""
    verdicts: list[Verdict] = []
    began = time.monotonic()
    table.head()
    async with anyio.create_task_group() as group:
        group.start_soon(_until_signalled, group.cancel_scope)
        verdicts = await campaign(
            _chosen(given),
            _kinds(given.server),
            short=given.short,
            jobs=given.jobs,
        )
        group.cancel_scope.cancel()
    if not verdicts:
        return 130
    table.foot(verdicts, time.monotonic() - began)
    if given.json:
        given.json.write_text(json.dumps([one.as_dict() for one in verdicts], indent=2))
    return 0 if all(one.ok for one in verdicts) else 1


if __name__ == "__main__":
    arguments = _arguments()
    if arguments.list:
        for each in SCENARIOS:
            print(f"{each.name:28} {each.what}")
    else:
        sys.exit(anyio.run(main, arguments))
