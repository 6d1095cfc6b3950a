"""What the event of an end says: a message and a hand-off, and where they are kept."""

import pytest

from hms_async.domain.handoff import Handoff
from hms_async.domain.retry import RetryPolicy
from hms_async.errors import ResultInvalid
from hms_async.storage.about import (
    NOTHING,
    About,
    decode_about,
    decode_abouts,
    encode_about,
    encode_handoff,
)
from hms_async.storage.events import START, EventReader
from hms_async.storage.replies import Settle
from hms_async.testing import ManualClock
from tests.storage.driver import FAULT, Driver

HANDOFF = Handoff("passport.renewal", "REQ-1", {"photo": "s3://sam.jpg", "é": [1, None]})
ABOUT = encode_about("Photo OK", encode_handoff(HANDOFF))


async def told(driver: Driver) -> dict[str | None, About]:
    """What the reader makes of the events, by task."""
    events = await EventReader(driver.store, driver.queue, START).read(1)
    return {event.task_id: About(event.message, event.handoff) for event in events}


async def done_together(driver: Driver, *arguments: str | bytes) -> list[dict[str, str]]:
    """Tasks `t00`, `t01`, ... that end as done in one call, and the entries that tell of it."""
    await driver.push(*[f"t{number:02}" for number in range(len(arguments))])
    claims = sorted(await driver.claim(len(arguments)))
    await driver.exchange(
        *[
            Settle(claim.id, claim.token, "done", argument, b"1")
            for claim, argument in zip(claims, arguments, strict=True)
        ]
    )
    return driver.raw.stream(driver.key("events"))


async def test_an_end_is_told_and_kept_with_what_its_worker_says(driver: Driver) -> None:
    (entry,) = await done_together(driver, ABOUT)

    assert entry == {"type": "done", "id": "t00", "about": ABOUT.decode()}
    assert driver.run("t00")["handoff"] == encode_handoff(HANDOFF).decode()
    assert await told(driver) == {"t00": About("Photo OK", HANDOFF)}
    record = await driver.store.task("t00")
    assert record is not None
    assert record.handoff == HANDOFF


async def test_who_says_nothing_pays_for_nothing(driver: Driver) -> None:
    (entry,) = await done_together(driver, "", b"")

    assert entry.keys() == {"type", "ids"}
    assert not any("handoff" in driver.run(task_id) for task_id in ("t00", "t01"))


async def test_ten_tasks_of_an_entry_say_each_its_own(driver: Driver) -> None:
    messages = ["" if number % 3 else f"note {number}" for number in range(12)]
    first, second = await done_together(driver, *[encode_about(text, b"") for text in messages])

    assert len(first["ids"].split()) == 10
    assert first["abouts"].startswith('[{"message":"note 0"},null,null,{"message"')
    assert second == {"type": "done", "ids": "t10 t11"}
    numbers = {f"t{number:02}": text or None for number, text in enumerate(messages)}
    assert {task: about.message for task, about in (await told(driver)).items()} == numbers


async def test_a_broken_text_of_a_foreign_worker_breaks_no_reader(driver: Driver) -> None:
    await done_together(driver, ABOUT, '{"message":"no end}', encode_about("lost with it", b""))

    assert await told(driver) == {"t00": NOTHING, "t01": NOTHING, "t02": NOTHING}
    assert [driver.run(task_id)["state"] for task_id in ("t00", "t01", "t02")] == ["done"] * 3
    record = await driver.store.task("t00")
    assert record is not None
    assert record.handoff == HANDOFF


@pytest.mark.parametrize("argument", ["5", "text", '"{}"', "[{}]", "null", "{", "}"])
async def test_what_is_no_object_is_not_told(driver: Driver, argument: str) -> None:
    first = encode_about("note", b"")
    (entry,) = await done_together(driver, first, argument)

    assert entry["abouts"] == f"[{first.decode()},null]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", NOTHING),
        ("null", NOTHING),
        ("[]", NOTHING),
        ("{", NOTHING),
        ("[" * 5_000, NOTHING),
        ('{"message":5,"handoff":"none"}', NOTHING),
        ('{"message":"","handoff":{"workflow":"w"}}', NOTHING),
        ('{"handoff":{"workflow":"w","key":"k","more":1},"message":"m"}', "m"),
        ('{"message":"' + "é" * 600 + '"}', "é" * 500),
    ],
)
def test_a_reader_takes_what_it_can_read(text: str, said: About | str) -> None:
    read = decode_about(text)

    assert said in (read, read.message)
    if said == "m":
        assert read.handoff == Handoff("w", "k")


@pytest.mark.parametrize("text", ["", "x", "{}", "[null]", "[null,null,null]", "[{},{]"])
def test_a_list_that_does_not_fit_its_tasks_says_nothing(text: str) -> None:
    assert decode_abouts(text, 2) == [NOTHING, NOTHING]


