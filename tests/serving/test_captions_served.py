"""What a client gets for pictures."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from PIL import Image
from served import GatedEncoder, Running, files, picture, until, upload_that_stops

from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.serving.models import Models
from clipcap_cli.serving.settings import Settings

COLOURS = ("red", "green", "blue", "grey")


def _expected(captioner: Captioner, *colours: str, **asked: Any) -> list[Any]:
    """What `clipcap caption` makes of pictures."""
    return list(captioner.caption([Image.open(io.BytesIO(picture(colour))) for colour in colours], **asked))


def test_pictures_are_captioned_as_the_command_does_in_the_order_in_which_they_were_sent(server: Running, captioner: Captioner) -> None:
    with server.client as client:
        answer = client.post("/v1/caption", files=files(*COLOURS))
    assert answer.status_code == 200
    told = answer.json()
    assert told["model"] == "colours"
    assert [result["name"] for result in told["results"]] == [f"{colour}.png" for colour in COLOURS]
    expected = _expected(captioner, *COLOURS)
    assert [result["caption"] for result in told["results"]] == [caption.text for caption in expected]
    assert [result["score"] for result in told["results"]] == pytest.approx([caption.score for caption in expected], abs=1e-5)
    assert len({caption.text for caption in expected}) == len(COLOURS)


@pytest.mark.parametrize("kind", ["image/jpeg", "image/png", "application/octet-stream"])
def test_the_bytes_of_one_picture_are_a_body_too(kind: str, server: Running, captioner: Captioner) -> None:
    with server.client as client:
        answer = client.post("/v1/caption", content=picture("blue"), headers={"Content-Type": kind})
    assert answer.json()["results"][0]["name"] is None
    assert answer.json()["results"][0]["caption"] == _expected(captioner, "blue")[0].text


def test_candidates_of_a_beam_search_come_best_first(server: Running, captioner: Captioner) -> None:
    with server.client as client:
        [result] = client.post("/v1/caption", params={"candidates": 3, "max_tokens": 4}, files=files("red")).json()["results"]
    expected = _expected(captioner, "red", strategy="beam", beams=5, max_tokens=4)[0].candidates[:3]
    assert [candidate["text"] for candidate in result["candidates"]] == [candidate.text for candidate in expected]
    assert result["caption"] == result["candidates"][0]["text"]


def test_what_is_drawn_depends_on_the_seed_and_the_place_in_the_request_alone(server: Running, captioner: Captioner) -> None:
    params = {"strategy": "sample", "seed": 7, "temperature": 3.0, "top_p": 1.0}
    expected = [caption.text for caption in _expected(captioner, *COLOURS, strategy="sample", seed=7, temperature=3.0, top_p=1.0)]

    def ask(_: int) -> list[str]:
        with server.client as client:
            return [result["caption"] for result in client.post("/v1/caption", params=params, files=files(*COLOURS)).json()["results"]]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [expected] * 4
    with server.client as client:
        other = client.post("/v1/caption", params=params | {"seed": 8}, files=files(*COLOURS)).json()["results"]
    assert [result["caption"] for result in other] != expected


def test_a_model_is_asked_for_by_its_name(server: Running) -> None:
    with server.client as client:
        assert client.post("/v1/caption", params={"model": "shades"}, files=files("red")).json()["model"] == "shades"


def test_models_limits_and_bounds_are_told(server: Running) -> None:
    with server.client as client:
        told = client.get("/v1/models").json()
    assert [(model["name"], model["default"]) for model in told["models"]] == [("colours", True), ("shades", False)]
    assert told["models"][0]["language_model"] == "builtin:nano"
    assert told["models"][0]["decode"]["strategy"] == "greedy"
    assert told["limits"] == {"pictures": 32, "picture_bytes": 20_000_000, "request_bytes": 100_000_000, "pixels": 50_000_000}
    assert told["bounds"]["beams"] == [1, 16]
    assert told["bounds"]["top_p"] == [0.01, 1.0]


def test_a_picture_that_cannot_be_read_leaves_the_others_their_captions(server: Running) -> None:
    sent = [*files("red"), ("image", ("notes.jpg", b"a text under a picture's name")), *files("blue")]
    with server.client as client:
        answer = client.post("/v1/caption", files=sent)
    assert answer.status_code == 200
    first, second, third = answer.json()["results"]
    assert (first["name"], third["name"]) == ("red.png", "blue.png")
    assert second["name"] == "notes.jpg"
    assert second["problem"]["type"] == "urn:clipcap:unreadable-picture"
    assert second["problem"]["status"] == 422
    assert "not a picture" in second["problem"]["detail"]


def test_requests_that_wait_share_a_batch_if_their_settings_are_equal(serve: Callable[..., Running], gated: tuple[Models, GatedEncoder]) -> None:
    models, encoder = gated
    server = serve(served=models)

    def ask(query: dict[str, Any]) -> str:
        with server.client as client:
            return str(client.post("/v1/caption", params=query, files=files("red")).json()["results"][0]["caption"])

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(ask, {})
        assert encoder.entered.wait(10)
        others = [pool.submit(ask, query) for query in ({}, {}, {}, {"max_tokens": 2}, {"max_tokens": 2}, {"temperature": 2})]
        until(lambda: server.service.open()[1].waiting == 7)
        encoder.gate.set()
        assert len({each.result() for each in (first, *others[:3])}) == 1
        assert [each.result() for each in others[3:5]] == [others[3].result()] * 2
        others[5].result()
    sizes = {line.split()[0]: line.split()[1] for line in server.service.metrics.text().decode().splitlines() if line.startswith("clipcap_batch_pictures_")}
    assert sizes["clipcap_batch_pictures_count"] == "4.0"  # one; three; two; one
    assert sizes["clipcap_batch_pictures_sum"] == "7.0"


def test_a_picture_waits_for_others_that_are_on_their_way_and_for_nobody_else(serve: Callable[..., Running]) -> None:
    server = serve(Settings(max_wait_s=0.4))
    with server.client as client:
        client.post("/v1/caption", files=files("red"))  # the first takes longer, whatever waits
        assert client.post("/v1/caption", files=files("red")).elapsed.total_seconds() < 0.4
        with upload_that_stops(server):
            assert 0.4 <= client.post("/v1/caption", files=files("red")).elapsed.total_seconds() < 2


def test_a_picture_waits_for_as_many_as_were_answered_last(serve: Callable[..., Running]) -> None:
    server = serve(Settings(max_wait_s=0.4))
    with server.client as client:
        client.post("/v1/caption", files=files("red", "blue", "green"))
        assert 0.4 <= client.post("/v1/caption", files=files("red")).elapsed.total_seconds() < 2
        assert client.post("/v1/caption", files=files("red")).elapsed.total_seconds() < 0.4


def test_a_full_batch_waits_for_nobody(serve: Callable[..., Running]) -> None:
    server = serve(Settings(max_wait_s=20.0, max_batch=2))
    with server.client as client, upload_that_stops(server):
        assert client.post("/v1/caption", files=files("red", "blue")).elapsed.total_seconds() < 10
