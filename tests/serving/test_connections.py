"""What clients do to connections: headers without end, slow ones, those that hang up, too many at once."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from served import GatedEncoder, Running, files, picture, speak, until, upload_that_stops

from clipcap_cli.serving.models import Models
from clipcap_cli.serving.settings import Limits, Settings

QUICK = Settings(limits=Limits(header_s=0.4, idle_s=0.4, upload_s=1.2))
HEAD = b"POST /v1/caption HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n"


def _answer(raw: bytes) -> tuple[int, dict[str, Any]]:
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head.lower()
    return int(head.split()[1]), json.loads(body)


def _alive(server: Running) -> bool:
    with server.client as client:
        return client.post("/v1/caption", files=files("red")).status_code == 200


def test_a_header_of_a_megabyte_is_refused(server: Running) -> None:
    status, told = _answer(speak(server.address, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Large: " + b"x" * 1_000_000 + b"\r\n\r\n"))
    assert (status, told["type"]) == (431, "urn:clipcap:header-too-large")
    assert "32,768 bytes" in told["detail"]
    assert _alive(server)


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"POST /v1/caption HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /v1/caption HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/caption HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: image/png\r\n\r\nnot a number\r\n",
    ],
)
def test_what_is_no_http_is_a_bad_request(said: bytes, server: Running) -> None:
    status, told = _answer(speak(server.address, said))
    assert (status, told["type"]) == (400, "urn:clipcap:bad-request")
    assert _alive(server)


def test_headers_that_do_not_come_end_the_connection(serve: Callable[..., Running]) -> None:
    server = serve(QUICK)
    began = time.monotonic()
    assert speak(server.address) == b""
    status, told = _answer(speak(server.address, *[b"GET /healthz HTTP/1.1\r\n", *[b"X-Drop: x\r\n"] * 20], pause_s=0.05))
    assert (status, told["type"]) == (408, "urn:clipcap:too-slow")
    assert time.monotonic() - began < 5
    assert _alive(server)


def test_a_second_request_on_a_connection_has_to_come_in_time_too(serve: Callable[..., Running]) -> None:
    server = serve(QUICK)
    whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    raw = speak(server.address, whole, *[b"GET /healthz", b" ", b"H"], pause_s=0.1)
    first, second = raw.split(b"HTTP/1.1 ")[1:]
    assert first.startswith(b"200")
    assert second.startswith(b"408")


@pytest.mark.parametrize("pieces", [1, 40])
def test_an_upload_that_stops_or_trickles_is_ended(pieces: int, serve: Callable[..., Running]) -> None:
    server = serve(QUICK)
    status, told = _answer(speak(server.address, HEAD, *[b"x"] * pieces, pause_s=0.05))
    assert (status, told["type"]) == (408, "urn:clipcap:too-slow")
    assert ("Nothing came for 0.4 s." if pieces == 1 else "more than 1.2 s") in told["detail"]
    assert server.service.uploading == 0
    assert _alive(server)


def test_many_slow_clients_leave_the_others_alone(serve: Callable[..., Running]) -> None:
    server = serve(Settings(limits=Limits(header_s=5)))
    host, port = server.address.removeprefix("http://").split(":")
    slow = [socket.create_connection((host, int(port))) for _ in range(100)]
    for connection in slow:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow")
    assert _alive(server)
    for connection in slow:
        connection.close()


def test_connections_beyond_the_limit_are_told_so_and_hung_up_on(serve: Callable[..., Running]) -> None:
    server = serve(Settings(limits=Limits(connections=3)))
    host, port = server.address.removeprefix("http://").split(":")
    held = [socket.create_connection((host, int(port))) for _ in range(3)]
    until(lambda: len(server.server.server_state.connections) == 3)
    status, told = _answer(speak(server.address))
    assert (status, told["type"]) == (503, "urn:clipcap:not-ready")
    for connection in held:
        connection.close()
    until(lambda: not server.server.server_state.connections)
    assert _alive(server)


def test_uploads_beyond_the_limit_are_asked_to_come_again(serve: Callable[..., Running]) -> None:
    server = serve(Settings(limits=Limits(uploads=1)))
    with upload_that_stops(server), server.client as client:
        answer = client.post("/v1/caption", files=files("red"))
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    until(lambda: server.service.uploading == 0)
    assert _alive(server)


def test_who_hangs_up_half_way_is_forgotten(server: Running) -> None:
    before = _outcomes(server)
    gone = server.service.metrics.requests.labels("/v1/caption", "POST", 499)
    gone_before = gone._value.get()
    with upload_that_stops(server):
        pass
    until(lambda: server.service.uploading == 0)
    assert _outcomes(server) == before
    until(lambda: gone._value.get() == gone_before + 1)
    assert _alive(server)


def test_who_hangs_up_before_the_answer_costs_no_more_computing(serve: Callable[..., Running], gated: tuple[Models, GatedEncoder]) -> None:
    models, encoder = gated
    server = serve(served=models)
    batcher = server.service.open()[1]
    with ThreadPoolExecutor(1) as pool, server.client as client:
        first = pool.submit(lambda: client.post("/v1/caption", files=files("red")))
        assert encoder.entered.wait(10)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{server.address}/v1/caption", files=files("green", "blue"), timeout=0.3)
        until(lambda: _outcomes(server).get("hung-up") == 2)
        encoder.gate.set()
        assert first.result().status_code == 200
    until(lambda: batcher.waiting == 0)
    assert encoder.encoded == 1


def test_a_full_queue_says_when_to_come_again(serve: Callable[..., Running], gated: tuple[Models, GatedEncoder]) -> None:
    models, encoder = gated
    server = serve(Settings(queue=2, limits=Limits(pictures=2)), served=models)
    with ThreadPoolExecutor(1) as pool, server.client as client:
        first = pool.submit(lambda: client.post("/v1/caption", files=files("red")))
        assert encoder.entered.wait(10)
        with server.client as second:
            answer = second.post("/v1/caption", files=files("green", "blue"))
        assert answer.status_code == 429
        assert answer.json()["type"] == "urn:clipcap:queue-full"
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        encoder.gate.set()
        assert first.result().status_code == 200
        assert client.post("/v1/caption", files=files("green", "blue")).status_code == 200


def test_a_caption_that_takes_too_long_is_given_up(serve: Callable[..., Running], gated: tuple[Models, GatedEncoder]) -> None:
    models, encoder = gated
    server = serve(Settings(timeout_s=0.3), served=models)
    with server.client as client:
        answer = client.post("/v1/caption", files=files("red"))
        assert (answer.status_code, answer.json()["type"]) == (504, "urn:clipcap:time-limit")
        encoder.gate.set()
        until(lambda: server.service.open()[1].waiting == 0)
        assert client.post("/v1/caption", content=picture(), headers={"Content-Type": "image/png"}).status_code == 200


def _outcomes(server: Running) -> dict[str, float]:
    samples = [sample for metric in server.service.metrics.pictures.collect() for sample in metric.samples if sample.name.endswith("_total")]
    return {sample.labels["outcome"]: sample.value for sample in samples}
