"""The API beside its own OpenAPI document: nothing is answered that the document does not say."""

from collections import defaultdict
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as some
from hypothesis.errors import Unsatisfiable
from schemathesis import checks as common
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from hms_async import AsyncOMSClient
from tests.process.rest import Server
from tests.process.test_protocol_worker import Crew

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

EXAMPLES = 10
MORE = {  # which take and give several kinds
    "POST /oms/enqueue": 40,
    "POST /oms/complete": 24,
    "POST /oms/fail": 24,
    "POST /oms/retry": 24,
}
_common: Any = common  # their own types are not whole
_checks: Any = checks
CHECKS: list[Any] = [
    _common.not_a_server_error,
    _checks.status_code_conformance,
    _checks.content_type_conformance,
    _checks.response_schema_conformance,
]
ENDLESS = "GET /oms/events"
AFTER_A_RUNG = {  # they are about what a supervisor has said
    "POST /oms/incidents/{queue}/{kind}/acknowledge",
    "POST /oms/sla/{queue}/undelivered/{message_id}/again",
    "POST /oms/sla/{queue}/undelivered/{message_id}/drop",
}
DURATIONS = ("delay", "sla", "expires_in", "max_wait", "run_timeout", "lease", "base", "cap")

Choose = Callable[[list[Any]], Any]
load: Any = schemathesis.openapi.from_url  # its own types are not whole


@pytest.fixture
def server(url: str, tmp_path: Path) -> Generator[Server]:
    processes = Crew(url, tmp_path)
    yield Server(processes)
    processes.close()


class Aim:
    """Puts what there is where generated requests would name nothing that exists.

    Args:
        there: For each field, what there is.
    """

    def __init__(self, there: dict[str, list[Any]]) -> None:
        self._there = there

    def at(self, case: Any, choose: Choose) -> None:
        """Let a request that the schema allows be about something."""
        for part in (case.path_parameters, case.query, case.body):
            self._point(part, choose)

    def _point(self, part: Any, choose: Choose) -> None:
        if isinstance(part, list):
            for one in part:  # pyright: ignore[reportUnknownVariableType]
                self._point(one, choose)
        elif isinstance(part, dict):
            fields = cast("dict[str, Any]", part)
            for name in fields:
                if name in self._there:
                    fields[name] = choose(self._there[name])
                else:
                    self._point(fields[name], choose)


def be_quick(case: Any) -> None:
    """Let no request wait: that is not what is asked here."""
    body: object = case.body
    if case.operation.label == "POST /oms/pop" and isinstance(body, dict):
        cast("dict[str, Any]", body).pop("wait", None)
    if case.operation.label == "GET /oms/tasks/{task_id}/wait":
        case.query.setdefault("timeout", "0")


async def furnish(oms: AsyncOMSClient, http: httpx.AsyncClient) -> dict[str, list[Any]]:
    """Make something of each kind, and return what there is."""
    for name in ("q", "gone", "empty", "kept"):
        await oms.create_queue(name, sla="1s", lease="1h")
    await oms.enqueue("empty", {}, correlation_id="REQ-1", delay="1h")
    many = await oms.enqueue_many("q", [{"file": "sam.jpg"}] * 12)
    kept = await oms.enqueue_many("kept", [{"file": "sam.jpg"}] * 100)
    asked = {"queue": "q", "max": 9, "worker": "w"}
    held = (await http.post("/oms/pop", json=asked)).json()["tasks"]
    leases = [{"id": one["id"], "token": one["token"]} for one in held]
    await http.post("/oms/complete", json={"tasks": leases[:3]})
    await http.post("/oms/fail", json={"tasks": [one | {"reason": "r"} for one in leases[3:6]]})
    begun = await oms.operations.start("bump", "kept", where={"states": ["waiting"]}, rate=1)
    ids = [one.id for one in (*many, *kept[:8])]
    return {
        "queue": ["q", "q", "empty", "gone"],
        "queues": [["q"], ["empty", "q"], ["nowhere"]],
        "task_id": ids,
        "id": ids,
        "token": [held[8]["token"], "t-0-1.1"],
        "ids": [ids[:3], ["nobody"]],
        "operation_id": [begun.id, "nobody"],
        "correlation_id": ["REQ-1", "REQ-2"],
        "kind": ["sla", "forecast"],
        "name": ["other", "q"],
        "ladder": [None, ["breach@100%=escalate"]],
        "incarnation": ["0123456789abcdef"],
        "states": [["waiting"], ["failed", "done"]],
        "rate": [10, None],
        "wait": [0],
        "timeout": ["0", "10ms"],
        **{name: ["90s", 30, "2h"] for name in DURATIONS},
    }


def faults_of(url: str, operation: Any, aim: Aim, statuses: set[int]) -> dict[str, str]:
    """Ask one operation many things; return what was wrong with answers, each with an example."""
    found: dict[str, str] = {}

    def ask(case: Any) -> None:
        be_quick(case)
        answer = case.call(base_url=url)
        statuses.add(answer.status_code)
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as group:
            for one in group.exceptions:
                found.setdefault(f"{operation.label}: {one}", case.as_curl_command())

    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

        @settings(
            max_examples=MORE.get(operation.label, EXAMPLES),
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        )
        @given(case=operation.as_strategy(generation_mode=mode), data=some.data())
        def run(case: Any, data: some.DataObject) -> None:
            if data.draw(some.integers(0, 3)):
                aim.at(case, lambda values: data.draw(some.sampled_from(values)))
            ask(case)

        try:
            run()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE, operation.label
    return found


async def test_no_answer_is_a_5xx_or_of_a_kind_that_the_document_does_not_tell(
    oms: AsyncOMSClient, server: Server
) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        aim = Aim(await furnish(oms, http))
    schema = load(f"{server.url}/oms/openapi.json")
    statuses: defaultdict[str, set[int]] = defaultdict(set)
    faults: dict[str, str] = {}
    operations = [found.ok() for found in schema.get_all_operations()]
    for operation in sorted(operations, key=lambda one: one.label.startswith("DELETE")):
        if operation.label != ENDLESS:
            faults |= faults_of(server.url, operation, aim, statuses[operation.label])

    assert faults == {}
    # It was about something: each operation has also done what it is for.
    idle = {label for label, seen in statuses.items() if not seen & {200, 201, 202, 207}}
    assert idle <= AFTER_A_RUNG
