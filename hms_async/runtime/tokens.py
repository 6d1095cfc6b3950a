"""Access tokens: make them, list them, take them back: `oms.tokens`."""

import os
from collections.abc import Callable, Iterable

from hms_async.domain.access import EVERY_QUEUE, Role, check_patterns, check_roles
from hms_async.domain.audit import Actor
from hms_async.domain.count import check_count
from hms_async.domain.duration import Duration, to_ms
from hms_async.domain.token import (
    DEFAULT_RATE,
    ID_BYTES,
    SECRET_BYTES,
    Token,
    check_token_id,
    digest_of,
    make_text,
)
from hms_async.errors import ConfigInvalid, TokenNotFound
from hms_async.runtime.acting import tell
from hms_async.storage import tokens
from hms_async.storage.store import Store

_LONGEST_NOTE = 200


class Tokens:
    """The access tokens of a namespace, as an administrator deals with them.

    Args:
        store: Where they are.
        acting: Says who acts, given who is named and the reason.
    """

    def __init__(self, store: Store, acting: Callable[[Actor | None, str], Actor]) -> None:
        self._store = store
        self._acting = acting

    async def create(
        self,
        roles: Iterable[Role | str],
        *,
        queues: Iterable[str] = EVERY_QUEUE,
        expires_in: Duration | None = None,
        payload: bool = False,
        rate: int = DEFAULT_RATE,
        note: str = "",
        by: Actor | None = None,
    ) -> tuple[Token, str]:
        """Make a token.

        Args:
            roles: What its bearer may do: `producer`, `worker`, `viewer`, `operator`, `admin`.
            queues: Where: patterns of queue names, such as `passport.*`.
            expires_in: For how long it is good; for ever if not given.
            payload: Whether its bearer sees payloads and results, too.
            rate: How many calls a second it may make.
            note: What it is for, in words.
            by: Who makes it.

        Returns:
            What is kept of it, and its text. Nobody can show the text again.

        Raises:
            ConfigInvalid: If something makes no sense, or there are a thousand tokens.
        """
        if len(note) > _LONGEST_NOTE:
            raise ConfigInvalid(f"note has {len(note)} characters: up to {_LONGEST_NOTE}")
        lasts_ms = None if expires_in is None else to_ms(expires_in, name="expires", minimum_ms=1)
        made_roles, made_queues = check_roles(roles), check_patterns(queues)
        check_count(rate, name="rate")
        actor = self._acting(by, "")
        now_ms = await tokens.now_ms(self._store)
        token_id, text = make_text(os.urandom(ID_BYTES + SECRET_BYTES))
        token = Token(
            id=token_id,
            digest=digest_of(text),
            roles=made_roles,
            queues=made_queues,
            payload=payload,
            rate=rate,
            note=note,
            created_ms=now_ms,
            created_by=actor.who,
            expires_ms=None if lasts_ms is None else now_ms + lasts_ms,
        )
        if await tokens.keep(self._store, token, actor) == "full":
            raise ConfigInvalid("there are 1,000 tokens: revoke some first")
        tell("token.create", actor, target=token_id)
        return token, text

    async def list(self) -> list[Token]:
        """Return all tokens that were not revoked, the oldest first."""
        found, _ = await tokens.read_table(self._store)
        return sorted(found.values(), key=lambda token: (token.created_ms, token.id))

    async def revoke(self, token_id: str, *, reason: str = "", by: Actor | None = None) -> None:
        """Take a token back: within two seconds nobody accepts it any more.

        Raises:
            TokenNotFound: If there is none of that id.
            NameInvalid: If that is no token's id.
        """
        checked = check_token_id(token_id)
        actor = self._acting(by, reason)
        if await tokens.forget(self._store, checked, actor) == "gone":
            raise TokenNotFound(checked)
        tell("token.revoke", actor, target=checked)
