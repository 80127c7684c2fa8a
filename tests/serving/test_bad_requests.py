"""Bad input on HTTP: one clear answer each, as a problem, and the service goes on."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from served import GatedEncoder, Running, files, picture, speak

from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.serving.models import Model, Models
from clipcap_cli.serving.settings import Limits, Settings


@pytest.fixture(autouse=True)
def _goes_on(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each of these tests the shared server still captions, and holds nothing back."""
    yield
    if "server" in request.fixturenames:
        server: Running = request.getfixturevalue("server")
        with server.client as client:
            assert client.post("/v1/caption", files=files("red")).status_code == 200
        assert server.service.open()[1].waiting == server.service.uploading == 0


def problem_of(answer: httpx.Response, status: int, name: str) -> str:
    """The detail of an answer that has to be this problem."""
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (answer.status_code, told["status"], told["type"]) == (status, status, f"urn:clipcap:{name}")
    assert told["title"]
    assert "\n" not in told["detail"]
    return str(told["detail"])


def _png(width: int, height: int) -> bytes:
    """The start of a PNG of that size; a few bytes that ask for all its pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    text = b"tEXtSoftware\0tiff:Orientation"  # where the size of a PNG could be known only after decoding it
    chunks = (struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (head, text, b"IDAT" + zlib.compress(b"\0" * 99)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("beems=3", "There is no option 'beems': there are model, strategy, beams"),
        ("beams=0", "beams: input should be greater than or equal to 1, not '0'."),
        ("beams=17", "not '17'"),
        ("beams=many", "beams: input should be a valid integer"),
        ("beams=", "beams: "),
        ("beams=2&beams=3", "beams is given 2 times"),
        ("temperature=nan", "temperature: "),
        ("temperature=inf", "temperature: "),
        ("strategy=guess", "strategy: input should be 'greedy', 'beam', 'sample' or 'contrastive', not 'guess'."),
        ("strategy=sample&beams=3", "beams needs strategy=beam, and this would be strategy=sample."),
        ("strategy=greedy&candidates=2", "candidates needs strategy=beam or strategy=sample"),
        ("top_p=0.5&strategy=beam", "top_p needs strategy=sample"),
        ("min_tokens=9&max_tokens=3", "min_tokens 9 is more than max_tokens 3"),
        ("model=colors", "There is no model 'colors' here; did you mean 'colours'?"),
        ("required=ramen&strategy=sample", "required words need the strategy beam, not sample."),
        ("banned=" + "x" * 41, "banned: string should have at most 40 characters, not "),
        ("&".join(["banned=x"] * 9), "banned: "),
        ("seed=4294967296", "seed: "),
        ("max_tokens=1&required=an%20egg%20on%20toast", "max_tokens: the required words take 4 tokens, and a caption has 1. Set it to 4 or more."),
        ("banned=%21", "no word that could be banned"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(query: str, told: str, server: Running) -> None:
    with server.client as client:
        assert told in problem_of(client.post(f"/v1/caption?{query}", files=files("red")), 400, "bad-option")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"a text under a picture's name", "not a picture in a known format"),
        (b"", "The file is empty."),
        (b"<!doctype html><title>404</title>", "web page"),
        (picture("red", "JPEG", (300, 300))[:-200], "damaged or cut short"),
        (picture("red")[:20], "damaged or cut short"),
        (picture("red", size=(2000, 2)), "too long and thin"),
    ],
)
def test_what_is_no_picture_is_unreadable(data: bytes, told: str, serve: Callable[..., Running], captioner: Captioner) -> None:
    from clipcap_cli.encoders.preprocessing import Preprocessing

    class Usual(GatedEncoder):
        def preprocess(self, image: Any) -> Any:
            return Preprocessing(8, 8, False, 3, "even", 255.0, (0, 0, 0), (1, 1, 1)).pixels(image)

    server = serve(served=Models({"usual": Model("usual", captioner, Usual())}))
    with server.client as client:
        answer = client.post("/v1/caption", files={"image": ("a.jpg", data)})
    assert told in problem_of(answer, 422, "unreadable-picture")


@pytest.mark.parametrize(("width", "height"), [(30_000, 10_000), (2_000_000_000, 2_000_000_000), (51_000, 1_000)])
def test_a_bomb_is_refused_by_its_header(width: int, height: int, server: Running) -> None:
    with server.client as client:
        detail = problem_of(client.post("/v1/caption", files={"image": ("bomb.png", _png(width, height))}), 413, "too-large")
    assert f"{width:,} x {height:,}" in detail
    assert "more than the 50 that are read" in detail


def test_a_picture_file_that_is_too_large_leaves_the_others_their_captions(serve: Callable[..., Running]) -> None:
    server = serve(Settings(limits=Limits(picture_bytes=10_000, request_bytes=200_000)))
    with server.client as client:
        answer = client.post("/v1/caption", files=[*files("red"), ("image", ("large.png", b"x" * 50_000)), *files("blue")])
        results = answer.json()["results"]
        assert results[1]["problem"]["status"] == 413
        assert "10 kB" in results[1]["problem"]["detail"]
        assert results[0]["caption"] != results[2]["caption"]
        problem_of(client.post("/v1/caption", files={"image": ("large.png", b"x" * 50_000)}), 413, "too-large")


def test_a_request_that_is_too_large_is_refused_before_or_while_it_comes(serve: Callable[..., Running]) -> None:
    server = serve(Settings(limits=Limits(picture_bytes=100_000, request_bytes=100_000)))
    with server.client as client:
        assert "100 kB" in problem_of(client.post("/v1/caption", files={"image": ("large.png", b"x" * 100_001)}), 413, "too-large")
        pieces = (b"x" * 10_000 for _ in range(11))  # whose length nobody knows before
        assert "100 kB" in problem_of(client.post("/v1/caption", content=pieces, headers={"Content-Type": "image/png"}), 413, "too-large")
    assert server.service.metrics.received._value.get() <= 110_000


def test_ten_thousand_tiny_files_are_refused_at_the_first_that_is_too_many(server: Running) -> None:
    with server.client as client:
        answer = client.post("/v1/caption", files=[("image", (f"{number}.png", b"x")) for number in range(10_000)])
    assert "more than the 32 pictures" in problem_of(answer, 413, "too-large")


@pytest.mark.parametrize(
    ("content", "kind", "status", "name"),
    [
        (b"--x\r\nContent-Disposition: form-data; name=a; filename=a\r\n\r\nabc", "multipart/form-data; boundary=x", 400, "bad-request"),
        (b"no boundary in sight", "multipart/form-data; boundary=x", 400, "bad-request"),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 400, "bad-request"),
        (b"", "multipart/form-data; boundary=x", 400, "bad-request"),
        (b"--x\r\n\r\n", "multipart/form-data", 400, "bad-request"),
        (b"--x\r\n" + b"A: b\r\n" * 100, "multipart/form-data; boundary=x", 400, "bad-request"),
        (b"--x\r\nA: " + b"b" * 50_000, "multipart/form-data; boundary=x", 400, "bad-request"),
        (b"--" + b"x" * 5000, "multipart/form-data; boundary=" + "x" * 5000, 400, "bad-request"),
        (b'--x\r\nContent-Disposition: form-data; name="beams"\r\n\r\n5\r\n--x--\r\n', "multipart/form-data; boundary=x", 400, "bad-request"),
        (b"{}", "application/json", 415, "no-picture-type"),
        (b"a=b", "application/x-www-form-urlencoded", 415, "no-picture-type"),
        (b"abc", "", 415, "no-picture-type"),
        (b"abc", "image", 415, "no-picture-type"),
        (b"abc", ";;;=", 415, "no-picture-type"),
    ],
)
def test_a_body_that_is_broken_or_of_another_type_says_so(content: bytes, kind: str, status: int, name: str, server: Running) -> None:
    with server.client as client:
        problem_of(client.post("/v1/caption", content=content, headers={"Content-Type": kind}), status, name)


def test_several_pictures_without_any_caption_each_have_their_problem(server: Running) -> None:
    sent = [("image", ("a.jpg", b"text")), ("image", ("b.jpg", b""))]
    with server.client as client:
        answer = client.post("/v1/caption", files=sent)
    problem_of(answer, 422, "unreadable-picture")
    assert [(result["name"], result["problem"]["status"]) for result in answer.json()["results"]] == [("a.jpg", 422), ("b.jpg", 422)]


@pytest.mark.parametrize("name", ["../../etc/passwd", "a\u202eb\r\n.jpg", "<img src=x onerror=alert(1)>.png", "x" * 300, "🍜.jpg"])
def test_a_hostile_name_comes_back_as_text_and_leads_nowhere(name: str, server: Running) -> None:
    with server.client as client:
        answer = client.post("/v1/caption", files={"image": (name, picture())})
    assert answer.status_code == 200
    told = answer.json()["results"][0]["name"]
    assert len(told) <= 255
    assert told.isprintable() or "\u202e" in told
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path", "status", "name"),
    [
        ("GET", "/nothing", 404, "not-found"),
        ("GET", "/static/../../../etc/passwd", 404, "not-found"),
        ("GET", "/static/..%2f..%2fserve.py", 404, "not-found"),
        ("GET", "/v1/caption", 405, "bad-method"),
        ("POST", "/v1/models", 405, "bad-method"),
        ("BREW", "/v1/caption", 405, "bad-method"),
    ],
)
def test_addresses_that_are_not_there_are_problems_too(method: str, path: str, status: int, name: str, server: Running) -> None:
    answer = speak(server.address, f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert f" {status} ".encode() in answer.partition(b"\r\n")[0]
    assert f"urn:clipcap:{name}".encode() in answer


def test_a_bug_is_told_without_its_details_and_spoils_only_its_own_picture(
    serve: Callable[..., Running], captioner: Captioner, caplog: pytest.LogCaptureFixture
) -> None:
    class NoBlue(GatedEncoder):
        def encode(self, batch: Any) -> Any:
            if (batch[:, 0, 0, 2] == 255).any():
                raise RuntimeError("secret of the blue picture")
            return super().encode(batch)

    encoder = NoBlue()
    encoder.gate.set()
    server = serve(served=Models({"no-blue": Model("no-blue", captioner, encoder)}))
    with server.client as client:
        red, blue, green = client.post("/v1/caption", files=files("red", "blue", "green")).json()["results"]
        assert red["caption"] != green["caption"]
        assert blue["problem"]["type"] == "urn:clipcap:bug"
        answer = client.post("/v1/caption", files=files("blue"))
    assert "secret" not in problem_of(answer, 500, "bug")
