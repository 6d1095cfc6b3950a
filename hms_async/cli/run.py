"""`hms run`: a worker."""

from functools import partial

import anyio
import click

from hms_async.cli import banner, options, show
from hms_async.cli.banner import Scene
from hms_async.cli.plan import worker_for
from hms_async.cli.session import reachable
from hms_async.errors import ConfigInvalid
from hms_async.storage.connect import is_memory
from hms_async.telemetry import logs
from hms_async.worker import AsyncWorker


@click.command(cls=options.Command)
@click.argument("targets", metavar="MODULE:HANDLER...", nargs=-1, required=True)
@options.queues("The queues, each with a limit or none: kyc:20,mail.")
@options.setting("-c", "--concurrency", type=int, help="Tasks at once, in all; 10 if not given.")
@options.setting("-n", "--name", help="The worker's name; host and process id if not given.")
@options.store
@options.strict
@options.setting("-b", "--burst", is_flag=True, help="End as soon as nothing waits.")
@options.setting(
    "--shutdown-timeout",
    type=options.duration,
    help="How long running tasks may take to finish at a stop; 25s if not given.",
)
@options.setting("--no-act", is_flag=True, help="Do not supervise the queues here.")
@options.ports
@options.logging
@options.setting("--check", is_flag=True, help="Only look whether it would run, and how.")
@click.pass_context
def run(
    context: click.Context,
    /,
    *,
    targets: tuple[str, ...],
    strict: bool,
    burst: bool,
    log_level: str,
    log_format: logs.Format,
    check: bool,
    **_: object,  # the other options are settings of the worker: `worker_for` reads them
) -> None:
    """Run handlers on the tasks of their queues.

    A target is a function (async or plain) with -Q, a function decorated with
    @handler(queue=...), an AsyncWorker, or a module: all its decorated functions.

    \b
        hms run photos:validate -Q passport.photo
        hms run kyc.handlers mail.handlers:send -c 50
        hms run service:worker --shutdown-timeout 1m

    The first Ctrl-C (or SIGTERM) finishes what runs, the second hands it back, the third ends the
    process. It exits with 0 when all was finished, else with 130 (143). A burst leaves a queue in
    whose keys there is what is not ours, names it, and exits with 3.
    """  # noqa: D301  # click keeps lines after a real \b
    logs.configure(fmt=log_format, level=log_level)
    worker = worker_for(targets, context)
    scene = survey(worker)
    if strict:
        banner.refuse_faults(worker.url, scene)
    introduce(worker, scene, on_stdout=check)
    if not check:
        worker.run_forever(burst=burst, ready=partial(say_ready, worker))


def say_ready(worker: AsyncWorker) -> None:
    """Say that tasks will be taken, and where probes and scrapers are answered."""
    for line in banner.shown_lines(worker.shown_at):
        show.say(line)
    show.say(banner.READY)


def survey(worker: AsyncWorker) -> Scene:
    """Look at the worker's server and queues, before it is started.

    Raises:
        ConfigInvalid: If there can be no queue, in this process's own memory.
        StoreUnavailable: If nobody answers there.
        Failure: If one of its queues does not exist; a worker never creates one.
    """
    if is_memory(worker.url):
        raise ConfigInvalid(
            "memory:// is empty in each new process: run on a server, which `hms dev` starts"
        )

    async def look() -> Scene:
        async with reachable(worker.url, worker.namespace) as store:
            return await banner.look(store, [one.queue for one in worker.handlers])

    return anyio.run(look)


def introduce(worker: AsyncWorker, scene: Scene, *, on_stdout: bool = False) -> None:
    """Say what is about to run, and what is dangerous about it."""
    for line in banner.lines(worker, scene):
        if on_stdout:
            click.echo(line)
        else:
            show.say(line)
    for warning in banner.warnings(worker.url, scene):
        show.warn(warning)
