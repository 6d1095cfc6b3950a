"""Who outside is told when a promise is in danger."""

from collections.abc import Iterable
from urllib.parse import urlsplit

import msgspec

from hms_async.domain.signature import check_secret
from hms_async.errors import ConfigInvalid


class Receivers(msgspec.Struct, frozen=True):
    """Where a queue's escalations go, beside its log and its events.

    Their addresses hold credentials, so neither is shown by `repr`.

    Attributes:
        webhook: An http(s) address that is sent signed JSON; empty for none.
        secret: What the webhook's messages are signed with.
        notify: Addresses of pagers, chats and mailboxes, as apprise writes them.
    """

    webhook: str = ""
    secret: str = ""
    notify: tuple[str, ...] = ()

    @classmethod
    def create(
        cls, *, webhook: str | None, secret: str | None, notify: Iterable[str] = ()
    ) -> "Receivers":
        """Check what a user asks for.

        Raises:
            ConfigInvalid: If an address makes no sense, or the webhook has no secret.
        """
        if isinstance(notify, str):
            raise ConfigInvalid("notify= is one text: give a list of addresses")
        for address in notify:
            if "://" not in str(address):
                raise ConfigInvalid(
                    "an address in notify= is not one that apprise knows: "
                    "write scheme://..., such as mailto:// or pagerduty://"
                )
        if webhook and not _is_http(webhook):
            raise ConfigInvalid("webhook= is not an address: write http(s)://host/path")
        if bool(webhook) != bool(secret):
            raise ConfigInvalid(
                "webhook= and webhook_secret= go together: receivers check by the secret who sends"
            )
        if secret:
            check_secret(secret)
        return cls(webhook or "", secret or "", tuple(notify))

    def __repr__(self) -> str:
        host = urlsplit(self.webhook).hostname or "none"
        return f"Receivers(webhook={host!r}, notify={[_scheme(one) for one in self.notify]})"

    def words(self) -> list[str]:
        """Return what can be shown of them: the webhook's host, and the kinds of the others."""
        host = [f"webhook {urlsplit(self.webhook).hostname}"] if self.webhook else []
        return host + [_scheme(one) for one in self.notify]


def _is_http(address: object) -> bool:
    if not isinstance(address, str):
        return False
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises for one that is no number
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _scheme(address: str) -> str:
    return address.partition("://")[0]
