"""Carries one HTTP request to a target and its answer back, as an application load balancer does.

Bodies stream both ways; connections to targets are kept and used again. Nothing here knows of ministack.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import h11

CONNECT_S = 10.0
"""An application load balancer gives up on a connection to a target after this long (504)."""
CHUNK = 65536
READ_AHEAD = CHUNK
"""A request body of at most this length is read before a target is asked, so that it can be sent twice."""
MOST_KEPT = 64
"""Idle connections kept for one target."""

_REPEATABLE = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}
"""Methods that a kept connection may carry: when the target has closed it meanwhile, they are sent again."""

_HOP_BY_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade", b"expect",
               b"transfer-encoding"}  # fmt: skip

Headers = list[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class TargetError(Exception):
    """The target didn't answer properly; ``status`` is what the client gets (502, 504)."""

    def __init__(self, status: int, reason: str, *, sent: bool = True) -> None:
        super().__init__(reason)
        self.status = status
        self.sent = sent
        """Whether the target may have seen the request."""


class _Closed(Exception):
    """The target closed the connection, or sent what isn't HTTP, instead of an answer."""


class _Connection:
    """One connection to a target."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.state = h11.Connection(h11.CLIENT)
        self.used = False

    @classmethod
    async def open(cls, host: str, port: int) -> "_Connection":
        try:
            return cls(*await asyncio.wait_for(asyncio.open_connection(host, port, limit=CHUNK), CONNECT_S))
        except TimeoutError:
            reason = f"{host}:{port} took no connection within {CONNECT_S:.0f} s"
            raise TargetError(504, reason, sent=False) from None
        except OSError as error:
            raise TargetError(502, f"{host}:{port}: {error}", sent=False) from error

    def close(self) -> None:
        # The loop may be closing, too.
        with contextlib.suppress(Exception):
            self.writer.close()

    async def send(self, event: Any) -> None:
        data = self.state.send(event)
        if data:
            self.writer.write(data)
            await self.writer.drain()

    async def event(self, idle_s: float) -> Any:
        """The next event of the answer, at most ``idle_s`` after the last byte."""
        while (event := self.state.next_event()) is h11.NEED_DATA:
            try:
                data = await asyncio.wait_for(self.reader.read(CHUNK), idle_s)
            except TimeoutError:
                raise TargetError(504, f"the target was silent for {idle_s:.0f} s") from None
            self.state.receive_data(data)
        return event


class Forwarder:
    """Forwards requests; keeps idle connections, by target."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], list[_Connection]] = {}

    async def _connect(self, host: str, port: int, fresh: bool) -> _Connection:
        kept = self._kept.get((host, port), [])
        while kept and not fresh:
            connection = kept.pop()
            if not connection.reader.at_eof() and not connection.writer.is_closing():
                return connection
            connection.close()
        return await _Connection.open(host, port)

    def _keep(self, host: str, port: int, connection: _Connection) -> None:
        kept = self._kept.setdefault((host, port), [])
        if connection.state.our_state is h11.DONE and connection.state.their_state is h11.DONE:
            connection.state.start_next_cycle()
            connection.used = True
            if len(kept) < MOST_KEPT:
                kept.append(connection)
                return
        connection.close()

    def forget(self, targets: set[tuple[str, int]]) -> None:
        """Close the idle connections of all targets but these."""
        for gone in set(self._kept) - targets:
            for connection in self._kept.pop(gone):
                connection.close()

    async def forward(
        self, target: tuple[str, int], method: str, path: bytes, headers: Headers, idle_s: float,
        body: "Body", send: Send,
    ) -> None:  # fmt: skip
        """Send a request on and its answer back.

        An answer that breaks off leaves the client's answer unfinished, which tells the client so.
        Raises TargetError when nothing was sent to the client yet.
        """
        kept = [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]
        if body.expected and not any(name.lower() == b"content-length" for name, _value in kept):
            kept.append((b"transfer-encoding", b"chunked"))
        request = h11.Request(method=method, target=path, headers=kept)
        repeatable = method in _REPEATABLE and body.repeatable
        connection = await self._connect(*target, fresh=not repeatable)
        try:
            try:
                head = await _exchange(connection, request, idle_s, body)
            except _Closed as error:
                if not connection.used or not repeatable:
                    raise TargetError(502, f"the target made no sense: {error}") from error
                connection.close()
                connection = await self._connect(*target, fresh=True)
                try:
                    head = await _exchange(connection, request, idle_s, body)
                except _Closed as again:
                    raise TargetError(502, f"the target made no sense: {again}") from again
            complete = await _answer(connection, head, idle_s, body, send)
        except BaseException:
            connection.close()
            raise
        if complete:
            self._keep(*target, connection)
        else:
            connection.close()


