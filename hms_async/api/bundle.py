"""The incident bundle: what is known of a queue in trouble, as one file for whoever is asked."""

import time
from collections.abc import Awaitable
from contextlib import suppress
from typing import Final, TypeVar

import msgspec

from hms_async.api import documents
from hms_async.api.kinds import Kind, kinds_of
from hms_async.client import AsyncOMSClient
from hms_async.domain.access import Permission, Principal
from hms_async.domain.diagnosis.finding import Finding
from hms_async.domain.redaction import Redactor
from hms_async.domain.task import TaskRecord
from hms_async.errors import Forbidden, StoreProtocol, StoreRefused, TaskNotFound
from hms_async.telemetry import text
from hms_async.telemetry.logs import package_version

MOST_AT_RISK: Final = 100
MOST_MISSES: Final = 20
MOST_KINDS: Final = 10
MOST_MESSAGES: Final = 100
MOST_ACTS: Final = 200
_FAILED_LOOKED_AT: Final = 500

T = TypeVar("T")


async def bundle_of(
    oms: AsyncOMSClient, queue: str, caller: Principal, redactor: Redactor
) -> documents.IncidentBundle:
    """Gather what is known of a queue; what cannot be read is left out, and the rest is told.

    Nothing that is read grows with the backlog (I8).

    Args:
        oms: Where it is.
        queue: Its name.
        caller: For whom; no payload is in it, whoever that is.
        redactor: Leaves out secrets.

    Raises:
        QueueNotFound: If nobody created it.
        StoreUnavailable: If the server does not answer.
    """
    found = await oms.get_queue(queue)
    of = _Queue(oms, queue, caller, redactor)
    left_out: dict[str, str] = {}

    async def part(name: str, reading: Awaitable[T]) -> T | None:
        try:
            return await reading
        except (Forbidden, StoreProtocol, StoreRefused) as error:
            left_out[name] = str(error)
            return None

    return documents.IncidentBundle(
        made_at=documents.instant(time.time_ns() // 1_000_000),
        made_by=caller.name,
        version=package_version(),
        queue=documents.Queue.of(found),
        standing=await part("standing", of.standing()),
        incidents=await part("incidents", of.incidents()),
        findings=await part("findings", oms.examine(queue)),
        server=await part("server", of.server()),
        series=await part("series", of.series()),
        report=await part("report", of.report()),
        at_risk=await part("at_risk", of.at_risk()),
        failed=await part("failed", of.failed()),
        workers=await part("workers", of.workers()),
        undelivered=await part("undelivered", of.undelivered()),
        audit=await part("audit", of.audit()),
        left_out=left_out,
    )


def as_file(bundle: documents.IncidentBundle) -> bytes:
    """Return a bundle as people and programs read it: indented JSON, in printable characters."""
    return msgspec.json.format(text.to_json(bundle), indent=2).encode() + b"\n"


def file_name(bundle: documents.IncidentBundle) -> str:
    """Return what its file is called: the queue, and when it was made."""
    made = "".join(filter(str.isalnum, (bundle.made_at or "").partition(".")[0]))
    return f"incident-{bundle.queue.name}-{made}.json"


class _Queue:
    """One queue, for one caller; each part by itself, so that none that fails hides another."""

    def __init__(
        self, oms: AsyncOMSClient, name: str, caller: Principal, redactor: Redactor
    ) -> None:
        self._oms = oms
        self._name = name
        self._caller = caller
        self._redactor = redactor

    async def standing(self) -> documents.Glance:
        (found,) = await self._oms.board().look([self._name])
        return documents.Glance.of_standing(found)

    async def incidents(self) -> list[documents.Incident]:
        found = await self._oms.sla.incidents(self._name)
        return [documents.Incident.of(one) for one in found]

    async def server(self) -> list[Finding]:
        self._caller.require_everywhere(Permission.VIEW)  # it is no single queue's
        return await self._oms.examine()

    async def series(self) -> documents.Series:
        return documents.Series.of(await self._oms.series(self._name, since="6h"))

    async def report(self) -> documents.Report:
        (found,) = await self._oms.sla.report([self._name], since="24h", worst=MOST_MISSES)
        return documents.Report.of(found)

    async def at_risk(self) -> list[documents.Task]:
        found = await self._oms.sla.at_risk(self._name, limit=MOST_AT_RISK)
        return [documents.Task.of(self._visible(one)) for one in found]

    async def failed(self) -> list[documents.FailedKind]:
        stats = await self._oms.stats(self._name)
        kinds = await kinds_of(self._oms, stats, _FAILED_LOOKED_AT, self._visible)
        return [await self._kind(kind) for kind in kinds[:MOST_KINDS]]

    async def _kind(self, kind: Kind) -> documents.FailedKind:
        sample: documents.Task | None = None
        with suppress(TaskNotFound):  # it was requeued and forgotten
            sample = documents.Task.of(self._visible(await self._oms.get_task(kind.sample)))
        return documents.FailedKind(
            fingerprint=kind.fingerprint,
            error_type=kind.error_type,
            words=kind.words,
            count=kind.count,
            retrying=kind.retrying,
            first_at=documents.instant(kind.first_ms),
            last_at=documents.instant(kind.last_ms),
            sample=sample,
        )

    async def workers(self) -> list[documents.Worker]:
        found = [card for card in await self._oms.workers() if self._name in card.queues]
        return [documents.Worker.of(card.visible(self._caller.reaches)) for card in found]

    async def undelivered(self) -> list[documents.Message]:
        found = await self._oms.sla.undelivered(self._name, limit=MOST_MESSAGES)
        return [documents.Message.of(one.visible(self._redactor)) for one in found]

    async def audit(self) -> list[documents.AuditEntry]:
        self._caller.require(Permission.ADMINISTER, self._name)
        page = await self._oms.audit(self._name, limit=MOST_ACTS)
        return [documents.AuditEntry.of(one) for one in page.entries]

    def _visible(self, task: TaskRecord) -> TaskRecord:
        return self._redactor.visible(task, payload=False)
