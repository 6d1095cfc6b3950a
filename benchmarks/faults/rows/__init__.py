"""The scenarios of the campaign, one module for each kind of fault."""

from importlib import import_module

_MODULES = (
    "kills",
    "stops",
    "outages",
    "network",
    "zombie",
    "blocking",
    "deadly",
    "poison",
    "refusals",
    "clocks",
    "scale",
)


def load() -> None:
    """Let every module enter its scenarios, in the order of the table."""
    for name in _MODULES:
        import_module(f"{__name__}.{name}")
