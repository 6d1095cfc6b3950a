"""What the tests of the API share."""

from typing import Any, cast

import httpx


def is_problem(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """Return the problem that an answer is."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = cast("dict[str, Any]", answer.json())
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["type"] == f"urn:hms:problem:{problem['code']}"
    if code is not None:
        assert problem["code"] == code
    return problem
