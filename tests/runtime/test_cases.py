"""`oms.case`: a case as the client tells it."""

import pytest

from hms_async import AsyncOMSClient, CaseNotFound, ConfigInvalid, TaskState


async def test_a_case_tells_its_tasks_and_where_it_is(oms: AsyncOMSClient) -> None:
    await oms.create_queue("kyc")
    await oms.create_queue("photo")
    first = await oms.enqueue("kyc", 1, correlation_id="REQ-1")
    task = await oms.pop_task("kyc")
    assert task is not None
    await task.complete("ok")
    second = await oms.enqueue("photo", 2, correlation_id="REQ-1")

    case = await oms.case("REQ-1")

    assert (case.correlation_id, [task.id for task in case.tasks]) == (
        "REQ-1",
        [first.id, second.id],
    )
    assert case.summary.counts == {TaskState.DONE: 1, TaskState.WAITING: 1}
    assert (case.summary.at.id, case.summary.at.queue) == (second.id, "photo")


async def test_an_unknown_case_is_an_error(oms: AsyncOMSClient) -> None:
    with pytest.raises(CaseNotFound) as caught:
        await oms.case("REQ-1")
    assert caught.value.correlation_id == "REQ-1"
    with pytest.raises(ConfigInvalid):
        await oms.case("REQ-1", limit=2_001)
