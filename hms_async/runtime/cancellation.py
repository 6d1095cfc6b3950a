"""Telling our own cancellations from those that a user's code makes."""

import math

import anyio


def is_cancelled() -> bool:
    """Whether a scope of ours around the user's code is cancelled, whatever that did itself."""
    return anyio.current_effective_deadline() == -math.inf
