"""uvicorn's HTTP connection with what it lacks: time for headers, a number of connections, and answers that programs can read to what is no HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from clipcap_cli.serving.logs import log
from clipcap_cli.serving.problems import BAD_REQUEST, HEADER_TOO_LARGE, MEDIA_TYPE, NOT_READY, TOO_SLOW, Kind, ProblemError
from clipcap_cli.serving.settings import Limits

_TOO_LARGE = 431  # what h11 says of headers that are too long


def connection_of(limits: Limits) -> type[asyncio.Protocol]:
    """The class of connections with these limits."""

    class Connection(_Connection):
        LIMITS = limits

    return Connection


class _Connection(H11Protocol):
    LIMITS: Limits

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: asyncio.TimerHandle | None = None  # for headers

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if len(self.connections) > self.LIMITS.connections:
            self._refuse(NOT_READY, "This server has as many connections as it takes.")
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_waiting()

    def send_400_response(self, msg: str) -> None:
        """Answer what could not be parsed."""
        too_large = self.conn.their_state is h11.ERROR and self._unparsed > self.LIMITS.header_bytes
        if too_large:
            self._refuse(HEADER_TOO_LARGE, f"The line and the headers of a request may have {self.LIMITS.header_bytes:,} bytes together.")
        else:
            self._refuse(BAD_REQUEST, "This is no HTTP that could be read.")

    @property
    def _unparsed(self) -> int:
        return len(self.conn.trailing_data[0])

    def _watch(self) -> None:
        """Headers that have begun, or that a new connection still owes, must be there in time. uvicorn itself waits for them for ever."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._waiting is None and not self.transport.is_closing():
            self._waiting = self.loop.call_later(self.LIMITS.header_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        if self._unparsed:
            self._refuse(TOO_SLOW, f"The headers were not there within {self.LIMITS.header_s:g} s.")
        else:
            self.transport.close()

    def _refuse(self, kind: Kind, detail: str) -> None:
        """Answer and hang up, where nothing was answered yet."""
        log("refused", status=kind.status, type=kind.name)
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps(ProblemError(kind, detail).as_json()).encode()
            headers = [("Content-Type", MEDIA_TYPE), ("Content-Length", str(len(body))), ("Connection", "close")]
            response = h11.Response(status_code=kind.status, headers=headers, reason=kind.title.encode())
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
