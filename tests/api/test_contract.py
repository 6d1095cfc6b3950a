"""What the OpenAPI document says of itself, and bodies that nobody foresaw."""

import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import product
from typing import Any, cast

import httpx
import msgspec
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as some

from hms_async import AsyncOMSClient
from hms_async.api.app import create_app
from hms_async.testing import memory_url

BODIES = 60
THERE = {
    "{task_id}": "nobody",
    "{queue}": "q",
    "{kind}": "sla",
    "{operation_id}": "nobody",
    "{message_id}": "nobody",
}


def document() -> dict[str, Any]:
    return create_app("memory://contract").openapi()


def test_each_schema_that_is_spoken_of_is_there_under_a_name_of_ours() -> None:
    text = msgspec.json.encode(document()).decode()
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    there = cast("dict[str, Any]", document()["components"]["schemas"])

    assert named - there.keys() == set()
    # Two structs of one name get those of their modules, which nothing refers to.
    assert [name for name in there if "." in name] == []


@asynccontextmanager
async def calling() -> AsyncGenerator[httpx.AsyncClient]:
    """Somebody who calls an API without a socket between; what it does not foresee is raised."""
    with memory_url() as url:
        app = create_app(url)
        transport = httpx.ASGITransport(app)
        async with (
            app.running(),
            AsyncOMSClient(url) as oms,
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            await oms.create_queue("q")
            yield client


scalars = (
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats()
    | some.text(max_size=8)
    | some.sampled_from(["q", "90s", "1h", 0, -1, 2**63, 2**64, 1e308, "\ud800", "0-0", "\x00"])
)
fields = some.sampled_from(
    ["queue", "queues", "tasks", "payload", "id", "token", "max", "worker", "result",
     "handoff", "delay", "eta", "reason", "retryable", "incarnation", "lane", "seq", "lease",
     "name", "sla", "ladder", "retry", "act", "where", "states", "ids", "rate", "dry_run"]
)  # fmt: skip
values = some.recursive(
    scalars,
    lambda inner: (
        some.lists(inner, max_size=3)
        | some.dictionaries(fields | some.text(max_size=4), inner, max_size=6)
    ),
    max_leaves=12,
)


def as_json(value: Any) -> bytes:
    """With what is JSON to some only: NaN, lone surrogates, numbers of any size."""
    return json.dumps(value).encode()


bodies = some.binary(max_size=64) | some.dictionaries(fields, values, max_size=6).map(as_json)
types = some.sampled_from(["application/json", "application/x-ndjson", "text/plain", ""])


def drawn() -> list[tuple[bytes, str]]:
    """Bodies with what they are said to be, the same in each run.

    They are drawn before any is sent, as Hypothesis wants all that goes on meanwhile to be its own.
    """
    found: list[tuple[bytes, str]] = []

    @settings(
        max_examples=BODIES,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],  # a busy machine's, not the bodies'
    )
    @given(some.tuples(bodies, types))
    def draw(one: tuple[bytes, str]) -> None:
        found.append(one)

    draw()
    return found


async def test_no_body_makes_a_route_fail_and_what_is_refused_is_refused_with_a_code() -> None:
    paths = [path for path, operations in document()["paths"].items() if "post" in operations]
    refused = 0
    async with calling() as http:
        for (body, media_type), path in product(drawn(), paths):
            where = re.sub(r"{\w+}", lambda name: THERE[name[0]], path)
            answer = await http.post(where, content=body, headers={"content-type": media_type})

            assert answer.status_code < 500, (path, body, answer.text)
            if answer.status_code >= 400:
                refused += 1
                assert answer.headers["content-type"] == "application/problem+json"
                problem = cast("dict[str, Any]", answer.json())
                assert problem["status"] == answer.status_code
                assert re.fullmatch(r"HMS-E\d{3}", problem["code"]), (path, body, problem)

    assert refused > len(paths) * BODIES / 2
