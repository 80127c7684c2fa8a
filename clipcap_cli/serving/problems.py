"""What a server answers when it cannot do what was asked: problem details (RFC 9457), one type for each kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"
_URN = "urn:clipcap:"


@dataclass(frozen=True)
class Kind:
    """A kind of problem: the end of its type, its status and its title."""

    name: str
    status: int
    title: str

    @property
    def type(self) -> str:
        """The type that programs go by."""
        return _URN + self.name


BAD_OPTION = Kind("bad-option", 400, "An option cannot be used")
BAD_REQUEST = Kind("bad-request", 400, "The request cannot be read")
NO_KEY = Kind("no-key", 401, "A key is needed")
NOT_FOUND = Kind("not-found", 404, "There is nothing at this address")
BAD_METHOD = Kind("bad-method", 405, "This address does not do that")
TOO_SLOW = Kind("too-slow", 408, "The request did not come in time")
TOO_LARGE = Kind("too-large", 413, "This is more than the server takes")
NO_PICTURE_TYPE = Kind("no-picture-type", 415, "The body is of no type that pictures come in")
UNREADABLE = Kind("unreadable-picture", 422, "The picture cannot be read")
QUEUE_FULL = Kind("queue-full", 429, "The server has enough to do")
HEADER_TOO_LARGE = Kind("header-too-large", 431, "The headers are more than the server reads")
BUG = Kind("bug", 500, "This is a bug of the server")
NOT_READY = Kind("not-ready", 503, "The server takes nothing now")
TOO_LATE = Kind("time-limit", 504, "The caption was not ready in time")

KINDS = (
    *(BAD_OPTION, BAD_REQUEST, NO_KEY, NOT_FOUND, BAD_METHOD, TOO_SLOW, TOO_LARGE, NO_PICTURE_TYPE, UNREADABLE, QUEUE_FULL, HEADER_TOO_LARGE),
    *(BUG, NOT_READY, TOO_LATE),
)


@dataclass(eq=False)
class ProblemError(Exception):
    """A request that is answered with a problem.

    Attributes:
        detail: one sentence about this one.
        headers: to be sent with it.
        more: members beside the usual ones.
    """

    kind: Kind
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.detail

    def as_json(self) -> dict[str, Any]:
        """The members of the answer."""
        return {"type": self.kind.type, "title": self.kind.title, "status": self.kind.status, "detail": self.detail, **self.more}

    def response(self) -> JSONResponse:
        """The answer."""
        return JSONResponse(self.as_json(), self.kind.status, dict(self.headers), MEDIA_TYPE)


def retry_after(seconds: float) -> dict[str, str]:
    """The header that says when to ask again: whole seconds, from one to a minute."""
    return {"Retry-After": str(max(1, min(60, round(seconds))))}


def of_status(status: int, detail: str | None, headers: Mapping[str, str] | None) -> ProblemError:
    """The problem for a status that the framework chose."""
    kind = next((kind for kind in KINDS if kind.status == status), Kind(f"http-{status}", status, HTTPStatus(status).phrase))
    return ProblemError(kind, detail or kind.title, headers or {})
