"""`hms metrics`: the metrics of queues as text, and what Prometheus and Grafana make of them."""

import anyio
import click
import msgspec

from hms_async import config
from hms_async.cli import options
from hms_async.cli.session import reachable
from hms_async.telemetry import alerts, grafana, text
from hms_async.telemetry.metrics import QueueMetrics

_AT_HOME = "http://127.0.0.1:8470"

_dashboard = options.setting(
    "--dashboard",
    default=_AT_HOME,
    metavar="URL",
    show_default=True,
    help="Where `hms web` is, for links to it.",
)


@click.group(cls=options.Group)
def metrics() -> None:
    """Print the metrics of queues, alert rules and a dashboard for them.

    `hms api`, `hms web` and `hms dev` serve the metrics at /metrics.
    """


@metrics.command("print")
@options.store
def show_text(*, url: str | None, namespace: str) -> None:
    """Print the metrics of all queues as Prometheus reads them."""

    async def read() -> bytes:
        async with reachable(config.store_url(url), config.namespace(namespace)) as store:
            return await QueueMetrics(store).text()

    click.echo(anyio.run(read), nl=False)


@metrics.command()
@_dashboard
@options.setting(
    "--runbook",
    default="docs/operations.md",
    metavar="URL",
    show_default=True,
    help="Where docs/operations.md can be read, for links to its headings.",
)
def rules(*, dashboard: str, runbook: str) -> None:
    """Print alert rules for Prometheus.

    \b
        hms metrics rules > hms.rules.yml
        promtool check rules hms.rules.yml
    """  # noqa: D301  # click keeps lines after a real \b
    click.echo(alerts.rules(dashboard=dashboard, runbook=runbook), nl=False)


@metrics.command("grafana")
@_dashboard
def show_dashboard(*, dashboard: str) -> None:
    """Print a dashboard for Grafana, as JSON to be imported.

    \b
        hms metrics grafana > hms.json
    """  # noqa: D301  # click keeps lines after a real \b
    click.echo(msgspec.json.format(text.to_json(grafana.dashboard(address=dashboard)), indent=2))
