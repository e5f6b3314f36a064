"""Connection: uvicorn's WebSocket, with what many clients that read at their own pace ask of it."""

import contextlib
import socket
from asyncio.transports import BaseTransport

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from agentmon.views.serve.frames import head
from agentmon.views.serve.ws import FRAMES_EXTENSION

_GOING_AWAY = 1001
_LAST_WORDS_S = 0.3  # to take the closing frame
_UNSENT_BYTES = 128 << 10  # in the kernel, for a client that does not keep up


class Connection(WebSocketsSansIOProtocol):
    """Messages of the hub go out as they were encoded, many in one write; a client that answers no ping is cut off
    even where it does not read what would close it; at the server's end clients are told that it goes away."""

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            with contextlib.suppress(OSError, AttributeError):  # not TCP, or not Linux
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.scope["extensions"][FRAMES_EXTENSION] = {"send": self._send_frames}

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True  # it was refused, and that is all: no fault of the application

    async def _send_frames(self, payloads: list[bytes]) -> None:
        """Send text messages. Waits while the client does not take them; raises ClientDisconnected when it has gone."""
        await self.writable.wait()
        if self.disconnected or self.close_sent or self.transport.is_closing():
            raise ClientDisconnected
        self.transport.write(b"".join(part for payload in payloads for part in (head(len(payload)), payload)))

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.conn.fail(1007)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()

    def shutdown(self) -> None:
        if not self.handshake_complete or self.close_sent:
            super().shutdown()
            return
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": _GOING_AWAY})
        self.conn.send_close(_GOING_AWAY)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()
        self.loop.call_later(_LAST_WORDS_S, self.transport.abort)
