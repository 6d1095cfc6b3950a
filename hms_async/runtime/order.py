"""From what a service wants done to what is sent: everything is checked before."""

import os
import time

import msgspec

from hms_async.domain.duration import instant_to_ms, to_ms
from hms_async.domain.queue import PRIORITIES, check_name
from hms_async.domain.task import NewTask, make_id
from hms_async.errors import ConfigInvalid, NameInvalid
from hms_async.storage import codec
from hms_async.storage.replies import Enqueue

_LONGEST_KEY = 512


class Order(msgspec.Struct):
    """One task on its way.

    Attributes:
        queue: Where it goes.
        item: What is sent.
        own_id: Whether this call made the id, so that an earlier send of it is ours.
    """

    queue: str
    item: Enqueue
    own_id: bool


class _Options(msgspec.Struct, omit_defaults=True):
    """What the enqueue script reads beside the envelope."""

    corr: str | None = None
    prio: str | None = None
    delay: int | None = None
    eta: int | None = None
    key: str | None = None
    sla: int | None = None


_NO_OPTIONS = _Options()
_encode_options = msgspec.json.Encoder().encode


def to_order(queue: str, task: NewTask) -> Order:
    """Check a new task and make it ready to be sent."""
    check_name(queue, what="queue name")
    if task.id is None:
        task_id = make_id(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10)))
    else:
        task_id = check_name(task.id, what="task id")
    options = _options(task)
    body = codec.encode_envelope(
        task_id,
        queue,
        codec.encode_json(task.payload),
        correlation_id=options.corr,
        eta_ms=options.eta,
    )
    sent = b"" if options == _NO_OPTIONS else _encode_options(options)
    return Order(queue, Enqueue(task_id, body, sent), own_id=task.id is None)


def _options(task: NewTask) -> _Options:
    if task.delay is not None and task.eta is not None:
        raise ConfigInvalid("give either delay or eta, not both")
    if task.priority not in PRIORITIES:
        raise ConfigInvalid(f'priority={task.priority!r} is not one of "normal", "high"')
    return _Options(
        corr=_text(task.correlation_id, "correlation_id"),
        prio="high" if task.priority == "high" else None,
        delay=None if task.delay is None else to_ms(task.delay, name="delay"),
        eta=None if task.eta is None else instant_to_ms(task.eta, name="eta"),
        key=_text(task.idempotency_key, "idempotency_key"),
        sla=None if task.sla is None else to_ms(task.sla, name="sla", minimum_ms=1),
    )


def _text(value: object, name: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST_KEY:
        raise NameInvalid(f"{name}={value!r} is not valid: 1 to {_LONGEST_KEY} characters of text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise NameInvalid(f"{name}={value!r} is not valid: it has a lone surrogate") from None
    return value