class Body:
    """The body of a client's request. A short one is read ahead, so that it can be sent twice."""

    def __init__(self, receive: Receive, headers: Headers) -> None:
        self._receive = receive
        self._ahead: list[bytes] = []
        self._whole = False
        lengths = [value for name, value in headers if name == b"content-length"]
        chunked = any(name == b"transfer-encoding" for name, _value in headers)
        self._length = int(lengths[0]) if lengths else None if chunked else 0
        self.repeatable = self._length is not None and self._length <= READ_AHEAD

    async def read_ahead(self) -> None:
        while self.repeatable and not self._whole:
            self._ahead.append(await self._next())

    @property
    def expected(self) -> bool:
        """Whether there is a body at all."""
        return self._length != 0

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the client is gone")
        self._whole = not message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part

    async def parts(self) -> AsyncIterator[bytes]:
        for part in self._ahead:
            yield part
        while not self._whole:
            yield await self._next()

    async def gone(self) -> None:
        """Return when the client has closed the connection."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def _exchange(connection: _Connection, request: h11.Request, idle_s: float, body: Body) -> h11.Response:
    """Send a request; the head of its answer. Raises _Closed and TargetError."""
    try:
        if body.repeatable:
            await _send_request(connection, request, body)
            return await _head(connection, idle_s)
        # A target may answer before it has a long body, to refuse it.
        sending = asyncio.ensure_future(_send_request(connection, request, body))
        answering = asyncio.ensure_future(_head(connection, idle_s, sending))
        try:
            await asyncio.wait({sending, answering}, return_when=asyncio.FIRST_COMPLETED)
            return await answering
        finally:
            for task in (sending, answering):
                task.cancel()
            await asyncio.gather(sending, answering, return_exceptions=True)
    except (OSError, h11.ProtocolError) as error:
        raise _Closed(str(error) or type(error).__name__) from error


async def _send_request(connection: _Connection, request: h11.Request, body: Body) -> None:
    await connection.send(request)
    async for part in body.parts():
        if part:
            await connection.send(h11.Data(data=part))
    await connection.send(h11.EndOfMessage())


async def _head(
    connection: _Connection, idle_s: float, sending: "asyncio.Future[None] | None" = None
) -> h11.Response:
    while True:
        try:
            event = await connection.event(idle_s)
        except TargetError:
            if sending is None or sending.done():
                raise
            continue  # silent, because it is still being told
        if isinstance(event, h11.Response):
            return event
        if not isinstance(event, h11.InformationalResponse):
            raise _Closed("it closed the connection")


async def _answer(connection: _Connection, head: h11.Response, idle_s: float, body: Body, send: Send) -> bool:
    """Send the answer on; whether it was whole."""
    headers = [(name, value) for name, value in head.headers if name not in _HOP_BY_HOP and name != b"date"]
    await send({"type": "http.response.start", "status": head.status_code, "headers": headers})
    leaving: asyncio.Future[None] | None = None
    try:
        while True:
            event = connection.state.next_event()
            if event is h11.NEED_DATA:
                leaving = leaving or asyncio.ensure_future(body.gone())
                reading = asyncio.ensure_future(connection.event(idle_s))
                await asyncio.wait({reading, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    reading.cancel()
                    return False
                event = reading.result()
            if isinstance(event, h11.EndOfMessage):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return True
            if not isinstance(event, h11.Data):
                return False
            await send({"type": "http.response.body", "body": bytes(event.data), "more_body": True})
    except (TargetError, OSError, h11.ProtocolError):
        return False
    finally:
        if leaving:
            leaving.cancel()


async def status_of(host: str, port: int, path: str, timeout_s: float) -> int:
    """The status that a target answers a health check with. Raises TimeoutError, TargetError, OSError."""

    async def ask() -> int:
        connection = await _Connection.open(host, port)
        try:
            name = f"{host}:{port}"
            headers = [("Host", name), ("User-Agent", "ELB-HealthChecker/2.0"), ("Connection", "close"),
                       ("Accept-Encoding", "gzip, compressed")]  # fmt: skip
            await connection.send(h11.Request(method="GET", target=path, headers=headers))
            await connection.send(h11.EndOfMessage())
            return (await _head(connection, timeout_s)).status_code
        except (_Closed, h11.ProtocolError) as error:
            raise TargetError(502, str(error)) from error
        finally:
            connection.close()

    return await asyncio.wait_for(ask(), timeout_s)
