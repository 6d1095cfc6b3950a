"""`hms dev`: everything that a service needs beside it, in one process."""

import os
import signal
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import anyio
import click

from hms_async import config
from hms_async.cli import act, api, banner, options, show
from hms_async.cli.errors import CONFLICT, Failure
from hms_async.cli.plan import worker_for
from hms_async.cli.run import introduce, survey
from hms_async.cli.session import reachable
from hms_async.errors import AddressInUse, QueueNotFound, StoreError
from hms_async.storage import embedded
from hms_async.storage.connect import is_memory, redact
from hms_async.storage.embedded import Chosen
from hms_async.storage.keys import Keys
from hms_async.storage.store import Store
from hms_async.supervisor import Supervisor
from hms_async.telemetry import logs
from hms_async.worker import AsyncWorker


@click.command(cls=options.Command)
@click.argument("target", metavar="[MODULE:HANDLER]", required=False)
@options.queues("The queues of the target, each with a limit or none: kyc:20,mail.")
@options.setting("-c", "--concurrency", type=int, help="Tasks at once, in all; 10 if not given.")
@options.setting("-n", "--name", help="The worker's name; host and process id if not given.")
@options.store
@options.setting(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=".hms",
    show_default=True,
    help="Where the embedded server keeps its data.",
)
@options.setting(
    "--shutdown-timeout",
    type=options.duration,
    help="How long running tasks may take to finish at a stop; 25s if not given.",
)
@options.logging
@click.pass_context
def dev(
    context: click.Context,
    /,
    *,
    target: str | None,
    url: str | None,
    namespace: str,
    data: Path,
    log_level: str,
    log_format: logs.Format,
    **_: object,  # the other options are settings of the worker: `worker_for` reads them
) -> None:
    """Start a server where none is, watch all queues, and run a target if there is one.

    The server is real and its data stay in .hms, so the next start goes on where this one ended.
    Clients on this machine find it without any setting.

    \b
        hms dev
        hms dev photos:validate -Q passport.photo
    """  # noqa: D301  # click keeps lines after a real \b
    # People watch this one, even through a pipe.
    logs.configure(fmt="text" if log_format == "auto" else log_format, level=log_level)
    # First, so that a typing error does not start and stop a server.
    worker = worker_for([target], context) if target else None
    namespace = config.namespace(namespace)
    _leave_nothing_behind()
    chosen = _choose(url or os.environ.get("HMS_URL"), data, Keys(namespace).queues)
    ours = _is_our_child(chosen)
    try:
        _address("Store", f"{redact(chosen.url)}   ({chosen.how})")
        if worker is None:
            anyio.run(_watch, chosen.url, namespace)
        else:
            worker.url, worker.namespace = chosen.url, namespace
            _work(worker, leaving(chosen if ours else None))
    finally:
        if ours and chosen.server is not None:
            chosen.server.stop()


def _leave_nothing_behind() -> None:
    """Let SIGTERM and a closed terminal unwind the stack, at whose end the server is stopped."""

    def unwind(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    def as_terminate(_: int, __: FrameType | None) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, unwind)
    signal.signal(signal.SIGHUP, as_terminate)


def _choose(url: str | None, data: Path, queues_key: str) -> Chosen:
    port = urlsplit(config.DEFAULT_URL).port or 0
    try:
        return embedded.choose(url, data, port, queues_key=queues_key)
    except StoreError as error:
        if url or not _taken(port):
            raise
        # Somebody else's server or program: ours would be in its way, or it in ours.
        raise Failure(str(error), exit_code=CONFLICT, code=error.code) from error


def _taken(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _is_our_child(chosen: Chosen) -> bool:
    """Whether we started the server: another `hms dev` may own it, and still need it."""
    if chosen.server is None:
        return False
    try:
        return os.waitpid(chosen.server.pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False


def _address(label: str, line: str) -> None:
    show.say(f"{label + ':':<8} {line}")


def _try(url: str, names: list[str]) -> None:
    """Say what to type in another terminal, so that it works there."""
    where = "" if url == config.DEFAULT_URL else f" -u {redact(url)}"
    if not names:
        _address("Try", f"hms queue create kyc --sla 2h{where}")
    _address(
        "Try", f"hms job push {names[0] if names else 'kyc'} --data '{{\"customer\": 1}}'{where}"
    )


@asynccontextmanager
async def _serving(store: Store) -> AsyncGenerator[None]:
    """Serve the API while inside, where that is installed and its port is free."""
    try:
        serving = api.imported()
        address = serving.Address(serving.Bind.parse(api.DEFAULT_BIND), pages=True)
        listening = address.bind.listen()
    except (Failure, AddressInUse) as error:
        _address("API", f"not served here: {error}")
        yield
        return
    async with serving.served(store, address, listening):
        yield


async def _watch(url: str, namespace: str) -> None:
    async with reachable(url, namespace) as store, _serving(store):
        scene = await banner.look(store, await store.queue_names())
        _address("Act", act.watching(scene, every=True))
        if not is_memory(url):
            _try(url, [queue.name for queue, _ in scene.queues])
        act.say_who_hears(scene)
        await act.until_told(Supervisor(url, store=store))


def _work(worker: AsyncWorker, leave: Callable[[int], object]) -> None:
    worker.supervise = worker.supervise_all = True
    worker.beside = _serving
    try:
        scene = survey(worker)
    except Failure as error:
        if error.code != QueueNotFound.code:
            raise
        # There may be no server to create it on once this process has ended.
        raise Failure(
            f"{error.message}  (beside `hms dev` without a target)",
            exit_code=error.exit_code,
            code=error.code,
        ) from error
    introduce(worker, scene)
    worker.run_forever(ready=lambda: show.say(banner.READY), leave=leave)


def leaving(chosen: Chosen | None) -> Callable[[int], object]:
    """Return how to end at once: a handler stuck in a thread must not keep the server alive."""

    def leave(code: int) -> None:
        if chosen is not None and chosen.server is not None:
            chosen.server.stop()
        os._exit(code)

    return leave
