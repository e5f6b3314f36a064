"""HTTP: uvicorn's connection, that waits only so long for a request: not for ever for one that comes byte by byte."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 10.0  # from its first byte, or from the connection on


class HttpConnection(H11Protocol):
    """Ends where no request is being answered and none has come whole in time; what was answered before it was read
    to its end counts as one that has not come."""

    _waiting: asyncio.TimerHandle | None = None
    _is_upgraded = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        super().handle_websocket_upgrade(event)
        self._is_upgraded = True

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._wait_no_more()

    def _look(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        resting = self.timeout_keep_alive_task is not None
        if answering or resting or self._is_upgraded:
            self._wait_no_more()
        elif self._waiting is None and not self.transport.is_closing():
            self._waiting = self.loop.call_later(REQUEST_S, self.transport.close)

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
