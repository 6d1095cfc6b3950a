"""Settings that come from the environment, each with the default that holds without it."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hms_async.domain.queue import check_name
from hms_async.errors import ConfigInvalid

if TYPE_CHECKING:
    from hms_async.domain.redaction import Redactor

DEFAULT_URL = "redis://127.0.0.1:6379/0"


def store_url(given: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Return the URL to use: the one given, else `HMS_URL`, else the local default."""
    return given or environ.get("HMS_URL") or DEFAULT_URL


def namespace(given: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return the namespace to use: the one given, else `HMS_NAMESPACE`, else none.

    Raises:
        NameInvalid: If it is outside the alphabet of queue names.
    """
    chosen = given or environ.get("HMS_NAMESPACE", "")
    return check_name(chosen, what="namespace") if chosen else ""


def redactor(environ: Mapping[str, str] = os.environ) -> "Redactor":
    """Return what leaves out secrets; `HMS_REDACT` adds names to its own, `tax_id,passport`.

    Raises:
        ConfigInvalid: If one of them is no name.
    """
    from hms_async.domain.redaction import Redactor  # noqa: PLC0415  # few show anything

    names = (name.strip() for name in environ.get("HMS_REDACT", "").split(","))
    return Redactor(tuple(name for name in names if name))


def trace_parent(environ: Mapping[str, str] = os.environ) -> str:
    """Return how attempts stand to what asked for them: `HMS_TRACE_PARENT`, `link` or `child`.

    Raises:
        ConfigInvalid: If it is none of these.
    """
    return _word("HMS_TRACE_PARENT", ("link", "child"), environ)


def trace_create(environ: Mapping[str, str] = os.environ) -> str:
    """Return whether each of many tasks has a span of its own: `HMS_TRACE_CREATE`, `on` or `off`.

    Raises:
        ConfigInvalid: If it is none of these.
    """
    return _word("HMS_TRACE_CREATE", ("on", "off"), environ)


def _word(name: str, words: tuple[str, ...], environ: Mapping[str, str]) -> str:
    """Return a setting that is one of several words; the first is its default."""
    word = environ.get(name, "").lower() or words[0]
    if word not in words:
        raise ConfigInvalid(f'{name}="{environ[name]}" is not valid: give {" or ".join(words)}')
    return word
