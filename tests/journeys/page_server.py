"""Servers that the page talks with: one that answers as the test says, picture by picture, and the real one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Lock, Semaphore, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from loopback import serving

from clipcap_cli.serving.page import page_files

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CAPTIONS = (("two apples on a plate", -0.31), ("a plate with apples", -0.42), ("there are apples, on a plate", -0.77))
DECODE = {
    **{"strategy": "beam", "beams": 5, "max_tokens": 40, "min_tokens": 1, "length_penalty": 1.0, "temperature": 1.0, "top_p": 0.9, "top_k": None},
    **{"samples": 1, "contrast": 0.6, "no_repeat_ngram": None, "repetition_penalty": 1.0, "banned": [], "required": []},
}
BOUNDS = {
    **{"beams": [1, 16], "candidates": [1, 16], "samples": [1, 16], "seed": [0, 2**32 - 1], "max_tokens": [1, 128], "min_tokens": [1, 128]},
    **{"temperature": [0.05, 5.0], "top_p": [0.01, 1.0], "top_k": [1, 1000], "contrast": [0, 1], "length_penalty": [0, 5], "repetition_penalty": [1, 10]},
}
PATIENCE = 10  # seconds, after which a test has failed anyway
HANGS_UP = 0  # a status for a connection that breaks


@dataclass(frozen=True)
class Answer:
    """What a picture is answered: captions, or a problem."""

    status: int = 200
    captions: tuple[tuple[str, float], ...] = CAPTIONS
    detail: str = ""
    wait: str | None = None


@dataclass
class PageServer:
    """How it answers, and what it was asked.

    Attributes:
        answers: of a picture's name, the first first; the last one stays. Others are captioned.
        key: that it asks for.
        down: whether it breaks every connection.
        permits: how many pictures may be answered, where that is limited; the others wait.
        asked: name and options of every picture that was sent, but for those without the key.
        most: pictures that were on their way at once.
    """

    address: str = ""
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    key: str | None = None
    down: bool = False
    permits: Semaphore | None = None
    picture_bytes: int = 20_000_000
    models: list[dict[str, Any]] = field(default_factory=lambda: [{"name": "quickstart", "default": True, "dataset": "food", "decode": DECODE}])
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    most: int = 0
    lock: Lock = field(default_factory=Lock)
    running: int = 0

    def answer(self, name: str, options: dict[str, str]) -> Answer:
        with self.lock:
            self.asked.append((name, options))
            self.running += 1
            self.most = max(self.most, self.running)
            planned = self.answers.get(name, [Answer()])
            answer = planned.pop(0) if len(planned) > 1 else planned[0]
        if self.permits:
            self.permits.acquire(timeout=PATIENCE)
        with self.lock:
            self.running -= 1
        return answer


@contextmanager
def page_server() -> Iterator[PageServer]:
    """It, while the block runs."""
    state = PageServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            file = page_files().get(path)
            if state.down and not file:
                self._hang_up()
            elif file:
                self._reply(200, file.path.read_bytes(), file.media_type)
            elif path == "/healthz":
                self._reply_json(200, {"status": "alive"})
            elif self._may():
                self._reply_json(200, {"models": state.models, "limits": {"pictures": 32, "picture_bytes": state.picture_bytes}, "bounds": BOUNDS})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if state.down:
                return self._hang_up()
            if not self._may():
                return None
            found = re.search(rb'name="image"; filename="([^"]*)"', body)
            assert found
            answer = state.answer(found[1].decode(), dict(parse_qsl(urlsplit(self.path).query)))
            if answer.status == HANGS_UP:
                return self._hang_up()
            if answer.status != 200:
                return self._problem(answer.status, answer.detail, {"Retry-After": answer.wait} if answer.wait else {})
            candidates = [{"text": text, "score": score} for text, score in answer.captions]
            result = {"name": None, "caption": candidates[0]["text"], "score": candidates[0]["score"], "candidates": candidates}
            return self._reply_json(200, {"model": "quickstart", "results": [result]})

        def _may(self) -> bool:
            if state.key is None or self.headers["Authorization"] == f"Bearer {state.key}":
                return True
            self._problem(401, "a key is needed", {"WWW-Authenticate": "Bearer"})
            return False

        def _hang_up(self) -> None:
            self.close_connection = True
            self.connection.close()

        def _problem(self, status: int, detail: str, headers: dict[str, str]) -> None:
            self._reply(
                status, json.dumps({"type": "urn:clipcap:x", "title": "x", "status": status, "detail": detail}).encode(), "application/problem+json", headers
            )

        def _reply_json(self, status: int, value: object) -> None:
            self._reply(status, json.dumps(value).encode(), "application/json")

        def _reply(self, status: int, body: bytes, media_type: str, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": media_type, "Content-Length": str(len(body)), "Content-Security-Policy": POLICY, **(headers or {})}.items():
                self.send_header(name, value)
            with suppress(ConnectionError):  # the page may have stopped, or be closed
                self.end_headers()
                self.wfile.write(body)

    with serving(Handler) as address:
        state.address = f"{address}/"
        yield state


@contextmanager
def real_server(home: Path, keys: Path) -> Iterator[str]:
    """The address of a server with the captioner in use, in a thread of this process, while the block runs."""
    from clipcap_cli.serving.app import create_app
    from clipcap_cli.serving.keys import read_keys
    from clipcap_cli.serving.models import find_models, load_models
    from clipcap_cli.serving.running import Server, configure, listen
    from clipcap_cli.serving.service import Service
    from clipcap_cli.storage.home import Home

    service = Service(keys=read_keys(keys))
    listening = listen("127.0.0.1", 0)
    server = Server(configure(create_app(service), service.settings), service)
    thread = Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        store = Home(home)
        service.serve(load_models(find_models((), store), store))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()
