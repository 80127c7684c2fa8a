"""The files of the page, looked at without a browser."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from clipcap_cli.serving.page import page_files

FILES = page_files()
TEXTS = {address: file.path.read_text(encoding="utf-8") for address, file in FILES.items()}


class Tags(HTMLParser):
    """The tags of the page with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def tags() -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(TEXTS["/"])
    return parser.found


def test_every_file_is_used_and_every_file_that_is_used_is_there() -> None:
    used = {attributes.get("src") or attributes.get("href") for tag, attributes in tags() if tag in ("link", "script")}
    imported = {f"static/{name}" for text in TEXTS.values() for name in re.findall(r'from "\./([\w.]+)"', text)}
    assert {f"/{address}" for address in used | imported} | {"/"} == set(FILES)


def test_the_policy_has_nothing_to_forbid() -> None:
    assert not [tag for tag, _ in tags() if tag == "style"]
    assert all("src" in attributes for tag, attributes in tags() if tag == "script")
    assert not [name for _, attributes in tags() for name in attributes if name == "style" or name.startswith("on")]


def test_nothing_comes_from_elsewhere() -> None:
    named = [name for address, text in TEXTS.items() for name in re.findall(r"""["'(](?:https?:)?//[^"')]+""", text)]
    assert [name for name in named if "www.w3.org" not in name] == []


def test_no_text_becomes_html() -> None:
    ways = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|createContextualFragment|srcdoc")
    assert [address for address, text in TEXTS.items() if address.endswith(".js") and ways.search(text)] == []


def test_files_have_their_types() -> None:
    assert (FILES["/"].media_type, FILES["/static/page.js"].media_type) == ("text/html; charset=utf-8", "text/javascript; charset=utf-8")
    assert "/static/__init__.py" not in FILES
