"""Whole numbers from 1, as settings take them."""

from hms_async.errors import ConfigInvalid


def check_count(value: object, *, name: str) -> int:
    """Return a whole number from 1.

    Args:
        value: What the user gave.
        name: What it is called where the user wrote it, for the message.

    Raises:
        ConfigInvalid: If it is anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigInvalid(f"{name}={value!r} is not a whole number from 1")
    return value
