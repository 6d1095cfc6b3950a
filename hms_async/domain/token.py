"""Access tokens: what one says, what is kept of it, and whether it is genuine."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping

import msgspec

from hms_async.domain.access import EVERY_QUEUE, Permission, Principal, Role
from hms_async.errors import NameInvalid, TokenInvalid

DEFAULT_RATE = 500
"""Calls a second that a token may make if it does not say otherwise; for a moment twice as many."""

SECRET_BYTES = 32
ID_BYTES = 12
_ALPHABET = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ID = r"[0-9A-HJKMNP-TV-Z]{12}"
TEXT = re.compile(rf"hms_({_ID})_([A-Za-z0-9_-]{{43}})")
_BEARER = re.compile(rf"token:{_ID}")
_ID_OR_TEXT = re.compile(rf"({_ID})|{TEXT.pattern}")


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a token: everything but its secret.

    Attributes:
        id: What people call it by.
        digest: SHA-256 of the secret, in hex. The secret has 256 random bits, so nobody gets from
            one to the other by trying.
        roles: What its bearer may do.
        queues: Where: patterns of queue names.
        payload: Whether its bearer sees payloads and results, too.
        rate: How many calls a second it may make.
        note: What it is for, in words.
        created_ms: When it was made.
        created_by: By whom.
        expires_ms: Until when it is good; `None` for ever.
    """

    id: str
    digest: str
    roles: tuple[Role, ...]
    queues: tuple[str, ...] = EVERY_QUEUE
    payload: bool = False
    rate: int = DEFAULT_RATE
    note: str = ""
    created_ms: int = 0
    created_by: str = ""
    expires_ms: int | None = None

    def __repr__(self) -> str:
        return f"<Token {self.id} {'+'.join(self.roles)}>"

    @property
    def principal(self) -> Principal:
        """Its bearer."""
        allowed = frozenset(permission for role in self.roles for permission in role.permissions)
        if self.payload:
            allowed |= {Permission.PAYLOAD}
        return Principal(f"token:{self.id}", allowed, self.queues)

    def expired(self, now_ms: int) -> bool:
        """Return whether its time is over."""
        return self.expires_ms is not None and self.expires_ms <= now_ms


def make_text(entropy: bytes) -> tuple[str, str]:
    """Return the id of a new token and its text, of which the last part is the secret.

    Args:
        entropy: `ID_BYTES + SECRET_BYTES` random bytes.
    """
    token_id = bytes(_ALPHABET[byte % len(_ALPHABET)] for byte in entropy[:ID_BYTES]).decode()
    secret = base64.urlsafe_b64encode(entropy[ID_BYTES:]).decode().rstrip("=")
    return token_id, f"hms_{token_id}_{secret}"


def is_bearer(name: str) -> bool:
    """Return whether this is the name of a token's bearer, which has the token's id: no secret."""
    return _BEARER.fullmatch(name) is not None


def digest_of(text: str) -> str:
    """Return what is kept of a token's text."""
    return _digest(_parts(text)[1])


def check_token_id(value: str) -> str:
    """Return the id of a token, also if its whole text was given; the text is never shown.

    Raises:
        NameInvalid: If it is neither.
    """
    match = _ID_OR_TEXT.fullmatch(value)
    if match is None:
        raise NameInvalid("that is no token's id: 12 letters and digits, as `hms token ls` shows")
    return match[1] or match[2]


_NOBODYS = hashlib.sha256(b"").hexdigest()  # no secret of 43 characters has this digest


def verify(tokens: Mapping[str, Token], text: str, now_ms: int) -> Token:
    """Return the token that a text is.

    A wrong secret and an unknown id cost the same work and get the same answer, so that neither
    tells what exists.

    Args:
        tokens: All that are good, by id; one that was revoked is not among them.
        text: What the caller says.
        now_ms: The server's clock.

    Raises:
        TokenInvalid: If it is none of them, or its time is over.
    """
    token_id, secret = _parts(text)
    token = tokens.get(token_id)
    genuine = hmac.compare_digest(_digest(secret), _NOBODYS if token is None else token.digest)
    if token is None or not genuine:
        raise TokenInvalid("this token is not valid: it was never made, or it was revoked")
    if token.expired(now_ms):
        raise TokenInvalid(f"token {token_id} has expired: ask for a new one")
    return token


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _parts(text: str) -> tuple[str, str]:
    match = TEXT.fullmatch(text)
    if match is None:
        raise TokenInvalid("this is no token of ours: hms_<id>_<secret> is")
    return match[1], match[2]
