"""The real command in a process of its own, from its first line to its end."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from PIL import Image
from served import files, make_captioner, picture

from clipcap_cli.captioner.bundle import load_bundle, save_bundle
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.storage.home import Home

LONG = {"strategy": "beam", "beams": 16, "max_tokens": 60, "min_tokens": 60}  # seconds of work
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A store with one model, of the real encoder."""
    home = Home(tmp_path_factory.mktemp("served") / "home")
    encoder = load_encoder("efficientnet-lite0", home=home, device="cpu")
    captioner = make_captioner(encoder.embedding_size)
    captioner.encoder_spec, captioner.encoder_fingerprint = encoder.spec, encoder.fingerprint
    save_bundle(captioner, home.models / "small")
    return home


@dataclass
class Process:
    """The command while it runs."""

    process: subprocess.Popen[str]
    address: str

    def end(self, *signals: int) -> tuple[int, str]:
        """Its exit code, and what it wrote on stderr."""
        for number in signals:
            self.process.send_signal(number)
            time.sleep(0.2)
        _, err = self.process.communicate(timeout=30)
        return self.process.returncode, err


Start = Callable[..., Process]


@pytest.fixture
def start(home: Home) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def serve(*options: str) -> Process:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "CLIPCAP_HOME": str(home.root), "CLIPCAP_OFFLINE": "1"}
        line = [sys.executable, "-m", "clipcap_cli", "serve", "--port", "0", "--json", *options]
        process = subprocess.Popen(line, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        started.append(process)
        assert process.stdout
        told = ""
        while not told.endswith("}\n"):
            told += (read := process.stdout.readline())
            assert read, process.communicate()
        return Process(process, json.loads(told)["address"])

    yield serve
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.journey
def test_it_captions_as_the_command_does_outlives_its_model_and_finishes_what_it_took(start: Start, home: Home) -> None:
    expected = [caption.text for caption in load_bundle(home.models / "small", home=home).caption([_image(colour) for colour in ("red", "blue")])]
    server = start()
    with httpx.Client(base_url=server.address, timeout=30) as client:
        assert client.get("/readyz").status_code == 200
        assert "clipcap" in client.get("/").text
        shutil.move(home.models / "small", home.root / "gone")
        try:
            answer = client.post("/v1/caption", files=files("red", "blue"))
            assert [result["caption"] for result in answer.json()["results"]] == expected
            with ThreadPoolExecutor(1) as pool:
                asked = pool.submit(lambda: httpx.post(f"{server.address}/v1/caption", params=LONG, files=files(*["red"] * 16), timeout=60))
                time.sleep(0.4)
                code, err = server.end(signal.SIGINT)
                assert asked.result().status_code == 200
        finally:
            shutil.move(home.root / "gone", home.models / "small")
    assert code == 0
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines][-3:] == ["stopping", "request", "stopped"]
    assert "Traceback" not in err
    assert "red" not in err


@pytest.mark.slow
@pytest.mark.journey
def test_a_second_signal_ends_the_command_at_once(start: Start) -> None:
    server = start("--quiet")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lambda: httpx.post(f"{server.address}/v1/caption", params=LONG, files=files(*["red"] * 32), timeout=60))
        time.sleep(0.4)
        began = time.monotonic()
        code, err = server.end(signal.SIGTERM, signal.SIGTERM)
        assert time.monotonic() - began < 5
        with pytest.raises(httpx.RemoteProtocolError):
            asked.result()
    assert code == 130
    assert "Traceback" not in err


def _image(colour: str) -> Image.Image:
    return Image.open(io.BytesIO(picture(colour)))
