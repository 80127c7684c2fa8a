"""The page at /docs: the OpenAPI description as plain HTML, made here, with no script."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import jinja2

_FILES = resources.files(__name__)


def docs_page(description: dict[str, Any]) -> str:
    """The page for an OpenAPI description."""
    template = _FILES.joinpath("page.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(about=description)


@cache
def docs_style() -> str:
    """Its style sheet."""
    return _FILES.joinpath("style.css").read_text(encoding="utf-8")
