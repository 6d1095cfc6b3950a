"""Log events as lines for people.

A line says what happened in the words of the quick start. Whatever comes from outside (a
correlation id, an error, a result) passes through `clean` with the whole line, at one place, so
that no sentence can forget it and nobody can forge a line or steer a terminal.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

import msgspec

Fields = Mapping[str, Any]

_LONGEST_NOTE: Final = 80
_LONGEST_PAIR: Final = 500
_IN_SENTENCE = frozenset({"error", "result"})
_NEEDS_QUOTES = frozenset(' "=')
_BLOCKS = ("exc", "stack")
_OWN_LINES = frozenset(_BLOCKS)
_MINUTE_S: Final = 60
_UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))
_ONE_UNIT_FROM = 10


def render(event: str, level: str, fields: Fields, *, verbose: bool) -> str:
    """Return an event as one or more lines, without the last newline.

    Args:
        event: The event's dotted name.
        level: The level it was logged at.
        fields: What it carries, without event, level and logger.
        verbose: Whether to append the fields that the sentence leaves out, and tracebacks.
    """
    lines: list[str] = []
    if event == "task.finished" and fields.get("outcome") == "ok":
        note = summary(fields.get("result"))
        lines += [] if note is None else [f"[Worker] {note}"]
    tag = "ACT" if event.startswith(("supervisor.", "sla.", "action.")) else "OMS"
    words = _sentence(event, fields)
    if words is None:
        lines.append(" ".join((f"[{tag}] {event}", *_pairs(fields, _OWN_LINES))))
    elif verbose:
        lines.append(" ".join((f"[{tag}] {words}", *_pairs(fields, _OWN_LINES | _IN_SENTENCE))))
    else:
        lines.append(f"[{tag}] {words}")
    if verbose or level in {"error", "critical"}:
        lines.extend(_blocks(fields))
    return "\n".join(map(clean, lines))


def message(logger: str, level: str, words: str, fields: Fields) -> str:
    """Return what an application says through `logging` as one or more lines.

    Args:
        logger: Who says it.
        level: How loud.
        words: What.
        fields: What goes with it, the task that it is about among them.
    """
    loud = "" if level in {"debug", "info"} else f"{level.upper()}: "
    lines = [" ".join((f"[{logger}] {loud}{words}", *_pairs(fields, _OWN_LINES)))]
    return "\n".join(map(clean, (*lines, *_blocks(fields))))


def plain(event: str, fields: Fields) -> str:
    """Return an event with its name and all of its fields, whatever writes it."""
    lines = [" ".join((event, *_pairs(fields, _OWN_LINES))), *_blocks(fields)]
    return "\n".join(map(clean, lines))


def _blocks(fields: Fields) -> Iterator[str]:
    """What has lines of its own, indented so that none of them can pass for a log line."""
    for name in _BLOCKS:
        if fields.get(name):
            yield from (f"  {line}" for line in as_text(fields[name]).splitlines())


def clean(text: str) -> str:
    r"""Return the text with everything that is not printable written as an escape (`\x1b`)."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def short(value: object, limit: int = _LONGEST_NOTE) -> str:
    """Return a value on one line of at most so many characters."""
    # Escapes only make a text longer, so cutting first changes nothing and bounds the work.
    text = clean(value[: limit + 1] if isinstance(value, str) and value else to_json(value))
    return text if len(text) <= limit else text[: limit - 3] + "..."


def summary(result: object) -> str | None:
    """Return what to say about a handler's result: its `note`, else its short form."""
    note = _note_of(result)
    if note is not None:
        return short(note)
    return None if result is None else short(result)


def _note_of(result: object) -> object:
    return cast("dict[str, object]", result).get("note") if isinstance(result, dict) else None


