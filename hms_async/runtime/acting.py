"""Who acts, when a program says nothing of it."""

import os
import socket

from hms_async.domain.audit import Actor


def this_process() -> Actor:
    """Return this process as the one who acts, under its host's name and its number."""
    return Actor(f"{socket.gethostname()}-{os.getpid()}", "client")
