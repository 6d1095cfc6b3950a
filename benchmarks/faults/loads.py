"""What arrives while things break."""

RATE = 100
"""Tasks a second."""

SLOTS = 30
"""Of each of two workers: a little more than `mixed` keeps busy at this rate."""


def mixed(number: int) -> dict[str, object]:
    """Most tasks are quick; some run for so long that they end in the middle of an outage."""
    return {"n": number, "s": (0.02, 0.02, 0.02, 0.5, 2.0)[number % 5]}
