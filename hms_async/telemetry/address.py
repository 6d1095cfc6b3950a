"""Where a process listens, as people write it."""

import socket
from typing import NamedTuple

from hms_async.errors import AddressInUse, ConfigInvalid

_HIGHEST = 65_535
HEALTH_PORT, METRICS_PORT = "--health-port", "--metrics-port"


class Bind(NamedTuple):
    """An address to listen on.

    Attributes:
        host: A name or a number of this machine.
        port: 0 lets the system choose.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str | int, *, option: str = "--bind", example: int = 8470) -> "Bind":
        """Return an address written as `HOST:PORT`, `[::1]:PORT` or `PORT`: on this machine only.

        Args:
            text: What was written.
            option: What gives it, for the error.
            example: A port that makes sense there.

        Raises:
            ConfigInvalid: If it is none.
        """
        host, _, port = str(text).rpartition(":")
        host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
        if not (port.isascii() and port.isdecimal()) or int(port) > _HIGHEST:
            raise ConfigInvalid(
                f"{option} {text!r} is no address: write HOST:PORT, such as 127.0.0.1:{example}"
            )
        return cls(host, int(port))

    @property
    def shown(self) -> str:
        """As it stands in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def listen(self, *, option: str = "--bind", backlog: int = 2_048) -> socket.socket:
        """Return a socket that listens there, and does not block.

        Raises:
            AddressInUse: If somebody else does, or it is none of this machine's.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        # Only where the protocol is told does asyncio switch off Nagle's algorithm: an answer's
        # body would wait 40 ms for the acknowledgement of its head.
        opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((self.host, self.port))
            opened.listen(backlog)
        except OSError as error:
            opened.close()
            raise AddressInUse(
                f"cannot listen on {self.shown}: {error.strerror or error}. "
                f"Choose another address with {option} HOST:PORT"
            ) from error
        opened.setblocking(False)  # noqa: FBT003  # the socket's own signature
        return opened


def health_bind(text: str | int | None) -> Bind | None:
    """Return where probes are answered, if anywhere.

    Raises:
        ConfigInvalid: If it is no address.
    """
    return None if text is None else Bind.parse(text, option=HEALTH_PORT, example=9465)


def metrics_bind(text: str | int | None) -> Bind | None:
    """Return where scrapers are answered, if anywhere.

    Raises:
        ConfigInvalid: If it is no address.
    """
    return None if text is None else Bind.parse(text, option=METRICS_PORT, example=9464)
