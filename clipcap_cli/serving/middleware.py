"""What happens to every request: it gets an id and safe headers, is asked under a known name, is counted, and is written down in one line."""

from __future__ import annotations

import logging
import re
import time
import uuid
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clipcap_cli.serving.logs import log
from clipcap_cli.serving.problems import BAD_REQUEST, BUG, ProblemError
from clipcap_cli.serving.service import Service

HUNG_UP = 499  # the status that is counted where nobody was there to be answered
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Security-Policy": _POLICY}
_PRIVATE = "/v1"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


class Surroundings:
    """An ASGI middleware around all routes."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app = app
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        began, status = time.monotonic(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                sent = MutableHeaders(scope=message)
                sent["X-Request-Id"] = request_id
                if scope["path"].startswith(_PRIVATE):
                    sent["Cache-Control"] = "no-store"
                for name, value in _HEADERS.items():
                    sent.setdefault(name, value)
            await send(message)

        scope.setdefault("state", {})
        try:
            await self._answer(headers, scope, receive, send_with_headers)
        except ClientDisconnect:
            status = HUNG_UP
        except Exception as error:
            log("bug", level=logging.ERROR, error=error, id=request_id)
            if status == 0:  # nothing was sent yet
                await ProblemError(BUG, f"The request {request_id} failed; the server's log says where.").response()(scope, receive, send_with_headers)
        finally:
            self._record(scope, request_id, status or HUNG_UP, time.monotonic() - began)

    async def _answer(self, headers: Headers, scope: Scope, receive: Receive, send: Send) -> None:
        host = _name_of(headers.get("host", ""))
        if self.service.hosts is not None and host not in self.service.hosts:
            detail = f"This server, which needs no key, answers this machine alone, and not under the name {host[:80]!r}."
            await ProblemError(BAD_REQUEST, detail).response()(scope, receive, send)
        elif scope["method"] == "HEAD":  # what GET would answer; the connection leaves the body out
            asked = {**scope, "method": "GET"}
            await self.app(asked, receive, send)
            scope["route"] = asked.get("route")
        else:
            await self.app(scope, receive, send)

    def _record(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.service.metrics.requests.labels(route, method, status).inc()
        self.service.metrics.request_seconds.labels(route).observe(seconds)
        facts: dict[str, Any] = {"id": request_id, "method": method, "route": route, "status": status, "seconds": round(seconds, 4)}
        if "pictures" in scope["state"]:
            facts["pictures"] = scope["state"]["pictures"]
        log("request", **facts)


def _name_of(host: str) -> str:
    """The name in a Host header, without its port."""
    return (host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]).lower()
