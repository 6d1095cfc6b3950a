"""Sockets that the API is served on."""

import socket

from hms_async.telemetry.address import Bind


def test_answers_leave_at_once() -> None:
    # asyncio switches off Nagle's algorithm on connections whose protocol it knows, and uvicorn
    # writes the head and the body of an answer one after the other: 40 ms would lie between.
    with Bind("127.0.0.1", 0).listen() as listening:
        assert listening.proto == socket.IPPROTO_TCP
