"""The example under `examples/webhook`, against what is really sent."""

import base64
import re
import runpy
import threading
from collections.abc import Callable, Generator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hms_async import ReceiverFailed
from hms_async.domain.signature import sign
from hms_async.runtime.receivers import post

EXAMPLE = Path(__file__).parents[2] / "examples" / "webhook"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  # of the published examples
NOON_S = 1_792_929_600


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    example = runpy.run_path(str(EXAMPLE / "receiver.py"))
    with ThreadingHTTPServer(("127.0.0.1", 0), example["Receiver"]) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


async def test_it_prints_what_it_hears_once(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    for message_id in ("m-1", "m-1", "m-2"):
        await post(url, SECRET, message_id, b'{"type": "sla.breach"}')

    assert capsys.readouterr().out.splitlines() == [
        "m-1: {'type': 'sla.breach'}",
        "m-2: {'type': 'sla.breach'}",
    ]


async def test_it_refuses_what_another_signed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ReceiverFailed, match="answered 401") as caught:
        await post(url, "another secret", "m-1", b"{}")

    assert not caught.value.retryable
    assert capsys.readouterr().out.startswith("refused: webhook-signature does not match")


async def test_it_refuses_what_is_too_large(url: str) -> None:
    with pytest.raises(ReceiverFailed, match="answered 413"):
        await post(url, SECRET, "m-1", b" " * 1_048_577)


def test_the_eight_lines_of_the_readme_do_the_same() -> None:
    [code] = re.findall(r"```python\n(.+?)```", (EXAMPLE / "README.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102  # our own page
    verify: Callable[..., bool] = names["verify"]
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    headers = sign(["old", SECRET], "m-1", NOON_S, b"{}")

    for now_s, body, believed in (
        (NOON_S, b"{}", True),
        (NOON_S + 300, b"{}", True),
        (NOON_S + 301, b"{}", False),
        (NOON_S, b"{ }", False),
    ):
        names["time"] = SimpleNamespace(time=partial(float, now_s))
        assert verify(key, headers, body) is believed
