"""A real server in a thread, with a small captioner that was never trained, and pictures that it tells apart."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import torch
from mean_colour import COLOURS, ColourEncoder
from PIL import Image

from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.lm_loading import load_language_model
from clipcap_cli.captioner.mappers import Preparation, build_mapper
from clipcap_cli.recipe.schema import Decode
from clipcap_cli.serving.app import create_app
from clipcap_cli.serving.running import Server, configure, listen
from clipcap_cli.serving.service import Service


@dataclass(frozen=True)
class Running:
    """A server that answers, and what it holds."""

    address: str
    service: Service
    server: Server

    @property
    def client(self) -> httpx.Client:
        """A client of its own."""
        return httpx.Client(base_url=self.address, timeout=30)


def make_captioner(embedding_size: int = ColourEncoder.embedding_size, **decode: Any) -> Captioner:
    """A captioner of mean colours. Its captions mean nothing, and each colour has another one."""
    language_model = load_language_model("builtin:nano")
    torch.manual_seed(1)
    mapper = build_mapper("mlp", embedding_size=embedding_size, lm_width=language_model.width, prefix_length=2, clip_length=2, layers=2, heads=4)
    with torch.no_grad():
        for parameter in mapper.parameters():
            parameter.mul_(8)  # else every picture has the same caption
    settings = Decode.model_validate({"strategy": "greedy", "max_tokens": 6, **decode})
    captioner = Captioner(ColourEncoder.spec, ColourEncoder.fingerprint, Preparation(False), mapper.eval().requires_grad_(False), language_model, settings)
    captioner._encoder = ColourEncoder()
    return captioner


class GatedEncoder(ColourEncoder):
    """The encoder of mean colours, which waits until its gate is open, and counts what it encoded."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.encoded = 0

    def encode(self, batch: Any) -> Any:
        self.entered.set()
        assert self.gate.wait(20)
        self.encoded += len(batch)
        return super().encode(batch)


@contextmanager
def running(service: Service, **loading: Any) -> Iterator[Running]:
    """A server that answers while the block runs."""
    listening = listen("127.0.0.1", 0)
    server = Server(configure(create_app(service, **loading), service.settings), service)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield Running(f"http://127.0.0.1:{listening.getsockname()[1]}", service, server)
    finally:
        service.stop()
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive()


def picture(colour: str = "red", form: str = "PNG", size: tuple[int, int] = (16, 12)) -> bytes:
    """The file of a picture of one colour."""
    file = io.BytesIO()
    Image.new("RGB", size, COLOURS[colour]).save(file, form)
    return file.getvalue()


def files(*colours: str) -> list[tuple[str, tuple[str, bytes]]]:
    """Parts of a form: a picture of each colour, called `red.png` and so on."""
    return [("image", (f"{colour}.png", picture(colour))) for colour in colours]


def until(true: Callable[[], bool]) -> None:
    """Wait until something is so; it has to be soon."""
    late = time.monotonic() + 10
    while not true():
        assert time.monotonic() < late
        time.sleep(0.005)


def speak(address: str, *pieces: bytes, pause_s: float = 0.0) -> bytes:
    """Send pieces over a connection, and read until the other side hangs up."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        for piece in pieces:
            with suppress(ConnectionError):  # an answer may come, and the end, before everything is sent
                connection.sendall(piece)
            time.sleep(pause_s)
        answer = b""
        with suppress(ConnectionError):
            while piece := connection.recv(65536):
                answer += piece
        return answer


@contextmanager
def upload_that_stops(server: Running) -> Iterator[socket.socket]:
    """The connection of a client that has begun to send a picture, and sends no more while the block runs."""
    host, port = server.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"POST /v1/caption HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nhalf")
        until(lambda: server.service.uploading == 1)
        yield connection
