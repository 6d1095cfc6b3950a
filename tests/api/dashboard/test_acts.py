"""Acts by the browser's way: a page that asks, the form on it, what was done, and who did it."""

import os
import re
import shlex
import sys
from collections.abc import Awaitable, Callable
from html import unescape

import anyio
import click
import httpx
import pytest

from hms_async import AsyncOMSClient, NewTask, Supervisor
from hms_async.api.dashboard import acts
from hms_async.cli.main import hms
from hms_async.domain.audit import AuditEntry
from hms_async.errors import MessageNotFound
from hms_async.runtime.promises import Promises
from tests.api.dashboard.support import do, enter, open_form, send
from tests.api.support import give_up
from tests.servers import Raw

Ready = Callable[[AsyncOMSClient], Awaitable[object]]


async def fail(oms: AsyncOMSClient, queue: str, message: str = "no answer in 7 s") -> str:
    """Let a new task fail; returns its id."""
    made = await oms.enqueue(queue, {"n": 1})
    task = await oms.pop_task(queue)
    assert task is not None
    await task.fail(message)
    return made.id


async def last_act(oms: AsyncOMSClient, queue: str | None = None) -> AuditEntry:
    return (await oms.audit(queue)).entries[0]


async def twins(http: httpx.AsyncClient, path: str) -> tuple[str, str]:
    """Return what a page that asks names as a command, and as a call."""
    command, call = re.findall(r"<code>(.*?)</code>", (await http.get(f"/ui{path}")).text)
    return unescape(command), unescape(call)


async def post(http: httpx.AsyncClient, call: str) -> httpx.Response:
    """Do what curl would."""
    curl, *options, _, data = shlex.split(call)
    assert (curl, options[:2]) == ("curl", ["-X", "POST"])
    return await http.post(options[2], content=data)


async def wait(oms: AsyncOMSClient) -> object:
    return await oms.enqueue("q", {"n": 1}, id="t1")


async def run(oms: AsyncOMSClient) -> object:
    await wait(oms)
    return await oms.pop_task("q")


async def cancel(oms: AsyncOMSClient) -> object:
    await wait(oms)
    return await oms.cancel("t1")


@pytest.mark.parametrize(
    ("ready", "act", "after"),
    [
        (wait, "cancel", ("cancelled", "cancelled")),
        (run, "cancel", ("asked", "in_progress")),
        (cancel, "requeue", ("requeued", "waiting")),
        (wait, "bump", ("bumped", "waiting")),
        (wait, "waive", ("waived", "waiting")),
        (run, "waive", ("waived", "in_progress")),
    ],
)
@pytest.mark.usefixtures("queue")
async def test_an_act_on_a_task_asks_acts_and_is_written_down(
    http: httpx.AsyncClient, oms: AsyncOMSClient, ready: Ready, act: str, after: tuple[str, str]
) -> None:
    did, state = after
    await ready(oms)
    assert f'href="/ui/t/t1/do/{act}"' in (await http.get("/ui/t/t1")).text

    asked = await open_form(http, f"/t/t1/do/{act}")
    assert "in q." in asked.page.text
    assert f"/oms/tasks/t1/{act}" in asked.page.text
    assert f"{act} t1 --reason" in asked.page.text
    answer = await send(http, asked, reason="the customer called")

    assert (answer.status_code, answer.headers["location"]) == (303, f"/ui/t/t1?did={did}")
    assert (await oms.get_task("t1")).state == state
    entry = await last_act(oms, "q")
    assert (entry.act, entry.task_id, entry.who, entry.via, entry.reason) == (
        act,
        "t1",
        "loopback",
        "dashboard",
        "the customer called",
    )
    page = (await http.get(answer.headers["location"])).text
    assert 'role="status"' in page
    assert ("by loopback: the customer called" in page) == (act == "cancel")
    # It cannot be done twice: there is no button any more, and the page says why not.
    assert f"/t/t1/do/{act}" not in (await http.get("/ui/t/t1")).text
    late = await http.get(f"/ui/t/t1/do/{act}")
    assert late.status_code == 409
    assert "It cannot be" in late.text
    again = await send(http, asked, reason="twice")
    assert again.status_code == 409
    assert (await last_act(oms, "q")).reason == "the customer called"


