"""`hms token`: who may use the REST API, and for what."""

from typing import Any

import click

from hms_async.api import documents
from hms_async.cli import options, show
from hms_async.cli.session import ask
from hms_async.client import AsyncOMSClient
from hms_async.domain.access import EVERY_QUEUE, Role
from hms_async.domain.duration import Duration
from hms_async.domain.token import DEFAULT_RATE, Token


@click.group(cls=options.Group)
def token() -> None:
    """Make access tokens for the REST API, list them, take them back."""


@token.command()
@click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    type=click.Choice([role.value for role in Role]),
    help="What its bearer may do; several are possible.",
)
@click.option(
    "--queues", multiple=True, metavar="PATTERN", help="Where: passport.*; everywhere if not given."
)
@click.option("--expires", type=options.duration, help="For how long it is good: 90d.")
@click.option("--payload", is_flag=True, help="Let its bearer see payloads and results, too.")
@click.option("--rate", type=int, default=DEFAULT_RATE, show_default=True, help="Calls a second.")
@click.option("--note", default="", help="What it is for.")
@options.store
@options.output
def create(
    *,
    roles: tuple[str, ...],
    queues: tuple[str, ...],
    expires: Duration | None,
    payload: bool,
    rate: int,
    note: str,
    url: str | None,
    namespace: str,
    output: options.Output,
) -> None:
    """Make a token, and print it: nobody can show it again.

    \b
        hms token create --role worker --queues 'passport.*' --expires 90d
    """  # noqa: D301  # click keeps lines after a real \b

    async def work(oms: AsyncOMSClient) -> tuple[Token, str]:
        return await oms.tokens.create(
            roles,
            queues=queues or EVERY_QUEUE,
            expires_in=expires,
            payload=payload,
            rate=rate,
            note=note,
        )

    made, text = ask(url, namespace, work)
    if output == "json":
        show.json("token.create", token=text, **_document(made))
    else:
        click.echo(text)
    show.say(
        f"token {made.id} made: {' and '.join(made.roles)} of {', '.join(made.queues)}. Keep it "
        f"safe, it is not shown again. From now on every caller of the API needs a token."
    )


@token.command()
@options.store
@options.output
def ls(*, url: str | None, namespace: str, output: options.Output) -> None:
    """List the tokens that were not revoked, without their secrets."""

    async def work(oms: AsyncOMSClient) -> list[Token]:
        return await oms.tokens.list()

    found = ask(url, namespace, work)
    if output == "json":
        show.json("token.list", tokens=[_document(one) for one in found])
    elif found:
        show.table(
            ["TOKEN", "ROLES", "QUEUES", "PAYLOAD", "RATE", "MADE", "EXPIRES", "NOTE"],
            [
                [
                    one.id,
                    "+".join(one.roles),
                    ",".join(one.queues),
                    "yes" if one.payload else "no",
                    one.rate,
                    show.moment(one.created_ms),
                    show.moment(one.expires_ms),
                    one.note or show.NONE,
                ]
                for one in found
            ],
        )
    else:
        show.say("no tokens: callers on the API's own machine need none")


@token.command()
@click.argument("token_id", metavar="TOKEN")
@click.option("--reason", default="", help="Why, for the audit.")
@options.store
def revoke(*, token_id: str, reason: str, url: str | None, namespace: str) -> None:
    """Take a token back; the API refuses it within two seconds."""

    async def work(oms: AsyncOMSClient) -> int:
        await oms.tokens.revoke(token_id, reason=reason)
        return len(await oms.tokens.list())

    left = ask(url, namespace, work)
    show.say("the token is revoked")
    if not left:
        show.warn("it was the last one: callers on the API's own machine need none now")


def _document(one: Token) -> dict[str, Any]:
    return {
        "id": one.id,
        "roles": list(one.roles),
        "queues": list(one.queues),
        "payload": one.payload,
        "rate": one.rate,
        "note": one.note,
        "created_at": documents.instant(one.created_ms),
        "created_by": one.created_by,
        "expires_at": documents.instant(one.expires_ms),
    }
