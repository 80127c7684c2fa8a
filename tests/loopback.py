"""What the hubs of the tests have in common: they answer on this machine alone, and a repository's commit follows from its files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


def commit_of(files: Mapping[str, bytes]) -> str:
    """Forty digits that change with the files."""
    return hashlib.sha1(b"".join(path.encode() + files[path] for path in sorted(files))).hexdigest()


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server that answers while the block runs; its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
