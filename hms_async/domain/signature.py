"""Signed webhooks: who sent a message, and when, so that its receiver can believe it."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from typing import Protocol

from hms_async.domain.duration import to_text
from hms_async.errors import ConfigInvalid, SignatureInvalid

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"

TOLERANCE_S = 300
"""By how much a message may be older, or newer, than the receiver's clock says."""

Secret = str | Sequence[str]
"""`whsec_` and base64, or any text; several while one takes another's place."""

_PREFIX = "whsec_"
_VERSION = "v1,"
_SECONDS = re.compile(r"\d{1,12}", re.ASCII)
_MESSAGE_ID = re.compile(r"[!-~]{1,256}")


class Headers(Protocol):
    """What has headers: a `dict`, a web framework's mapping, `http.client`'s message."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Return names, in any case, and values."""
        ...


def check_secret(secret: object) -> bytes:
    """Return the key that a secret stands for.

    Raises:
        ConfigInvalid: If it is no text, empty, or not base64 behind `whsec_`; it is not shown.
    """
    if not isinstance(secret, str) or not secret.removeprefix(_PREFIX):
        raise ConfigInvalid("a webhook secret is a text that is not empty")
    if not secret.startswith(_PREFIX):
        return secret.encode(errors="surrogatepass")
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigInvalid(
            f"a webhook secret that begins with {_PREFIX} goes on in base64; this one does not: "
            "copy it whole"
        ) from None


def sign(secret: Secret, message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """Return the headers that a message is sent with.

    Args:
        secret: Shared with the receiver; with several, each signs.
        message_id: The same for each try, so that the receiver can tell a repetition.
        timestamp_s: When this try is made, in seconds since the epoch.
        body: What is sent, to the byte.

    Raises:
        ConfigInvalid: If the secret is no secret, or the id cannot stand in a header.

    Source: Standard Webhooks 1.0, symmetric signatures, https://www.standardwebhooks.com.
    """
    if not _MESSAGE_ID.fullmatch(message_id):
        raise ConfigInvalid(f"{message_id!r} cannot be a message id: 1 to 256 of ASCII, no spaces")
    timestamp = str(timestamp_s)
    signatures = [_signature(key, message_id, timestamp, body) for key in _keys(secret)]
    return {ID: message_id, TIMESTAMP: timestamp, SIGNATURE: " ".join(signatures)}


def verify(secret: Secret, headers: Headers, body: bytes, *, now_s: float) -> str:
    """Return the id of a message that is of whom it seems to be.

    Args:
        secret: Shared with the sender; with several, one of them has to match.
        headers: Those of the request.
        body: As it came, to the byte: JSON that was parsed and written again is another body.
        now_s: The receiver's time, in seconds since the epoch.

    Raises:
        SignatureInvalid: If a header is missing, the time is too far away, or nothing matches.
        ConfigInvalid: If the secret is no secret.

    Source: as of `sign`.
    """
    given = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp, signatures = (_value(given, name) for name in (ID, TIMESTAMP, SIGNATURE))
    _check_time(timestamp, now_s)
    candidates = [part for part in signatures.split() if part.startswith(_VERSION)]
    if not candidates:
        raise SignatureInvalid(f"{SIGNATURE} has no signature of version v1")
    known = [_signature(key, message_id, timestamp, body).encode() for key in _keys(secret)]
    # Bytes: `compare_digest` takes no text outside ASCII, and takes as long whatever differs.
    if not any(
        hmac.compare_digest(one.encode(errors="replace"), other)
        for one in candidates
        for other in known
    ):
        raise SignatureInvalid(
            f"{SIGNATURE} does not match: it was made with another secret, or the id, the time or "
            "the body is not what was signed; give the body as it came, not parsed and written anew"
        )
    return message_id


def _value(given: dict[str, str], name: str) -> str:
    value = given.get(name, "").strip()
    if not value:
        raise SignatureInvalid(f"the header {name} is missing")
    return value


def _check_time(timestamp: str, now_s: float) -> None:
    if not _SECONDS.fullmatch(timestamp):
        raise SignatureInvalid(f"{TIMESTAMP} is not a whole number of seconds")
    age_s = now_s - int(timestamp)
    if abs(age_s) > TOLERANCE_S:
        away = f"{to_text(abs(age_s) * 1_000)} {'old' if age_s > 0 else 'ahead'}"
        raise SignatureInvalid(
            f"{TIMESTAMP} is {away}, which is more than {to_text(TOLERANCE_S * 1_000)}: "
            "the message is a repetition of an earlier one, or a clock is wrong"
        )


def _keys(secret: Secret) -> list[bytes]:
    secrets = [secret] if isinstance(secret, str) else list(secret)
    if not secrets:
        raise ConfigInvalid("no webhook secret is given")
    return [check_secret(one) for one in secrets]


def _signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    signed = f"{message_id}.{timestamp}.".encode(errors="replace") + body
    return _VERSION + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
