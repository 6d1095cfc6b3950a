"""`hms api`: queues and tasks over HTTP, for programs in any language."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

import anyio
import click

from hms_async import config
from hms_async.cli import options
from hms_async.cli.errors import USAGE, Failure
from hms_async.telemetry import logs

DEFAULT_BIND = "127.0.0.1:8470"
_MISSING = 'serving HTTP needs more packages: pip install "hms-async[web]"'


@click.command(cls=options.Command)
@options.store
@options.setting(
    "--bind",
    default=DEFAULT_BIND,
    metavar="HOST:PORT",
    show_default=True,
    help="Where to listen.",
)
@options.setting("--prefix", default="", metavar="PATH", help="Where a proxy shows it: /hms.")
@options.setting(
    "--allowed-host",
    multiple=True,
    metavar="NAME",
    help="A name that requests may ask for, beside this machine's and hms-act.local.",
)
@options.setting(
    "--tls-cert",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A certificate chain (PEM): speak HTTPS.",
)
@options.setting(
    "--tls-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Its private key, if that is another file.",
)
@options.logging
@click.pass_context
def api(
    context: click.Context,
    /,
    *,
    url: str | None,
    namespace: str,
    bind: str,
    prefix: str,
    allowed_host: tuple[str, ...],
    tls_cert: Path | None,
    tls_key: Path | None,
    log_level: str,
    log_format: logs.Format,
) -> None:
    """Serve the REST API.

    On this machine nobody needs a token until there is one; any other address needs tokens first:

    \b
        hms token create --role admin
        hms api --bind 0.0.0.0:8470 --allowed-host hms.example.org --tls-cert hms.pem
    """  # noqa: D301  # click keeps lines after a real \b
    if tls_key is not None and tls_cert is None:
        raise click.UsageError("--tls-key needs --tls-cert")
    logs.configure(fmt=log_format, level=log_level)
    serving = imported()
    address = serving.Address(
        serving.Bind.parse(bind),
        prefix=prefix,
        hosts=allowed_host,
        tls=None if tls_cert is None else serving.TLS(tls_cert, tls_key),
        pages=context.command is web,
    )
    anyio.run(serving.serve_alone, config.store_url(url), config.namespace(namespace), address)


web = options.Command(
    "web",
    callback=api.callback,
    params=[option for option in api.params if option.name != "debug"],
    help="Serve the dashboard, and the REST API beside it.",
)


def imported() -> ModuleType:
    """Return what serves HTTP, which is an extra, and slow to import.

    Raises:
        Failure: If it is not installed.
    """
    try:
        return import_module("hms_async.cli.serving")
    except ModuleNotFoundError as error:
        raise Failure(f"{_MISSING}  (there is no {error.name})", exit_code=USAGE) from error