def test_a_message_is_cut_and_a_hand_off_comes_last() -> None:
    assert encode_about("é" * 501, b"") == b'{"message":"' + "é".encode() * 500 + b'"}'
    assert ABOUT.endswith(b'"handoff":' + encode_handoff(HANDOFF) + b"}")
    assert encode_about("", b"") == b""


def test_a_payload_that_is_no_json_is_named() -> None:
    with pytest.raises(ResultInvalid, match=r"^handoff\.payload\.at\[0\]: a value of type set"):
        encode_handoff(Handoff("w", "k", {"at": [set()]}))


async def test_words_that_look_like_a_hand_off_are_none(driver: Driver) -> None:
    await done_together(driver, encode_about('"handoff":{"workflow":"w","key":"k"}', b""))

    assert "handoff" not in driver.run("t00")


# Failures.


async def test_a_failure_tells_what_its_worker_says_or_else_its_fault(driver: Driver) -> None:
    await driver.push("said", "silent", "empty")
    claims = {claim.id: claim.token for claim in await driver.claim(3)}
    await driver.exchange(
        Settle("said", claims["said"], "fail", encode_about("not a photo", b""), FAULT),
        Settle("silent", claims["silent"], "fail", "", FAULT),
        Settle("empty", claims["empty"], "fail"),
    )

    messages = {task: about.message for task, about in (await told(driver)).items()}
    assert messages == {"said": "not a photo", "silent": "no", "empty": None}


@pytest.mark.parametrize("word", ["retry", "error"])
async def test_attempts_that_are_used_up_tell_the_last_fault(driver: Driver, word: str) -> None:
    await driver.create(retry=RetryPolicy(max_attempts=1))
    await driver.push("a")

    assert (await driver.settle(await driver.claim_one(), word, 0.5, FAULT)).state == "failed"
    assert await told(driver) == {"a": About("no")}


async def test_a_lost_lease_and_a_result_that_is_too_large_say_so(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(max_crashes=1, max_payload_bytes=10)
    await driver.push("lost", "large")
    lost, large = sorted(await driver.claim(2), key=lambda claim: claim.id, reverse=True)
    await driver.settle(large, "done", ABOUT, b"1" * 11)
    clock.advance("1m")
    await driver.sweep()

    assert lost.id == "lost"
    assert await told(driver) == {
        "lost": About("lease lost 1 time"),
        "large": About("the result has 11 bytes, the queue takes 10"),
    }


@pytest.mark.parametrize("fault", [b"x", b"5", b"{}", b'{"message":5}', b'{"message":"\xff"'])
async def test_a_fault_that_cannot_be_read_has_no_message(driver: Driver, fault: bytes) -> None:
    await driver.push("a")
    await driver.settle(await driver.claim_one(), "fail", "", fault)

    assert await told(driver) == {"a": NOTHING}


async def test_a_long_fault_is_cut_between_characters(driver: Driver) -> None:
    fault = '{"type":"E","message":"a' + "é" * 2_000 + '"}'
    await driver.push("a")
    await driver.settle(await driver.claim_one(), "fail", "", fault.encode())

    assert await told(driver) == {"a": About("a" + "é" * 499)}
    assert "\ufffd" not in driver.raw.stream(driver.key("events"))[0]["about"]


# Bounds, and what comes after the end.


async def test_r10_a_hand_off_that_is_too_large_fails_its_task(driver: Driver) -> None:
    await driver.create(max_payload_bytes=1_000)
    await driver.push("a", "b")
    first, second = await driver.claim(2)
    long = b'{"handoff":"' + b"x" * 5_100 + b'"}'

    assert (await driver.settle(first, "done", long, b"1")).state == "failed"
    assert (await driver.settle(second, "fail", long, FAULT)).state == "failed"
    assert await told(driver) == {
        first.id: About("message and hand-off have 5114 bytes, the queue takes 1000"),
        second.id: About("no"),
    }
    assert "handoff" not in driver.run(first.id)


async def test_a_cancelled_task_hands_nothing_off(driver: Driver) -> None:
    await driver.push("a")
    claim = await driver.claim_one()
    await driver.store.cancel("q", "a")

    assert (await driver.settle(claim, "release", ABOUT)).state == "cancelled"
    assert "handoff" not in driver.run("a")
    assert driver.events("cancelled") == [{"type": "cancelled", "id": "a"}]


async def test_a_hand_off_of_a_task_that_is_requeued_is_forgotten(driver: Driver) -> None:
    await driver.push("a")
    await driver.settle(await driver.claim_one(), "fail", ABOUT, FAULT)
    assert "handoff" in driver.run("a")

    assert await driver.store.requeue("q", "a") == "ok"
    assert "handoff" not in driver.run("a")


async def test_a_settle_that_is_sent_again_tells_nothing_twice(driver: Driver) -> None:
    await driver.push("a")
    claim = await driver.claim_one()

    answers = [(await driver.settle(claim, "done", ABOUT, b"1")).answer for _ in range(2)]

    assert answers == ["ok", "already"]
    assert len(driver.events("done")) == 1