async def test_what_changed_between_page_and_answer_is_told_with_the_state_found(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await wait(oms)
    asked = await open_form(http, "/t/t1/do/bump")
    assert await oms.pop_task(queue) is not None

    late = await send(http, asked)

    assert late.status_code == 409
    assert "it is in progress" in late.text
    assert (await http.get("/ui/t/none/do/cancel")).status_code == 404
    assert (await http.get("/ui/t/t1/do/explode")).status_code == 400


async def test_a_requeued_task_may_begin_its_promise_anew(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    task_id = await fail(oms, queue)
    before = (await oms.get_task(task_id)).arrived_ms

    await do(http, f"/t/{task_id}/do/requeue", reset_clock="1")

    assert (await oms.get_task(task_id)).arrived_ms >= before


async def test_a_queue_is_paused_with_its_clock_and_goes_on(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    asked = await open_form(http, f"/q/{queue}/do/pause")
    silent = await send(http, asked, stop_clock="1")
    assert silent.status_code == 422
    assert "Say why" in silent.text
    assert not (await oms.stats(queue)).paused

    paused = await send(http, asked, stop_clock="1", reason="ledger down")
    assert paused.headers["location"] == f"/ui/q/{queue}?did=paused"
    stats = await oms.stats(queue)
    assert stats.paused
    assert stats.clock_stopped_ms is not None
    entry = await last_act(oms, queue)
    assert (entry.act, entry.via, entry.reason) == ("pause", "dashboard", "ledger down")
    assert (await send(http, asked, reason="once more")).status_code == 409
    for path in ("operations", f"q/{queue}"):
        page = (await http.get(f"/ui/{path}")).text
        assert "Paused by loopback <time" in page
        assert "</time> ago: ledger down" in page

    assert await do(http, f"/q/{queue}/do/resume") == f"/ui/q/{queue}?did=resumed"
    assert not (await oms.stats(queue)).paused
    assert (await http.get(f"/ui/q/{queue}/do/resume")).status_code == 409


async def test_a_purge_previews_and_goes_on_in_the_background(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    assert (await http.get(f"/ui/q/{queue}/do/purge")).status_code == 409
    await oms.enqueue_many(queue, range(3))
    assert await oms.pop_task(queue) is not None

    asked = await open_form(http, f"/q/{queue}/do/purge")
    assert "Purge: 2 tasks" in asked.page.text
    assert f"hms queue purge {queue}" in asked.page.text
    answer = await send(http, asked, reason="a test batch")

    where, _, query = answer.headers["location"].partition("?")
    assert query == "did=begun&n=2"
    operation = await oms.operations.wait(where.rpartition("/")[2], "20s")
    assert (operation.act, operation.done, operation.rate) == ("purge", 2, None)
    assert (operation.by.via, operation.by.reason) == ("dashboard", "a test batch")
    stats = await oms.stats(queue)
    assert (stats.cancelled, stats.in_progress) == (2, 1)
    told = (await http.get(answer.headers["location"])).text
    assert "Begun, for 2 tasks." in told
    assert "Done to 2 tasks." in told


async def test_the_ticked_are_acted_on_and_no_others(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    for name in ("a", "b", "c"):
        await oms.enqueue(queue, 1, id=name)
    page = (await http.get(f"/ui/q/{queue}/tasks")).text
    assert page.count('name="id"') == 3
    assert f'formaction="/ui/q/{queue}/tasks/do/cancel"' in page

    nothing = await http.get(f"/ui/q/{queue}/tasks/do/cancel?ticked=1&state=waiting")
    assert nothing.status_code == 409
    assert "Nothing is ticked" in nothing.text
    asked = await open_form(http, f"/q/{queue}/tasks/do/cancel?ticked=1&state=waiting&id=a&id=c")
    assert "2 tasks" in asked.page.text
    await oms.cancel("c")
    location = await do(
        http, f"/q/{queue}/tasks/do/cancel?ticked=1&state=waiting&id=a&id=c", reason="wrong ones"
    )

    operation = await oms.operations.wait(_id_in(location), "20s")
    assert (operation.where.ids, operation.done) == (("a", "c"), 1)
    assert (await oms.get_task("a")).state == "cancelled"
    assert (await oms.get_task("b")).state == "waiting"
    gone = await http.get(f"/ui/q/{queue}/tasks/do/cancel?ticked=1&state=waiting&id=a")
    assert gone.status_code == 409
    assert "is waiting now" in gone.text


def _id_in(location: str) -> str:
    return location.partition("?")[0].rpartition("/")[2]


@pytest.mark.parametrize("act", ["cancel", "bump", "waive", "requeue"])
async def test_all_matching_are_acted_on_at_a_rate(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str, act: str
) -> None:
    state = "failed" if act == "requeue" else "waiting"
    if act == "requeue":
        await fail(oms, queue)
    else:
        await oms.enqueue(queue, 1)
    path = f"/q/{queue}/tasks/do/{act}?state={state}"
    asked = await open_form(http, path)
    assert f"op start {act} -Q {queue} --where state={state}" in asked.page.text

    odd = await send(http, asked, reason="why", rate="1e3")
    assert odd.status_code == 422
    location = (await send(http, asked, reason="why", rate="500")).headers["location"]

    operation = await oms.operations.wait(_id_in(location), "20s")
    assert (operation.act, operation.rate, operation.done) == (act, 500, 1)
    assert (operation.by.who, operation.by.via, operation.by.reason) == (
        "loopback",
        "dashboard",
        "why",
    )
    assert (await last_act(oms)).via in ("dashboard", "operation")


async def test_above_a_thousand_the_queue_is_to_be_typed(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await oms.enqueue_many(queue, range(1_001))
    asked = await open_form(http, f"/q/{queue}/tasks/do/cancel?state=waiting")
    assert 'name="typed"' in asked.page.text

    for typed in ("", "Q"):
        refused = await send(http, asked, typed=typed, reason="all of them")
        assert refused.status_code == 422
        assert f"Type {queue} to say" in refused.text
        assert 'value="all of them"' in refused.text
    begun = await send(http, asked, typed=queue)
    assert begun.status_code == 303
    operation = await oms.operations.get(_id_in(begun.headers["location"]))
    assert operation.matched == 1_001

    stopped = await do(http, f"/operations/{operation.id}/stop", reason="too many")
    assert stopped == f"/ui/operations/{operation.id}?did=stopping"
    ended = await oms.operations.wait(operation.id, "20s")
    assert ended.state == "stopped"
    late = await http.get(f"/ui/operations/{operation.id}/stop")
    assert late.status_code == 409
    assert "it is stopped" in late.text


class TestTrouble:
    """A late task, whose rung wants it moved to a queue that there is not."""

    @pytest.fixture
    async def late(self, oms: AsyncOMSClient) -> str:
        await oms.create_queue("late", sla="1ms", ladder=["100% escalate,reroute:nowhere"])
        await oms.enqueue("late", 1, id="t1")
        supervisor = Supervisor(oms.url)
        report = await supervisor.check_sla()
        while not report.rungs:
            report = await supervisor.check_sla()
        for event in report.rungs:
            await supervisor.escalate(event)
        return "late"

    async def test_an_incident_is_acknowledged_once(
        self, http: httpx.AsyncClient, oms: AsyncOMSClient, late: str
    ) -> None:
        path = f"/q/{late}/incidents/sla"
        assert f'href="/ui{path}"' in (await http.get(f"/ui/q/{late}")).text
        asked = await open_form(http, path)
        assert f"sla ack {late} sla" in asked.page.text
        answer = await send(http, asked, reason="on it")

        assert answer.headers["location"] == f"/ui/q/{late}?did=acknowledged"
        (incident, *_) = [one for one in await oms.sla.incidents(late) if one.kind == "sla"]
        assert (incident.state, incident.by, incident.reason) == (
            "acknowledged",
            "loopback",
            "on it",
        )
        entry = await last_act(oms, late)
        assert (entry.act, entry.via, entry.reason) == ("acknowledge", "dashboard", "on it")
        again = await send(http, asked, reason="me too")
        assert again.status_code == 409
        assert "loopback is at it already: on it" in again.text
        assert (await http.get(f"/ui/q/{late}/incidents/forecast")).status_code == 409

    async def test_a_message_that_nobody_took_is_tried_again_and_dropped(
        self, http: httpx.AsyncClient, oms: AsyncOMSClient, late: str
    ) -> None:
        (dead,) = await oms.sla.undelivered(late)
        page = (await http.get("/ui/operations")).text
        assert "there is no such queue" in page
        (link,) = set(re.findall(r'href="/ui([^"]+/messages/do/drop\?id=[^"]+)"', page))

        asked = await open_form(http, link)
        assert "there is no such queue" in asked.page.text
        assert (await send(http, asked)).status_code == 422  # nobody said why
        location = await do(http, f"/q/{late}/messages/do/again", reason="it exists now")
        assert location == "/ui/operations?did=sent_again&n=1"
        assert await oms.sla.undelivered(late) == []
        gone = await send(http, asked, reason="too late")
        assert gone.status_code == 409

        entry = await last_act(oms, late)
        assert (entry.act, entry.via, entry.reason) == ("send_again", "dashboard", "it exists now")
        assert dead.said.id in str(entry)

    async def test_a_message_that_somebody_else_deals_with_meanwhile_is_told(
        self,
        http: httpx.AsyncClient,
        oms: AsyncOMSClient,
        late: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        (dead,) = await oms.sla.undelivered(late)
        asked = await open_form(http, f"/q/{late}/messages/do/again?id={dead.said.id}")

        async def too_late(*_: object, **__: object) -> None:
            raise MessageNotFound(late, dead.said.id)

        monkeypatch.setattr(Promises, "act_on_undelivered", too_late)
        refused = await send(http, asked)
        assert refused.status_code == 409
        assert "It was too late" in refused.text

    async def test_no_secret_of_a_receivers_answer_is_shown(
        self, http: httpx.AsyncClient, oms: AsyncOMSClient
    ) -> None:
        (message,) = await give_up(oms, "late", "t1", error="answered: password=hunter2")
        for path in ("operations", f"q/late/messages/do/drop?id={message}"):
            page = (await http.get(f"/ui/{path}")).text
            assert "password=[redacted]" in page
            assert "hunter2" not in page

    async def test_what_is_known_of_it_is_a_file_for_a_ticket(
        self, http: httpx.AsyncClient, oms: AsyncOMSClient, late: str
    ) -> None:
        await oms.create_queue("calm", sla="1h")
        assert "bundle" not in (await http.get("/ui/q/calm")).text
        link = f'href="/ui/q/{late}/bundle" download>Download incident bundle</a>'
        assert link in (await http.get("/ui/")).text
        page = (await http.get(f"/ui/q/{late}")).text
        assert link in page
        assert f"hms sla bundle {late} &gt; incident-{late}.json" in page
        (call,) = re.findall(r"curl -OJ (\S+/bundle)<", page)

        answer = await http.get(f"/ui/q/{late}/bundle")

        assert answer.headers["content-disposition"].startswith("attachment; filename=")
        told, same = answer.json(), (await http.get(call)).json()
        assert (told["queue"]["name"], told["made_by"]) == (late, "loopback")
        assert told.keys() == same.keys()
        assert told["audit"] == same["audit"]

    async def test_a_viewer_gets_the_file_of_their_queues(
        self, http: httpx.AsyncClient, oms: AsyncOMSClient, late: str
    ) -> None:
        await oms.create_queue("calm", sla="1h")
        await enter(http, oms, "viewer", queues=[late])

        told = (await http.get(f"/ui/q/{late}/bundle")).json()

        assert told["audit"] is None
        assert (await http.get("/ui/q/calm/bundle")).status_code == 403
        assert (await http.get(f"/oms/incidents/{late}/bundle")).status_code == 401

    async def test_all_of_a_queue_are_dropped(
        self, http: httpx.AsyncClient, oms: AsyncOMSClient, late: str
    ) -> None:
        location = await do(http, f"/q/{late}/messages/do/drop", reason="stale")

        assert location == "/ui/operations?did=dropped&n=1"
        assert "Let go of 1 message." in (await http.get(location)).text
        assert await oms.sla.undelivered(late) == []


class TestAgain:
    """Running a task again with another payload."""

    BIG = 2**70 + 1

    async def test_numbers_stay_exact_and_secrets_unseen(
        self, http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
    ) -> None:
        payload = {"account": self.BIG, "api_key": "hush-hush", "n": 1.5}
        await oms.enqueue(queue, payload, id="t1", correlation_id="REQ-1", priority="high")
        await enter(http, oms, "admin")
        asked = await open_form(http, "/t/t1/do/again")
        assert str(self.BIG) in asked.page.text
        assert "hush-hush" not in asked.page.text

        changed = f'{{"account": {self.BIG + 1}, "api_key": "[redacted]", "n": 2.5}}'
        form = {"payload": changed, "correlation_id": "REQ-1", "reason": "a new scan"}
        answer = await send(http, asked, **form)
        where, _, query = answer.headers["location"].partition("?")
        assert query == "did=again"
        made = await oms.get_task(where.rpartition("/")[2])

        assert made.payload == {"account": self.BIG + 1, "api_key": "hush-hush", "n": 2.5}
        assert (made.queue, made.correlation_id, made.priority) == (queue, "REQ-1", "high")
        # Two clicks make one task.
        twice = await send(http, asked, **form)
        assert twice.headers["location"] == answer.headers["location"]
        assert (await oms.stats(queue)).waiting == 2
        # It is one act, which says of which task, and the pages of both lead to the other.
        acts = [one for one in (await oms.audit(queue)).entries if one.act == "run_again"]
        assert [(one.task_id, one.via, one.reason, one.fields) for one in acts] == [
            (made.id, "dashboard", "a new scan", {"of": "t1"}),
        ]
        assert f'href="/ui/t/{made.id}"' in (await http.get("/ui/t/t1")).text
        assert 'href="/ui/t/t1"' in (await http.get(f"/ui/t/{made.id}")).text

    @pytest.mark.parametrize(
        ("payload", "said"),
        [
            ("{", "is not JSON"),
            ('{"note": "[redacted]"}', "$.note: [redacted] stands for nothing"),
            ("9" * 1_001, "more than 1,000 digits"),
            ("[" * 500 + "]" * 500, "deep"),
        ],
    )
    async def test_what_is_no_payload_is_said_and_kept(
        self, http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str, payload: str, said: str
    ) -> None:
        await oms.enqueue(queue, {"note": 1}, id="t1")
        asked = await open_form(http, "/t/t1/do/again")
        answer = await send(http, asked, payload=payload, reason="once more")

        assert answer.status_code == 422
        assert 'value="once more"' in answer.text
        assert said in answer.text
        assert payload[:10].replace('"', "&#34;") in answer.text
        assert (await oms.stats(queue)).waiting == 1

    @pytest.mark.parametrize("role", ["viewer", "operator"])
    async def test_it_takes_the_right_to_see_payloads(
        self, http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str, role: str
    ) -> None:
        await oms.enqueue(queue, 1, id="t1")
        await enter(http, oms, role, "producer")

        assert "/do/again" not in (await http.get("/ui/t/t1")).text
        assert (await http.get("/ui/t/t1/do/again")).status_code == 403


class TestMessageTwins:
    """The same act on messages that nobody took, on the command line and over REST."""

    @pytest.fixture
    def store_url(self, embedded_url: str) -> str:
        """A server that a command in a process of its own finds, too."""
        raw = Raw(embedded_url)
        raw("FLUSHALL")
        raw.close()
        return embedded_url

    @pytest.mark.parametrize("act", ["again", "drop"])
    @pytest.mark.parametrize("twin", ["hms", "curl"])
    @pytest.mark.parametrize("meant", [slice(1, 2), slice(0, 3)], ids=["one", "all"])
    async def test_it_does_what_the_button_would(
        self, base_url: str, oms: AsyncOMSClient, act: str, twin: str, meant: slice
    ) -> None:
        ids = await give_up(oms, "late", "t1", "t2", "t3")
        query = f"?id={ids[1]}" if len(ids[meant]) == 1 else ""
        async with httpx.AsyncClient(base_url=base_url, timeout=20) as http:
            command, call = await twins(http, f"/q/late/messages/do/{act}{query}")
            if twin == "hms":
                here = [sys.executable, "-m", "hms_async", *shlex.split(command)[1:]]
                await anyio.run_process(here, env={**os.environ, "HMS_URL": oms.url})
            else:
                assert (await post(http, call)).json() == {"queue": "late", "ids": ids[meant]}

        left = [one.said.id for one in await oms.sla.undelivered("late")]
        assert left == [one for one in ids if one not in ids[meant]]
        done = [one for one in (await oms.audit("late")).entries if "action" in one.fields]
        assert sorted(one.fields["action"] for one in done) == sorted(ids[meant])
        word = "send_again" if act == "again" else "drop"
        via = "cli" if twin == "hms" else "rest"
        assert {(one.act, one.via, one.reason) for one in done} == {(word, via, acts.WHY)}


async def test_the_twins_of_each_act_are_commands_and_calls_that_there_are(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await oms.enqueue_many(queue, [NewTask(n, id=f"t{n}") for n in range(9)])
    for n in (7, 8):
        await oms.cancel(f"t{n}")
    begun = await oms.operations.start("waive", queue, where={"ids": ["t0"]}, rate=1)
    paths = [
        *("/t/t1/do/cancel", "/t/t2/do/bump", "/t/t3/do/waive", "/t/t7/do/requeue"),
        *("/t/t4/do/again", f"/operations/{begun.id}/stop"),
        *(f"/q/{queue}/do/pause", f"/q/{queue}/do/purge"),
        f"/q/{queue}/tasks/do/waive?state=waiting&id=t4&id=t5",
        f"/q/{queue}/tasks/do/requeue?state=cancelled",
    ]
    for command, call in [await twins(http, path) for path in paths]:
        group: click.Command = hms
        name, *words = shlex.split(command)
        assert name == "hms"
        while isinstance(group, click.Group):
            found = group.get_command(click.Context(group), words[0])
            assert found is not None, command
            group, words = found, words[1:]
        group.make_context(command, words)  # it takes them all

        answer = await post(http, call)
        assert answer.status_code in (200, 201, 202), (call, answer.text)


class TestForms:
    """What keeps forms of other pages out."""

    async def test_without_the_key_of_the_page_nothing_is_done(
        self, http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
    ) -> None:
        await wait(oms)
        asked = await open_form(http, "/t/t1/do/cancel")
        for fields in ({}, {"key": ""}, {"key": "0" * 32}):
            refused = await http.post(asked.action, data=fields)
            assert refused.status_code == 403
            assert "another page" in refused.text
        http.cookies.clear()
        assert (await send(http, asked)).status_code == 403
        assert (await oms.stats(queue)).waiting == 1

    async def test_a_page_of_another_origin_is_turned_away_at_the_door(
        self, http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
    ) -> None:
        await wait(oms)
        asked = await open_form(http, "/t/t1/do/cancel")
        refused = await http.post(
            asked.action, data=dict(asked.fields), headers={"Origin": "https://evil.example"}
        )
        assert refused.status_code == 403
        assert (await oms.stats(queue)).waiting == 1

    async def test_a_dialog_gets_the_question_alone(
        self, http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
    ) -> None:
        await wait(oms)
        part = await http.get("/ui/t/t1/do/cancel", headers={"x-part": "1"})
        assert part.text.lstrip().startswith("<main")
        assert part.cookies["hms_form_key"] in part.text
        assert queue in part.text

    async def test_what_an_address_says_was_done_is_never_its_own_words(
        self, http: httpx.AsyncClient, queue: str
    ) -> None:
        many = "9" * 99
        for query in ("did=You+won", "did=begun&n=<b>", "did=first&of=<b>", f"did=begun&n={many}"):
            page = (await http.get(f"/ui/q/{queue}?{query}")).text
            assert "You won" not in page
            assert "<b>&" not in page
            assert many not in page.partition('role="status"')[2].partition("</p>")[0]
