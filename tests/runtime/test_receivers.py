import base64
import json
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from anyio import to_thread

from hms_async import ConfigInvalid, ReceiverFailed, verify_webhook
from hms_async.domain.sla import Severity
from hms_async.runtime import receivers
from hms_async.runtime.receivers import check_receiver_url, notify, post
from tests.runtime.receiver import Receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  # of the published examples
BODY = b'{"type":"sla.breach","queue":"q"}'
PATIENCE_S = 10.0
SHORT_S = 0.2
NOON_S = 1_792_929_600.0  # 2026-10-25 12:00:00 UTC


async def happens(event: threading.Event) -> None:
    assert await to_thread.run_sync(event.wait, PATIENCE_S)


def standing_at(now_s: float) -> Callable[[], float]:
    return lambda: now_s


async def failure(url: str, **options: Any) -> ReceiverFailed:
    with pytest.raises(ReceiverFailed) as caught:
        await post(url, SECRET, "m-1", BODY, **options)
    return caught.value


# Webhooks.


async def test_a_message_arrives_signed(receiver: Receiver) -> None:
    await post(receiver.url("/200?key=value#part"), SECRET, "m-1", BODY)

    [(path, headers, body)] = receiver.heard
    assert (path, body) == ("/200?key=value", BODY)
    assert headers["content-type"] == "application/json"
    assert headers["host"] == receiver.host
    assert "authorization" not in headers
    assert verify_webhook(SECRET, headers, body) == "m-1"


async def test_each_try_is_signed_anew_under_the_same_id(receiver: Receiver) -> None:
    for now_s in (NOON_S, NOON_S + 60.5):
        await post(receiver.url("/204"), ["new", "old"], "m-1", BODY, clock=standing_at(now_s))

    (_, first, _), (_, second, _) = receiver.heard
    assert first["webhook-id"] == second["webhook-id"]
    assert (first["webhook-timestamp"], second["webhook-timestamp"]) == ("1792929600", "1792929660")
    assert len(first["webhook-signature"].split()) == 2


async def test_a_user_and_password_in_the_url_are_sent_as_basic_authentication(
    receiver: Receiver,
) -> None:
    await post(f"http://me:s%40fe@{receiver.host}/200", SECRET, "m-1", BODY)

    [(_, headers, _)] = receiver.heard
    assert headers["authorization"] == "Basic " + base64.b64encode(b"me:s@fe").decode()


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 599])
async def test_what_may_pass_can_be_tried_again(receiver: Receiver, status: int) -> None:
    error = await failure(receiver.url(f"/{status}"))

    assert str(error) == f"receiver {receiver.host} answered {status}"
    assert (error.retryable, error.after_s) == (True, None)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
async def test_what_will_not_pass_cannot(receiver: Receiver, status: int) -> None:
    error = await failure(receiver.url(f"/{status}/7"))

    assert str(error) == f"receiver {receiver.host} answered {status}"
    assert (error.retryable, error.after_s) == (False, None)


@pytest.mark.parametrize(
    ("asked", "after_s"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("999999999", 3_600.0),
        ("Sun, 25 Oct 2026 12:00:30 GMT", 30.0),
        ("Sun, 25 Oct 2026 12:00:30 -0000", 30.0),
        ("Sun, 25 Oct 2026 11:00:00 GMT", 0.0),
        ("Mon, 25 Oct 2027 12:00:00 GMT", 3_600.0),
        ("soon", None),
        ("-7", None),
        ("7.5", None),
        ("9" * 5_000, None),
    ],
)
async def test_a_receiver_that_asks_for_time_gets_it_up_to_an_hour(
    receiver: Receiver, asked: str, after_s: float | None
) -> None:
    error = await failure(receiver.url(f"/429/{quote(asked)}"), clock=standing_at(NOON_S))

    assert (error.retryable, error.after_s) == (True, after_s)


