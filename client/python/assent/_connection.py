"""One connection to a node: Thrift's framed transport and binary protocol over a socket of our own, which knows
whether anything of a request may have left, and waits for an answer in pieces."""

from __future__ import annotations

import io
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
from thrift.transport.TTransport import TTransportBase

from ._wire import TransactionManager
from .errors import InvalidRequest

FRAME_BYTES_MAX = 2 * 1024 * 1024  # thrift/assent.thrift; a larger one ends the connection
CONNECT_S = 1.0


class NotSent(Exception):
    """Nothing of the request left this process."""


class Unreachable(NotSent):
    """No connection was made."""


class Lost(Exception):
    """Something of the request may have left, and no answer came: it may have been done."""


def parse_address(text: str) -> tuple[str, int]:
    """Of "host:port" or "[::1]:port". Raises InvalidRequest."""
    host, colon, port = text.strip().rpartition(":") if isinstance(text, str) else ("", "", "")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise InvalidRequest(f"{text!r} is no address of a node: give host:port, like 127.0.0.1:7401")
    return host, int(port)


class _Frames(TTransportBase):
    """A frame out, a frame in."""

    def __init__(self) -> None:
        self._out, self._in = io.BytesIO(), io.BytesIO()

    def write(self, data: bytes) -> None:
        self._out.write(data)

    def flush(self) -> None:
        """The connection takes the frame."""

    def take(self) -> bytes:
        frame, self._out = self._out.getvalue(), io.BytesIO()
        return frame

    def give(self, frame: bytes) -> None:
        self._in = io.BytesIO(frame)

    def read(self, size: int) -> bytes:
        return self._in.read(size)


class Connection:
    """For one call at a time. After any error it is closed for good: Thrift's clients do not check whose answer it
    is that they read, so what comes late must find nobody."""

    def __init__(self, address: str) -> None:
        """Raises Unreachable."""
        self.address = address
        try:
            self._socket = socket.create_connection(parse_address(address), timeout=CONNECT_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (OSError, UnicodeError, InvalidRequest) as error:  # a node may name an address that is none
            reason = getattr(error, "strerror", None) or error
            raise Unreachable(f"cannot connect to {address}: {reason}") from error
        self._frames = _Frames()
        self._client = TransactionManager.Client(
            TMultiplexedProtocol(TBinaryProtocol(self._frames), "TransactionManager"))

    def stale(self) -> bool:
        """Whether the node closed it meanwhile, or says what nobody asked for."""
        return self._readable(0)

    def call(self, method: str, request: Any, timeout_s: float, patience_s: float,
             hopeless: Callable[[], str | None]) -> Any:
        """The reply. `hopeless` is asked each `patience_s` why it is not worth while to wait on; None if it is.
        Raises Lost, and InvalidRequest for what is too large for a frame: nothing of it left."""
        getattr(self._client, "send_" + method)(request)
        frame = self._frames.take()
        if len(frame) > FRAME_BYTES_MAX:
            raise InvalidRequest(f"the request has {len(frame):,} bytes, more than {FRAME_BYTES_MAX:,}: split it")
        deadline = time.monotonic() + timeout_s
        try:
            self._socket.settimeout(timeout_s)
            self._socket.sendall(struct.pack("!I", len(frame)) + frame)
            while not self._readable(min(patience_s, max(0.0, deadline - time.monotonic()))):
                if time.monotonic() >= deadline:
                    raise Lost(f"{self.address}: no answer in time")
                why = hopeless()
                # The last word of a leader that is there is worth more than the news: it may carry results.
                if why is not None and not self._readable(0):
                    raise Lost(f"{self.address}: {why}")
            self._frames.give(self._receive(deadline))
            return getattr(self._client, "recv_" + method)()
        except Lost:
            raise
        except Exception as error:  # a socket's, Thrift's, or whatever else bytes lead to that are no reply
            raise Lost(f"{self.address}: {error or type(error).__name__}") from error

    def close(self) -> None:
        self._socket.close()

    def _readable(self, timeout_s: float) -> bool:
        poll = select.poll()  # not select.select, which takes no descriptor from 1,024 on
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def _receive(self, deadline: float) -> bytes:
        (size,) = struct.unpack("!I", self._receive_bytes(4, deadline))
        if size > FRAME_BYTES_MAX:
            raise Lost(f"{self.address}: not a valid answer")
        return self._receive_bytes(size, deadline)

    def _receive_bytes(self, size: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < size:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            piece = self._socket.recv(size - len(data))
            if not piece:
                raise Lost(f"{self.address}: the node closed the connection")
            data += piece
        return bytes(data)
