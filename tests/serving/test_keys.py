"""Keys: who may ask, and what a file of keys may be."""

from __future__ import annotations

import hashlib
import logging
import socket
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from served import Running, files, speak

from clipcap_cli.errors import InputError, UsageError
from clipcap_cli.serving.keys import Keys, read_keys, readable_by_others
from clipcap_cli.serving.running import check_exposure, local_names, name_in_address

FIRST, SECOND = "the-first-key-of-all", "another-key-of-others"
BEARER = {"Authorization": f"Bearer {SECOND}"}
PRINTABLE = string.ascii_letters + string.digits + string.punctuation


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.txt"
    path.write_text(f"# of the phone\n{FIRST}\n\n  {SECOND}  \n")
    path.chmod(0o600)
    return path


@pytest.fixture
def keys(file: Path) -> Keys:
    return read_keys(file)


@pytest.mark.parametrize("path", ["/v1/models", "/metrics"])
@pytest.mark.parametrize("header", [None, "", "Bearer", f"Bearer {FIRST}x", f"Basic {FIRST}", FIRST, "Bearer \xff\xfe", "Bearer # of the phone"])
def test_without_one_of_the_keys_nothing_private_is_told(path: str, header: str | None, keys: Keys, serve: Callable[..., Running]) -> None:
    sent = {"Authorization": header.encode("latin-1")} if header is not None else {}
    with serve(keys=keys).client as client:
        answer = client.get(path, headers=sent)
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:clipcap:no-key")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_each_of_the_keys_opens(keys: Keys, serve: Callable[..., Running]) -> None:
    with serve(keys=keys).client as client:
        for key in (FIRST, SECOND):
            assert client.get("/v1/models", headers={"Authorization": f"bearer {key}"}).status_code == 200
        assert client.post("/v1/caption", files=files("red"), headers=BEARER).status_code == 200
        assert client.get("/metrics", headers=BEARER).status_code == 200


def test_a_wrong_key_is_refused_before_the_upload_is_received(keys: Keys, serve: Callable[..., Running]) -> None:
    head = b"POST /v1/caption?beems=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n"
    assert b" 401 " in speak(serve(keys=keys).address, head).partition(b"\r\n")[0]


def test_what_anybody_may_know_needs_no_key(keys: Keys, serve: Callable[..., Running]) -> None:
    with serve(keys=keys).client as client:
        for path in ("/", "/static/style.css", "/healthz", "/readyz", "/docs", "/docs/style.css", "/openapi.json"):
            assert client.get(path).status_code == 200, path


def test_the_description_says_what_needs_a_key(keys: Keys, serve: Callable[..., Running]) -> None:
    with serve(keys=keys).client as client:
        paths = client.get("/openapi.json").json()["paths"]
        assert "Authorization: Bearer KEY" in client.get("/docs").text
    assert {path for path, methods in paths.items() for operation in methods.values() if operation.get("security")} == {"/v1/caption", "/v1/models", "/metrics"}


def test_keys_are_written_nowhere(keys: Keys, serve: Callable[..., Running], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = serve(keys=keys)
    with server.client as client:
        client.get("/v1/models", headers=BEARER)
        client.get("/v1/models", headers={"Authorization": "Bearer a-wrong-key-of-mine"})
        metrics = client.get("/metrics", headers=BEARER).text
    written = "".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records) + metrics + repr(server.service) + repr(keys)
    assert "request" in written
    for key in (FIRST, SECOND, "a-wrong-key-of-mine"):
        assert key not in written


@given(st.lists(st.text(PRINTABLE, min_size=16, max_size=40), min_size=1, max_size=5, unique=True), st.text(max_size=40))
def test_exactly_the_keys_of_the_file_are_keys(made: list[str], other: str) -> None:
    keys = Keys(tuple(hashlib.sha256(key.encode()).digest() for key in made))
    assert all(keys.allow(f"Bearer {key}") for key in made)
    assert keys.allow(f"Bearer {other}") == (other.strip() in made)
    assert not keys.allow(None)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "this file has no key in it"),
        (b"\n# nothing but a comment\n", "this file has no key in it"),
        (b"# short\nsecret\n", "this key has 6 characters, and needs 16 or more"),
        (b"sixteen letters and spaces\n", "this key has a space or a character that a header cannot carry"),
        ("schlüssel-mit-umlaut\n".encode(), "a character that a header cannot carry"),
        (b"\xff\xfe\x00key", "it is not text in UTF-8"),
        (b"k" * 2_000_000, "more than the 1,048,576 that are read"),
    ],
)
def test_a_file_that_is_no_file_of_keys_says_why(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        read_keys(path)
    assert told in raised.value.message
    assert str(path) in str(raised.value.where)
    assert "secret\n" not in str(raised.value)


def test_a_file_of_keys_that_is_not_there_or_a_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file of keys"):
        read_keys(tmp_path / "none")
    with pytest.raises(InputError, match="it is a folder"):
        read_keys(tmp_path)


def test_a_file_that_others_can_read_is_known(file: Path) -> None:
    assert not readable_by_others(file)
    file.chmod(0o640)
    assert readable_by_others(file)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_other_machines_are_let_in_only_with_a_key_or_on_purpose(host: str) -> None:
    with pytest.raises(UsageError, match="it has no key"):
        check_exposure(host, has_keys=False, insecure=False)
    check_exposure(host, has_keys=True, insecure=False)
    check_exposure(host, has_keys=False, insecure=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_needs_no_key(host: str) -> None:
    check_exposure(host, has_keys=False, insecure=False)


def test_without_keys_a_name_that_somebody_points_here_is_refused(serve: Callable[..., Running]) -> None:
    server = serve(hosts=local_names("127.0.0.1"))
    with server.client as client:
        for host in ("localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080"):
            assert client.get("/v1/models", headers={"Host": host}).status_code == 200
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", ""):
            answer = client.get("/v1/models", headers={"Host": host})
            assert (answer.status_code, answer.json()["type"]) == (400, "urn:clipcap:bad-request")


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_all_addresses_of_a_machine_are_told_as_its_name(host: str) -> None:
    assert name_in_address(host) == socket.gethostname()
    assert (name_in_address("::1"), name_in_address("127.0.0.1")) == ("[::1]", "127.0.0.1")
