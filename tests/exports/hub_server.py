"""A hub on this machine: as much of it as uploading and fetching a model needs."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from loopback import commit_of, serving

TOKEN = "hf_right"
_SIZE_OF_SAMPLE = 512


@dataclass
class Hub:
    """What lies there: files by path, of each repository's newest commit; and what was asked for.

    `breaks` is how many bytes of each file are sent before the connection breaks off; None for all.
    """

    url: str = ""
    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    commits: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    breaks: dict[str, int] = field(default_factory=dict)

    def commit(self, repo: str) -> str:
        """The repository's commit: forty digits that change with its files."""
        return commit_of(self.repos[repo])


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that answers while the block runs."""
    hub = Hub()
    with serving(type("Handler", (_Handler,), {"hub": hub})) as hub.url:
        yield hub


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.asked.append(f"POST {self.path}")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._json({"error": "Invalid username or password."}, 401)
        elif self.path == "/api/repos/create":
            asked = json.loads(body)
            repo = "/".join(part for part in (asked.get("organization"), asked["name"]) if part)
            self.hub.repos.setdefault(repo, {})
            self.hub.private |= {repo} if asked.get("private") or asked.get("visibility") == "private" else set()
            self._json({"url": f"{self.hub.url}/{repo}", "name": repo, "id": repo})
        elif self.path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif found := re.fullmatch(r"/api/models/(.+)/preupload/main", self.path):
            files = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]]
            self._json({"files": files})
        elif found := re.fullmatch(r"/api/models/(.+)/commit/main", self.path):
            self._commit(found[1], [json.loads(line) for line in body.splitlines()])
        else:
            self._json({"error": "not found"}, 404)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        self.hub.asked.append(" ".join([self.command, self.path, self.headers.get("Range") or ""]).strip())
        path = self.path.partition("?")[0]
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/main", path):
            files = self.hub.repos[found[1]].items()
            self._json([{"type": "file", "path": path, "size": len(data), "oid": "0" * 40} for path, data in files])
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/(.+))?", path):
            if found[1] not in self.hub.repos:
                self._json({"error": "Repository not found"}, 404, "RepoNotFound")
            elif found[3] not in (None, "main", self.hub.commit(found[1])):
                self._json({"error": "Invalid rev"}, 404, "RevisionNotFound")
            else:
                files = self.hub.repos[found[1]].items()
                siblings = [{"rfilename": path, "size": len(data), "blobId": "0" * 40} for path, data in files]
                self._json({"id": found[1], "sha": self.hub.commit(found[1]), "siblings": siblings, "private": False, "tags": [], "downloads": 0})
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([0-9a-f]{40})/(.+)", path):
            self._file(found[1], found[2], found[3], body)
        else:
            self._json({"error": "not found"}, 404)

    def _file(self, repo: str, commit: str, path: str, body: bool) -> None:
        data = self.hub.repos[repo][path]
        start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if body:
            sent = self.hub.breaks.pop(path, None)
            self.wfile.write(data[start:sent])

    def _commit(self, repo: str, lines: list[dict[str, Any]]) -> None:
        files = self.hub.repos[repo]
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.hub.commits.append(value["summary"])
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        commit = self.hub.commit(repo)
        self._json({"success": True, "commitOid": commit, "commitUrl": f"{self.hub.url}/{repo}/commit/{commit}", "hookOutput": ""})

    def _json(self, value: Any, code: int = 200, error: str | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(code)
        if error:
            self.send_header("X-Error-Code", error)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass
