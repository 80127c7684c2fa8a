"""The shapes of answers, for the OpenAPI description."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class Problem(BaseModel):
    """Why something was not done (RFC 9457)."""

    type: str = Field(description="What programs go by: urn:clipcap:NAME.")
    title: str = Field(description="The kind of problem.")
    status: int = Field(description="The HTTP status that goes with it.")
    detail: str = Field(description="One sentence about this one.")
    results: list[dict[str, Any]] | None = Field(None, description="Of a request with several pictures, each with its own problem.")


class Candidate(BaseModel):
    """A caption that was considered."""

    text: str
    score: float = Field(description="Log-probability / length ** length_penalty.")


class Captioned(BaseModel):
    """A picture with its caption."""

    name: str | None = Field(description="The name that it was sent under.")
    caption: str
    score: float
    candidates: list[Candidate] = Field(description="Best first; the first is the caption.")


class NotCaptioned(BaseModel):
    """A picture without one."""

    name: str | None
    problem: Problem


class Captions(BaseModel):
    """What came of each picture, in the order in which they were sent."""

    model: str
    results: list[Captioned | NotCaptioned]


class ModelEntry(BaseModel):
    """A model that is served."""

    name: str
    default: bool = Field(description="It is taken where none is named.")
    encoder: str
    language_model: str
    dataset: str | None = Field(description="What it was trained on.")
    decode: dict[str, Any] = Field(description="How it writes where nothing else is asked for.")


class RequestLimits(BaseModel):
    """What one request may have."""

    pictures: int
    picture_bytes: int
    request_bytes: int
    pixels: int = Field(description="Of one picture.")


class ModelList(BaseModel):
    """The models, and what may be asked of them."""

    models: list[ModelEntry]
    limits: RequestLimits
    bounds: dict[str, list[float]] = Field(description="The least and the greatest value of each number among the options.")


class Status(BaseModel):
    """How the server is."""

    status: str