def as_text(value: object) -> str:
    """Return `str(value)`, also for an object whose `__str__` raises."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001  # whatever a foreign __str__ raises
        return f"<{type(value).__name__}>"


_ENCODER = msgspec.json.Encoder(enc_hook=as_text)


def to_json(value: object) -> str:
    """Return any value as JSON on one line; what JSON cannot say becomes text."""
    try:
        line = _ENCODER.encode(value).decode()
    except Exception:  # noqa: BLE001  # a lone surrogate, a key that is no text, a cycle
        line = _ENCODER.encode(_simple(value)).decode()
    if line.isprintable():
        return line
    # Only texts inside the JSON can hold such characters, and there \u says the same.
    return "".join(char if char.isprintable() else _json_escape(char) for char in line)


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _simple(value: object) -> object:
    if isinstance(value, dict):
        items = cast("dict[object, object]", value).items()
        return {
            clean(as_text(key)): item
            if isinstance(item, int | float | None)
            else clean(as_text(item))
            for key, item in items
        }
    return clean(as_text(value))


def span(seconds: float) -> str:
    """Return a time for people: "2.1 s", "24 min", "1 h 30 min", "2 h"."""
    if seconds < 0:
        return "-" + span(-seconds)
    for size, unit, small_size, small_unit in _UNITS:
        small = round(seconds / small_size)
        if small * small_size < size:
            continue
        if seconds >= _ONE_UNIT_FROM * size:
            return f"{round(seconds / size)} {unit}"
        count, rest = divmod(small, size // small_size)
        return f"{count} {unit} {rest} {small_unit}" if rest else f"{count} {unit}"
    return f"{seconds:.1f}".removesuffix(".0") + " s"


def _took(fields: Fields) -> str:
    # The quick start's seconds keep their decimal: a column of lines is easier to compare.
    seconds = fields["run_s"]
    return f"{seconds:.1f} s" if seconds < _MINUTE_S else span(seconds)


def _pairs(fields: Fields, told: frozenset[str]) -> Iterator[str]:
    for name, value in fields.items():
        if name in told:
            continue
        text = f"{value:g}" if isinstance(value, float) else short(value, _LONGEST_PAIR)
        # Quoted where a text could pass for several fields.
        quoted = isinstance(value, str) and value and not _NEEDS_QUOTES.isdisjoint(text)
        yield f"{name}={to_json(text) if quoted else text}"


def _sentence(event: str, fields: Fields) -> str | None:
    try:
        return _SENTENCES[event](fields)
    except Exception:  # noqa: BLE001  # a missing or odd field must not end a worker
        return None


def _task(fields: Fields) -> str:
    return f"Task {fields.get('corr_id') or fields['task_id']}"


def _because(fields: Fields) -> str:
    error = fields.get("error")
    return f": {error}" if error else ""


def _started(fields: Fields) -> str:
    return f"{_task(fields)} pulled by worker#{fields['slot']}"


def _finished(fields: Fields) -> str:
    return _OUTCOMES.get(fields["outcome"], _other_outcome)(fields)


def _complete(fields: Fields) -> str:
    return f"{_task(fields)} marked COMPLETE ({_took(fields)})"


def _failed(fields: Fields) -> str:
    return f"{_task(fields)} marked FAILED ({_took(fields)}){_because(fields)}"


def _retry(fields: Fields) -> str:
    wait = span(fields["retry_in_s"])
    tried = f"attempt {fields['attempt']}, {_took(fields)}"
    return f"{_task(fields)} will RETRY in {wait} ({tried}){_because(fields)}"


def _released(fields: Fields) -> str:
    return f"{_task(fields)} handed back ({_took(fields)})"


def _refused(fields: Fields) -> str:
    return f"{_task(fields)} outcome refused, its lease was lost ({_took(fields)})"


def _other_outcome(fields: Fields) -> str:
    return f"{_task(fields)} ended as {fields['outcome']} ({_took(fields)}){_because(fields)}"


def _lease_lost(fields: Fields) -> str:
    return f"{_task(fields)} lost its lease after {span(fields['held_s'])}"


def _milestone(fields: Fields) -> str:
    name = fields.get("milestone", "breach")
    if fields["percent"] >= 100 and name != "breach":  # noqa: PLR2004  # the whole promise
        # It may stand a while after the promise, so `late_by_s` is not how late the task is.
        return f"{_task(fields)} is past its promise of {span(fields['promise_s'])}: {name}"
    if fields["percent"] >= 100:  # noqa: PLR2004
        late = fields.get("late_by_s")
        by = "" if late is None else f" (late by {span(late)})"
        return f"{_task(fields)} broke its promise of {span(fields['promise_s'])}{by}"
    left = fields.get("left_s")
    # A warning that comes late finds the promise broken already.
    rest = "" if left is None else f", {span(max(left, 0))} left"
    return f"{_task(fields)} at {fields['percent']:g} % of its promise{rest}"


def _forecast(fields: Fields) -> str:
    missed, first_s = fields["missed_tasks"], fields["breach_in_s"]
    if not missed:
        return f"Queue {fields['queue']}: no task that waits will be late any more"
    first = "is already" if first_s <= 0 else f"in {span(first_s)}"
    wanted = fields.get("slots_wanted")
    slots = f"; {number(wanted, 'slot')} wanted" if wanted else ""
    return f"Queue {fields['queue']}: {_tasks(missed)} will be late, the first {first}{slots}"


def _action_failed(fields: Fields) -> str:
    again = span(fields["again_in_s"])
    return (
        f"{fields['action']} of {fields['queue']} will be tried again in {again}{_because(fields)}"
    )


def _action_given_up(fields: Fields) -> str:
    tries = f"{fields['tries']} try" if fields["tries"] == 1 else f"{fields['tries']} tries"
    return f"{fields['action']} of {fields['queue']} given up after {tries}{_because(fields)}"


def _rescued(fields: Fields) -> str:
    what = _task(fields) if fields.get("task_id") else _tasks(fields["count"])
    ended = fields.get("state", "waiting")
    if ended != "waiting":
        return f"{what} marked {ended.upper()}: worker {fields['from_worker']} lost it"
    return f"{what} rescued from worker {fields['from_worker']}"


def number(count: int, what: str) -> str:
    """Return how many there are: "1 task", "2 tasks"."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _tasks(count: int) -> str:
    return number(count, "task")


