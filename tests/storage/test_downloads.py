import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from clipcap_cli.errors import MissingError
from clipcap_cli.storage.downloads import fetch

BODY = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(BODY).hexdigest()


class Server(BaseHTTPRequestHandler):
    """Serves BODY with ranges; breaks off after `broken` bytes on the first request."""

    broken = 0
    asked: list[str]

    def do_GET(self):
        asked = self.headers.get("Range")
        self.asked.append(asked or "all")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(BODY) - start))
        self.end_headers()
        end = type(self).broken or len(BODY)
        type(self).broken = 0
        self.wfile.write(BODY[start:end])
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv("CLIPCAP_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    handler = type("Handler", (Server,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        handler.url = f"http://127.0.0.1:{running.server_port}/weights.pt"
        yield handler
        running.shutdown()


def fetch_it(server, path, sha256=SHA256):
    return fetch(server.url, path, sha256=sha256, what="the weights", size="1 MB")


def test_a_file_is_fetched_once(server, tmp_path):
    path = tmp_path / "weights" / "weights.pt"
    assert fetch_it(server, path).read_bytes() == BODY
    fetch_it(server, path)
    assert server.asked == ["all"]


def test_a_broken_download_goes_on_where_it_stopped(server, tmp_path):
    server.broken = 300_000
    with pytest.raises(MissingError, match="could not be downloaded"):
        fetch_it(server, tmp_path / "w.pt")
    assert not (tmp_path / "w.pt").exists()

    assert fetch_it(server, tmp_path / "w.pt").read_bytes() == BODY
    assert server.asked == ["all", "bytes=300000-"]


def test_wrong_bytes_never_reach_their_place(server, tmp_path):
    with pytest.raises(MissingError, match="it was removed"):
        fetch_it(server, tmp_path / "w.pt", sha256="0" * 64)
    assert [path.name for path in tmp_path.iterdir()] == [".w.pt.lock"]


def test_offline_says_what_from_where_and_how_by_hand(server, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPCAP_OFFLINE", "1")
    with pytest.raises(MissingError, match="the weights \\(1 MB\\) is not here, and clipcap is offline") as caught:
        fetch_it(server, tmp_path / "w.pt")
    assert server.url in caught.value.hint
    assert str(tmp_path / "w.pt") in caught.value.hint
    assert server.asked == []


def test_two_that_want_the_same_file_download_it_once(server, tmp_path):
    with ThreadPoolExecutor(2) as both:
        paths = list(both.map(lambda _: fetch_it(server, tmp_path / "w.pt"), range(2)))
    assert [path.read_bytes() for path in paths] == [BODY, BODY]
    assert server.asked == ["all"]
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith((".lock", ".holder"))] == ["w.pt"]
