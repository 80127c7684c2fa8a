"""A page as one HTML file: no server, and no script, style or font from elsewhere.

A page has a folder with page.html.jinja, style.css and script.js, which go on from base.html.jinja, base.css and gallery.js here. The templates escape whatever
they are handed. The page's policy allows its own script and style, by their hashes, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from clipcap_cli._version import __version__
from clipcap_cli.storage.atomic import write_bytes
from clipcap_cli.words import count

_HERE = Path(__file__).parent


def write_page(path: Path, folder: Path, *, data: object, thumbnails: list[str], **values: object) -> None:
    """Write a page, wholly or not at all.

    Args:
        path: of the file; one that is there is replaced.
        folder: of the page's template, style and script.
        data, thumbnails: for the script, which reads them as JSON.
        values: for the template.

    Raises:
        StoreError: the file cannot be written.
    """
    environment = Environment(loader=FileSystemLoader([folder, _HERE]), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    style, script = (_both(_HERE / shared, folder / own) for shared, own in (("base.css", "style.css"), ("gallery.js", "script.js")))
    page = environment.get_template("page.html.jinja").render(
        count=count,
        now=datetime.now().astimezone(),
        clipcap=__version__,
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
        data=_json(data),
        thumbnails=_json(thumbnails),
        **values,
    )
    # A caption that came from a file of JSON may have half a surrogate in it, which UTF-8 has no bytes for.
    write_bytes(path, page.encode(errors="replace"))


def _both(shared: Path, own: Path) -> str:
    return f"{shared.read_text(encoding='utf-8')}\n{own.read_text(encoding='utf-8')}"


def _hash(text: str) -> str:
    """As a content security policy names what it allows."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _json(value: object) -> Markup:
    """JSON that can stand in a script element: nothing in it ends the element or begins a comment."""
    return htmlsafe_json_dumps(value, ensure_ascii=False, separators=(",", ":"))
