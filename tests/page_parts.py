"""What a page of pictures is made of, as an HTML parser sees it; and what hostile captions say."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

NASTY = [
    "</script><script>alert(1)</script>",
    "<!-- <script>",
    "\"quoted\" & 'so'",
    "تفاحة حمراء على طاولة",
    "🍎 on a 🍽️",
    "a\x00b\x1b[31mc\u2028d",
    "half \ud83c of one",
]

_SOURCES = ("src", "href", "action", "srcset", "data", "poster")


class PageParts(HTMLParser):
    """What a page is made of: elements with their attributes, and the texts of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data

    @property
    def data(self) -> dict[str, Any]:
        """What the page's script is given."""
        found: dict[str, Any] = json.loads(self.scripts[0])
        return found

    @property
    def thumbnails(self) -> list[str]:
        """A data URI of each picture."""
        found: list[str] = json.loads(self.scripts[1])
        return found

    def check_alone(self) -> None:
        """The page loads nothing from anywhere, and its policy lets nothing be loaded or run but what it was written with."""
        sources = [value for _, attributes in self.elements for name, value in attributes.items() if name in _SOURCES]
        assert sources
        assert all(value is not None and value.startswith(("data:", "#")) for value in sources)
        assert not {tag for tag, _ in self.elements} & {"iframe", "object", "embed", "base"}
        assert not any(name.startswith("on") or name == "style" for _, attributes in self.elements for name in attributes)
        policy = next(attributes["content"] for tag, attributes in self.elements if attributes.get("http-equiv") == "Content-Security-Policy")
        assert policy is not None
        assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
        assert "unsafe" not in policy


def page_parts(page: Path) -> PageParts:
    """Of a file."""
    return PageParts(page.read_text(encoding="utf-8"))
