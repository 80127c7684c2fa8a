"""The page at `/`, for people without a terminal: plain HTML, one style and a few scripts, with nothing from elsewhere and nothing to build.

`page.js` is where the scripts meet; what each of them is for is said in its first line. The theme is that of the other pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent
_THEME = _HERE.parents[1] / "datasets" / "pages" / "base.css"
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class PageFile:
    """A file of the page.

    Attributes:
        path: where it lies.
        media_type: with its charset.
    """

    path: Path
    media_type: str


def page_files() -> dict[str, PageFile]:
    """What the server gives out, by address: `/`, `/static/page.js`, … Nothing else is part of the page."""
    files = [_THEME, *sorted(path for path in _HERE.iterdir() if path.suffix in _MEDIA_TYPES)]
    return {"/" if path.name == "index.html" else f"/static/{path.name}": PageFile(path, _MEDIA_TYPES[path.suffix]) for path in files}
