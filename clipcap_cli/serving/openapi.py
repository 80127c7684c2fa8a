"""The description of the server's addresses, as FastAPI makes it and with what it cannot know: how pictures are sent, and what each problem looks like."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from clipcap_cli._version import __version__
from clipcap_cli.serving import problems
from clipcap_cli.serving.problems import MEDIA_TYPE, Kind
from clipcap_cli.serving.schemas import Problem

RAW_TYPES = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff", "image/avif", "application/octet-stream")
_ABOUT = "Captions for pictures by captioners that were trained with clipcap. Pictures are sent; none is ever fetched from an address."
_PROBLEM = "#/components/schemas/Problem"
_RETRY = {"Retry-After": {"description": "Seconds after which to ask again.", "schema": {"type": "integer", "minimum": 1, "maximum": 60}}}
_BINARY = {"type": "string", "format": "binary"}

_FORM = {"type": "object", "required": ["image"], "properties": {"image": {"type": "array", "items": _BINARY, "minItems": 1}}}

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A file for each picture under any names of fields, or the bytes of one picture.",
        "content": {"multipart/form-data": {"schema": _FORM}, **{kind: {"schema": _BINARY} for kind in RAW_TYPES}},
    }
}


def answers(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """The problems that an address may answer with, by status."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        told: dict[str, Any] = {"description": kind.title, "content": {MEDIA_TYPE: {"schema": {"$ref": _PROBLEM}}}}
        if kind in (problems.QUEUE_FULL, problems.NOT_READY, problems.TOO_LATE):
            told["headers"] = _RETRY
        if kind is problems.NO_KEY:
            told["headers"] = {"WWW-Authenticate": {"description": "Bearer", "schema": {"type": "string"}}}
        if kind.status in found:
            told["description"] = f"{found[kind.status]['description']}, or: {kind.title[0].lower()}{kind.title[1:]}"
        found[kind.status] = told
    return found


def describe(app: FastAPI, *, needs_key: bool) -> dict[str, Any]:
    """The whole description; made once."""
    if app.openapi_schema is None:
        schema = get_openapi(title="clipcap", version=__version__, description=_ABOUT, routes=app.routes)
        for parameter in schema["paths"]["/v1/caption"]["post"]["parameters"]:
            parameter["schema"] = _without_null(parameter["schema"])
        if not needs_key:
            del schema["components"]["securitySchemes"]
            for operation in (operation for methods in schema["paths"].values() for operation in methods.values()):
                operation.pop("security", None)
        schema["components"].setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
        app.openapi_schema = schema
    return app.openapi_schema


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """What an option may be when it is given: an address has no null."""
    if "anyOf" not in schema:
        return schema
    [one] = [kind for kind in schema["anyOf"] if kind != {"type": "null"}]
    return {**one, "title": schema["title"], "description": schema["description"]}