async def test_a_redirect_is_refused_and_not_followed(receiver: Receiver) -> None:
    error = await failure(receiver.url("/302/elsewhere"))

    assert not error.retryable
    assert "answered 302: redirects are not followed" in str(error)
    assert "elsewhere" not in str(error)
    assert len(receiver.heard) == 1


async def test_a_server_that_never_answers_is_given_up_and_cut_off(receiver: Receiver) -> None:
    error = await failure(receiver.url("/silent"), timeout_s=SHORT_S)

    assert str(error) == f"receiver {receiver.host} did not answer within 200ms"
    assert error.retryable
    await happens(receiver.cut)


async def test_an_endless_answer_counts_by_its_status_and_is_not_read(receiver: Receiver) -> None:
    await post(receiver.url("/endless"), SECRET, "m-1", BODY)

    await happens(receiver.cut)


async def test_an_answer_that_stops_half_way_counts_by_its_status(receiver: Receiver) -> None:
    await post(receiver.url("/half"), SECRET, "m-1", BODY, timeout_s=PATIENCE_S)

    await happens(receiver.cut)


async def test_a_caller_that_is_cancelled_leaves_at_once(receiver: Receiver) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as group:
            group.start_soon(
                lambda: post(receiver.url("/silent"), SECRET, "m-1", BODY, timeout_s=1e6)
            )
            await happens(receiver.reached)
            group.cancel_scope.cancel()
        await happens(receiver.cut)


@pytest.mark.parametrize(
    ("path", "reason"), [("/hangup", "RemoteDisconnected"), ("/babble", "BadStatusLine")]
)
async def test_what_is_no_http_can_be_tried_again(
    receiver: Receiver, path: str, reason: str
) -> None:
    error = await failure(receiver.url(path))

    assert str(error) == f"receiver {receiver.host} did not answer: {reason}"
    assert error.retryable


async def test_a_refused_connection_can_be_tried_again() -> None:
    with socket.socket() as taken:  # and nobody listens
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        error = await failure(f"http://{host}/hook")

    assert str(error) == f"receiver {host} did not answer: Connection refused"
    assert error.retryable


async def test_https_is_spoken_and_checked(receiver: Receiver) -> None:
    error = await failure(f"https://{receiver.host}/200")

    assert isinstance(error.__cause__, ssl.SSLError)
    assert error.retryable
    assert receiver.heard == []


async def test_a_message_that_is_refused_before_it_is_sent_whole_is_refused_for_good() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1)
                connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(ReceiverFailed, match="answered 413") as caught:
            await post(url, SECRET, "m-1", b" " * 16_000_000)
        thread.join()

    assert not caught.value.retryable


async def test_no_message_shows_what_is_secret(receiver: Receiver) -> None:
    url = f"http://me:pass-word@{receiver.host}/%s?token=hidden"
    errors = [
        await failure(url % "404"),
        await failure(url % "500"),
        await failure(url % "302/there"),
        await failure(url % "babble"),
        await failure(url % "silent", timeout_s=SHORT_S),
    ]

    for error in errors:
        assert receiver.host in str(error)
        for hidden in ("me:", "pass-word", "hidden", "token", SECRET, SECRET[6:]):
            assert hidden not in str(error) + repr(error.__cause__)


@pytest.mark.parametrize(
    "url",
    [
        *("", "hooks.example.com", "/hook", "ftp://example.com/x", "http://", "http:///path"),
        *("http://ex ample.com", "http://example.com/a b", "http://example.com/\r\nx: 1"),
        *("http://example.com:port/", "http://example.com:99999/", "http://example.com:0/"),
        *("http://[::1/", "http://a..b/", "http://exämple.com/", "file:///etc/passwd"),
        *(None, 5, b"http://example.com"),
    ],
)
async def test_what_is_no_webhook_url_is_refused_before_anything_is_sent(url: Any) -> None:
    with pytest.raises(ConfigInvalid, match="absolute, of http or https"):
        check_receiver_url(url)
    with pytest.raises(ConfigInvalid, match="absolute, of http or https"):
        await post(url, SECRET, "m-1", BODY)


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.com", "HTTPS://example.com:8443/a?b=c#d", "http://[::1]:8080/x"),
        *("https://user:pass%20word@example.com/", "http://localhost"),
    ],
)
def test_a_webhook_url_is_taken_as_it_is(url: str) -> None:
    assert check_receiver_url(url) == url


