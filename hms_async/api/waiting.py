"""How long a request may wait, and what ends it early."""

from typing import Final

from hms_async.domain.duration import Duration, to_ms
from hms_async.errors import ConfigInvalid

LONGEST_WAIT_MS: Final = 30_000


def wait_ms(given: Duration, *, name: str, longest: int = LONGEST_WAIT_MS) -> int:
    """Return how long a request may wait; digits alone are seconds.

    Raises:
        DurationInvalid: If it is no duration.
        ConfigInvalid: If it is too long for one request.
    """
    found = to_ms(
        float(given) if isinstance(given, str) and _is_number(given) else given, name=name
    )
    if found > longest:
        raise ConfigInvalid(f"{name}={given!r} is over {longest // 1_000}s: ask again instead")
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