def _worker_started(fields: Fields) -> str:
    slots = number(fields["slots"], "slot")
    return f"Worker {fields['worker_id']} started: {slots} for {', '.join(fields['queues'])}"


def _worker_draining(fields: Fields) -> str:
    running = fields.get("running")
    rest = "" if running is None else f", {_tasks(running)} in progress"
    return f"Worker {fields['worker_id']} draining ({fields['reason']}){rest}"


def _worker_stopped(fields: Fields) -> str:
    back = fields.get("handed_back")
    rest = f", {_tasks(back)} handed back" if back else ""
    return f"Worker {fields['worker_id']} stopped after {span(fields['duration_s'])}{rest}"


def _store_down(fields: Fields) -> str:
    return f"Store down, trying again{_because(fields)}"


def _store_up(fields: Fields) -> str:
    return f"Store up again after {span(fields['down_s'])}"


def _culprit(fields: Fields) -> str:
    ids = ", ".join(fields.get("task_ids") or ())
    if handler := fields.get("handler"):
        return f" by {handler}, task {ids}"
    return f" while running {ids}" if ids else ""


def _loop_blocked(fields: Fields) -> str:
    return f"Event loop blocked for {span(fields['lag_s'])}{_culprit(fields)}"


def _loop_stalled(fields: Fields) -> str:
    lag = span(fields["lag_s"])
    return f"Event loop stalled for {lag}{_culprit(fields)}: all its leases are let go"


def _worker_frozen(fields: Fields) -> str:
    where = _culprit(fields) if fields.get("handler") else ""
    return f"Worker {fields['worker_id']} stood still for {span(fields['frozen_s'])}{where}"


def _cancelling(fields: Fields) -> str:
    return f"{_task(fields)} is to be CANCELLED"


def _cancelled(fields: Fields) -> str:
    return f"{_task(fields)} marked CANCELLED ({_took(fields)})"


def _action(fields: Fields) -> str:
    queue, task = fields.get("queue"), fields.get("task_id")
    target = " of ".join(str(one) for one in (task, queue) if one) or fields.get("target")
    words = " ".join(str(one) for one in (fields["action"], target or fields.get("op_id")) if one)
    reason = fields.get("reason")
    return f"{words} by {fields['actor']} ({fields['via']})" + (f": {reason}" if reason else "")


_OUTCOMES: dict[str, Callable[[Fields], str]] = {
    "ok": _complete,
    "failed": _failed,
    "retry": _retry,
    "released": _released,
    "lost": _refused,
    "cancelled": _cancelled,
}

_SENTENCES: dict[str, Callable[[Fields], str]] = {
    "action": _action,
    "task.started": _started,
    "task.finished": _finished,
    "task.cancelling": _cancelling,
    "task.lease_lost": _lease_lost,
    "sla.milestone": _milestone,
    "sla.forecast": _forecast,
    "action.failed": _action_failed,
    "action.given_up": _action_given_up,
    "supervisor.rescued": _rescued,
    "worker.started": _worker_started,
    "worker.draining": _worker_draining,
    "worker.stopped": _worker_stopped,
    "store.down": _store_down,
    "store.up": _store_up,
    "loop.blocked": _loop_blocked,
    "loop.stalled": _loop_stalled,
    "worker.frozen": _worker_frozen,
}
