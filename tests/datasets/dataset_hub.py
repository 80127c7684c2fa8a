"""A hub of datasets on this machine: as much of it as streaming one needs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from loopback import commit_of, serving


@dataclass
class DatasetHub:
    """What lies there: files by path, of each dataset's newest commit; and what was asked for."""

    url: str = ""
    datasets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def commit(self, name: str) -> str:
        """The dataset's commit: forty digits that change with its files."""
        return commit_of(self.datasets[name])


@contextmanager
def running_dataset_hub() -> Iterator[DatasetHub]:
    """A hub that answers while the block runs."""
    hub = DatasetHub()
    with serving(type("Handler", (_Handler,), {"hub": hub})) as hub.url:
        yield hub


class _Handler(BaseHTTPRequestHandler):
    hub: DatasetHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.asked.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        api = re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?", path)
        file = re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        name = (api or file or {1: ""})[1]
        if name not in self.hub.datasets:
            self._json({"error": "Repository not found"}, 404, "RepoNotFound")
        elif (api or file)[3 if api else 2] not in (None, "main", self.hub.commit(name)):
            self._json({"error": "Invalid rev"}, 404, "RevisionNotFound")
        elif file:
            self._file(name, file[3])
        elif api[2] in ("tree", "paths-info"):
            asked = json.loads(body)["paths"] if body.startswith(b"{") else None
            self._json(self._entries(name, api[4] or "", asked))
        else:
            self._json({"id": name, "sha": self.hub.commit(name), "siblings": [], "private": False, "tags": [], "downloads": 0})

    def _entries(self, name: str, folder: str, asked: list[str] | None) -> list[dict[str, Any]]:
        """The files beneath a folder with the folders between, or those that are asked for."""
        files = {path: len(data) for path, data in self.hub.datasets[name].items()}
        folders = {path.rsplit("/", depth)[0] for path in files for depth in range(1, path.count("/") + 1)}
        entries = [{"type": "directory", "path": path, "size": 0, "oid": "0" * 40} for path in sorted(folders)]
        entries += [{"type": "file", "path": path, "size": size, "oid": "0" * 40} for path, size in files.items()]
        return [entry for entry in entries if (entry["path"] in asked if asked is not None else not folder or entry["path"].startswith(f"{folder}/"))]

    def _file(self, name: str, path: str) -> None:
        data = self.hub.datasets[name].get(path)
        if data is None:
            self._json({"error": "Entry not found"}, 404, "EntryNotFound")
            return
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        start, end = (int(part[1]), min(int(part[2] or len(data) - 1) + 1, len(data))) if part else (0, len(data))
        self.send_response(206 if part else 200)
        if part:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", self.hub.commit(name))
        self._body(data[start:end])

    def _json(self, value: Any, code: int = 200, error: str | None = None) -> None:
        self.send_response(code)
        if error:
            self.send_header("X-Error-Code", error)
        self.send_header("Content-Type", "application/json")
        self._body(json.dumps(value).encode())

    def _body(self, data: bytes) -> None:
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass
