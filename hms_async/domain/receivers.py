"""Who outside is told when a promise is in danger."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

import msgspec

from hms_async.domain.signature import check_secret
from hms_async.errors import ConfigInvalid

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31})://")
_HTTP = re.compile(r"https?://[!-~]+", re.IGNORECASE)


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
        notify = tuple(notify)
        for address in notify:
            if _scheme(address) is None:
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
        return cls(webhook or "", secret or "", notify)

    def __repr__(self) -> str:
        host = urlsplit(self.webhook).hostname or "none"
        return f"Receivers(webhook={host!r}, notify={self._kinds()})"

    def _kinds(self) -> list[str]:
        return [_scheme(one) or "?" for one in self.notify]

    def words(self) -> list[str]:
        """Return what can be shown of them: the webhook's host, and the kinds of the others."""
        host = [f"webhook {urlsplit(self.webhook).hostname}"] if self.webhook else []
        return host + self._kinds()


def _is_http(address: object) -> bool:
    if not isinstance(address, str) or not _HTTP.fullmatch(address):
        return False
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises for one that is no number
    except ValueError:
        return False
    return bool(parts.hostname)


def _scheme(address: object) -> str | None:
    """Return what kind of address it is; what stands in front of the slashes may be a password."""
    found = _SCHEME.match(address) if isinstance(address, str) else None
    return found[1] if found else None
