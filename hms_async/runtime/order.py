"""From what a service wants done to what is sent: everything is checked before."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import msgspec

from hms_async.domain.audit import Actor
from hms_async.domain.duration import Duration, instant_to_ms, to_ms
from hms_async.domain.queue import PRIORITIES, check_name
from hms_async.domain.task import ENTROPY_BYTES, NewTask, make_id, make_ids
from hms_async.domain.trace import TraceContext, check_trace
from hms_async.errors import ConfigInvalid, NameInvalid
from hms_async.storage.audit import as_args
from hms_async.storage.codec import encode_envelope, encode_json
from hms_async.storage.replies import Enqueue

_LONGEST_KEY = 512


class Order(Enqueue, frozen=True, gc=False):
    """One task on its way.

    Attributes:
        own_id: Whether this call made the id, so that an earlier send of it is ours.
    """

    own_id: bool = False


class Again(msgspec.Struct, frozen=True):
    """Says of which task an order is another run, and who wants that, for the audit."""

    of: str
    who: str
    via: str
    reason: str

    @classmethod
    def by(cls, actor: Actor, of: str) -> "Again":
        """Return what is said when somebody runs a task again."""
        return cls(of, *as_args(actor))


class _Options(msgspec.Struct, omit_defaults=True):
    """What the enqueue script reads beside the envelope."""

    corr: str | None = None
    prio: str | None = None
    delay: int | None = None
    eta: int | None = None
    key: str | None = None
    sla: int | None = None
    expires: int | None = None
    expires_in: int | None = None
    max_wait: int | None = None
    run_timeout: int | None = None
    again: Again | None = None


_NO_OPTIONS = _Options()
_encode_options = msgspec.json.Encoder().encode


Tracing = Callable[[str, str | None], TraceContext | None]
"""Gives the context that a task carries which names none itself, by its id and its case."""


def to_order(
    queue: str, task: NewTask, tracing: Tracing | None = None, again: Again | None = None
) -> Order:
    """Check a new task and make it ready to be sent.

    Args:
        queue: Where it goes.
        task: The task.
        tracing: Gives the context that it carries if it names none itself.
        again: Of which task it is another run, if it is.
    """
    check_name(queue, what="queue name")
    return _to_order(queue, task, make_id(_now_ms(), os.urandom(ENTROPY_BYTES)), tracing, again)


class Orders(Sequence[Order]):
    """Checked tasks as orders, each of which is made when it is first asked for, and then kept.

    Args:
        queue: Where they go.
        checked: The tasks: payloads of such without options as JSON, the others as orders.
    """

    def __init__(self, queue: str, checked: list[Order | bytes]) -> None:
        self._queue = queue
        self._checked = checked

    def __len__(self) -> int:
        return len(self._checked)

    @overload
    def __getitem__(self, index: int) -> Order: ...

    @overload
    def __getitem__(self, index: slice) -> list[Order]: ...

    def __getitem__(self, index: int | slice) -> Order | list[Order]:
        if isinstance(index, int):
            start = range(len(self))[index]
            (one,) = self[start : start + 1]
            return one
        part = self._checked[index]
        made = [one for one in part if isinstance(one, Order)]
        if len(made) < len(part):
            self._checked[index] = made = self._make(part)
        return made

    def _make(self, part: list[Order | bytes]) -> list[Order]:
        return [
            one
            if isinstance(one, Order)
            else Order(made_id, encode_envelope(made_id, self._queue, one), own_id=True)
            for one, made_id in zip(part, _new_ids(len(part)), strict=True)
        ]

    def apart(self, size: int) -> Iterator["Orders"]:
        """Return them in groups of such a size."""
        for start in range(0, len(self), size):
            yield Orders(self._queue, self._checked[start : start + size])


def to_orders(queue: str, items: Sequence[Any], tracing: Tracing | None = None) -> Orders:
    """Check new tasks, and payloads of such without options, and make them ready to be sent.

    All are checked, and all payloads are JSON, when this returns.
    """
    check_name(queue, what="queue name")
    if tracing is not None:
        items = [item if isinstance(item, NewTask) else NewTask(item) for item in items]
    ids = iter(_new_ids(sum(isinstance(item, NewTask) for item in items)))
    checked = [
        _to_order(queue, item, next(ids), tracing)
        if isinstance(item, NewTask)
        else encode_json(item)
        for item in items
    ]
    return Orders(queue, checked)


def _new_ids(number: int) -> list[str]:
    # All at once: to ask the system for the entropy of one takes as long as to make its id thrice.
    return make_ids(_now_ms(), os.urandom(ENTROPY_BYTES * number))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _to_order(
    queue: str,
    task: NewTask,
    made_id: str,
    tracing: Tracing | None = None,
    again: Again | None = None,
) -> Order:
    task_id = made_id if task.id is None else check_name(task.id, what="task id")
    options = _options(task, again)
    trace = check_trace(task.traceparent, task.tracestate, task.baggage)
    payload = encode_json(task.payload)
    if tracing is not None and (trace is None or trace.traceparent is None):
        found = tracing(task_id, options.corr)
        trace = found if trace is None else trace.within(found)
    body = encode_envelope(
        task_id,
        queue,
        payload,
        correlation_id=options.corr,
        eta_ms=options.eta,
        run_timeout_ms=options.run_timeout,
        trace=trace,
    )
    sent = b"" if options == _NO_OPTIONS else _encode_options(options)
    return Order(task_id, body, sent, own_id=task.id is None)


def _options(task: NewTask, again: Again | None) -> _Options:
    if task.delay is not None and task.eta is not None:
        raise ConfigInvalid("give either delay or eta, not both")
    if task.expires_at is not None and task.expires_in is not None:
        raise ConfigInvalid("give either expires_at or expires_in, not both")
    if task.priority not in PRIORITIES:
        raise ConfigInvalid(f'priority={task.priority!r} is not one of "normal", "high"')
    return _Options(
        corr=_text(task.correlation_id, "correlation_id"),
        prio="high" if task.priority == "high" else None,
        delay=None if task.delay is None else to_ms(task.delay, name="delay"),
        eta=None if task.eta is None else instant_to_ms(task.eta, name="eta"),
        key=_text(task.idempotency_key, "idempotency_key"),
        sla=_duration(task.sla, "sla"),
        expires=None
        if task.expires_at is None
        else instant_to_ms(task.expires_at, name="expires_at"),
        expires_in=_duration(task.expires_in, "expires_in"),
        max_wait=_duration(task.max_wait, "max_wait"),
        run_timeout=_duration(task.run_timeout, "run_timeout"),
        again=again,
    )


def _duration(value: Duration | None, name: str) -> int | None:
    return None if value is None else to_ms(value, name=name, minimum_ms=1)


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