async def test_a_bad_secret_or_id_is_the_senders_fault(receiver: Receiver) -> None:
    with pytest.raises(ConfigInvalid, match="goes on in base64"):
        await post(receiver.url("/200"), "whsec_!", "m-1", BODY)
    with pytest.raises(ConfigInvalid, match="cannot be a message id"):
        await post(receiver.url("/200"), SECRET, "m 1", BODY)
    assert receiver.heard == []


# Notices.


@pytest.mark.parametrize(
    ("severity", "word"),
    [
        ("info", "info"),
        ("error", "failure"),
        ("warning", "warning"),
        ("critical", "failure"),
    ],
)
async def test_a_notice_arrives_with_its_severity(
    receiver: Receiver, severity: Severity, word: str
) -> None:
    await notify([f"json://{receiver.host}/200"], "q is late", "5 <of> 7", severity)

    [(_, _, body)] = receiver.heard
    sent = json.loads(body)
    assert (sent["title"], sent["message"], sent["type"]) == ("q is late", "5 <of> 7", word)


async def test_those_that_fail_are_named_by_their_scheme_and_the_others_are_told(
    receiver: Receiver,
) -> None:
    urls = [
        f"json://me:pass-word@{receiver.host}/500",
        f"form://{receiver.host}/200",
        "nonsense://pass-word",
        "pass-word",
    ]
    with pytest.raises(ReceiverFailed) as caught:
        await notify(urls, "title", "body", "warning")

    assert str(caught.value) == (
        "3 of 4 notices were not taken: "
        "a URL without a scheme (Apprise can do nothing with this URL), "
        "json (refused, or not reached), "
        "nonsense (Apprise can do nothing with this URL)"
    )
    assert caught.value.retryable
    assert sorted(path for path, _, _ in receiver.heard) == ["/200", "/500"]


async def test_a_notice_that_can_never_be_sent_is_not_tried_again() -> None:
    with pytest.raises(ReceiverFailed) as caught:
        await notify(["nonsense://x"], "title", "body", "info")

    assert not caught.value.retryable


async def test_a_service_that_never_answers_is_given_up(receiver: Receiver) -> None:
    with pytest.raises(ReceiverFailed, match=r"json \(no answer within 200ms\)") as caught:
        await notify([f"json://{receiver.host}/silent"], "title", "body", "info", timeout_s=SHORT_S)

    assert caught.value.retryable


async def test_without_urls_nobody_is_told() -> None:
    await notify([], "title", "body", "info")


async def test_without_apprise_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        assert name == "apprise"

    monkeypatch.setattr(receivers, "find_spec", nothing)

    with pytest.raises(ConfigInvalid, match=r'pip install "hms-async\[notify\]"'):
        await notify(["json://localhost"], "title", "body", "info")
    # A queue may be set up where no notice is ever sent from.
    assert check_receiver_url("anything://x", kind="notify") == "anything://x"


def test_a_url_for_notices_is_one_that_apprise_knows() -> None:
    assert check_receiver_url("json://localhost/x", kind="notify") == "json://localhost/x"
    with pytest.raises(ConfigInvalid, match="Apprise can do nothing with this nonsense:// URL"):
        check_receiver_url("nonsense://x", kind="notify")
    for url in ("mailto:me@example.com", "", None):
        with pytest.raises(ConfigInvalid, match=r"of the form scheme://"):
            check_receiver_url(url, kind="notify")
