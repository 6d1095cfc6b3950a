"""Who acts, when a program says nothing of it; and the log line that an act leaves."""

import os
import socket

from hms_async.domain.audit import Actor
from hms_async.telemetry.logs import get_logger

log = get_logger("hms_async.action")


def this_process() -> Actor:
    """Return this process as the one who acts, under its host's name and its number."""
    return Actor(f"{socket.gethostname()}-{os.getpid()}", "client")


def tell(action: str, by: Actor, *, changed: bool = True, **target: object) -> bool:
    """Log an act of an operator, if it has changed anything; the audit in the store has it, too.

    Returns:
        Whether it has.
    """
    if changed:
        said = {name: value for name, value in target.items() if value is not None}
        reason = by.reason or None
        log.info("action", action=action, actor=by.who, via=by.via, reason=reason, **said)
    return changed
