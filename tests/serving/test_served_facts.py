"""What a server tells of itself: headers, health, metrics, logs, the page and its description."""

from __future__ import annotations

import io
import json
import logging
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families
from served import GatedEncoder, Running, files, running, until

from clipcap_cli.serving.decoding_options import Options
from clipcap_cli.serving.logs import JsonLines
from clipcap_cli.serving.models import Models
from clipcap_cli.serving.page import page_files
from clipcap_cli.serving.problems import KINDS
from clipcap_cli.serving.service import Service


@pytest.fixture
def logged() -> Iterator[Callable[[], list[dict[str, object]]]]:
    """A function that gives the lines that were logged, read as JSON."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    loggers = [logging.getLogger(name) for name in ("clipcap.serving", "uvicorn", "asyncio")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    for logger, level in zip(loggers, before, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(level)


def _requests(logged: Callable[[], list[dict[str, object]]]) -> list[dict[str, object]]:
    return [line for line in logged() if line["event"] == "request"]


@pytest.mark.parametrize("path", ["/", "/v1/models", "/nothing", "/healthz", "/docs", "/static/page.js"])
def test_every_answer_has_its_safe_headers(path: str, server: Running) -> None:
    with server.client as client:
        headers = client.get(path).headers
    assert re.fullmatch("[0-9a-f]{32}", headers["x-request-id"])
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in headers["content-security-policy"]
    assert "server" not in headers
    assert (headers.get("cache-control") == "no-store") == path.startswith("/v1")


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/v1/models", "/docs"])
def test_head_is_answered_as_get_is_without_the_body(path: str, server: Running) -> None:
    with server.client as client:
        head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"] == str(len(get.content))


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/captions", 404), ("GET", "/v1/caption", 405), ("HEAD", "/v1/caption", 405)])
def test_who_is_at_the_wrong_address_is_told_the_right_one(method: str, path: str, status: int, server: Running) -> None:
    with server.client as client:
        answer = client.request(method, path)
    assert answer.status_code == status
    assert method == "HEAD" or "pictures go to POST /v1/caption" in answer.json()["detail"]


def test_a_request_keeps_the_id_that_it_came_with_if_it_can_be_one(server: Running) -> None:
    with server.client as client:
        assert client.get("/healthz", headers={"X-Request-Id": "abc-1.2"}).headers["x-request-id"] == "abc-1.2"
        assert client.get("/healthz", headers={"X-Request-Id": "a b\tc{"}).headers["x-request-id"] != "a b\tc{"


def test_while_models_are_loaded_it_is_alive_and_not_ready(models: Models) -> None:
    async def never(_: Service) -> None: ...

    with running(Service(), load=never) as server, server.client as client:
        assert client.get("/healthz").json() == {"status": "alive"}
        for answer in (client.get("/readyz"), client.get("/v1/models"), client.post("/v1/caption", files=files("red"))):
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:clipcap:not-ready")
            assert int(answer.headers["retry-after"]) >= 1
        server.service.serve(models)
        assert client.get("/readyz").json() == {"status": "ready"}
        assert client.post("/v1/caption", files=files("red")).status_code == 200


def test_the_page_and_its_files_are_given_out_and_nothing_else(server: Running) -> None:
    with server.client as client:
        for address, file in page_files().items():
            answer = client.get(address)
            assert answer.content == file.path.read_bytes()
            assert answer.headers["content-type"] == file.media_type
            assert answer.headers["cache-control"] == "no-cache"
        assert client.get("/static/__init__.py").status_code == 404


def test_requests_pictures_batches_and_stages_are_counted(serve: Callable[..., Running]) -> None:
    with serve().client as client:
        client.post("/v1/caption", files=[*files("red", "blue"), ("image", ("a.jpg", b"text"))])
        client.post("/v1/caption?beems=1", files=files("red"))
        client.get("/no-such-address")
        client.get("/another")
        text = client.get("/metrics").text
    found = {(sample.name, *sorted(sample.labels.values())): sample.value for family in text_string_to_metric_families(text) for sample in family.samples}
    assert found["clipcap_requests_total", "/v1/caption", "200", "POST"] == 1
    assert found["clipcap_requests_total", "/v1/caption", "400", "POST"] == 1
    assert found["clipcap_requests_total", "404", "GET", "other"] == 2
    assert found["clipcap_pictures_total", "captioned"] == 2
    assert found["clipcap_pictures_total", "unreadable-picture"] == 1
    assert found["clipcap_batch_pictures_sum",] == 2
    assert found["clipcap_queue_pictures",] == 0
    assert found["clipcap_ready",] == 1
    assert found["clipcap_model", "builtin:nano", "colours", "efficientnet-lite0"] == 1
    for stage in ("encode", "write"):
        assert found["clipcap_stage_seconds_count", stage] >= 1
    assert found["clipcap_stage_seconds_count", "decode"] == 3
    assert found["process_resident_memory_bytes",] > 0


def test_a_request_is_one_line_without_names_captions_or_pictures(serve: Callable[..., Running], logged: Callable[[], list[dict[str, object]]]) -> None:
    with serve().client as client:
        answer = client.post("/v1/caption?banned=ramen", files={"image": ("secret-name.png", b"secret content")}, headers={"X-Request-Id": "one"})
        assert answer.status_code == 422
        client.post("/v1/caption", files=files("red"))
    until(lambda: len(_requests(logged)) == 2)  # a line is written when its answer is on its way
    lines = _requests(logged)
    assert lines[0].items() >= {"id": "one", "method": "POST", "route": "/v1/caption", "status": 422, "pictures": 1, "level": "info"}.items()
    assert lines[1]["status"] == 200
    assert set(lines[1]) == {"time", "level", "event", "id", "method", "route", "status", "seconds", "pictures"}
    assert "secret" not in json.dumps(logged())
    assert "ramen" not in json.dumps(logged())


def test_the_description_has_every_option_with_its_bounds_and_every_problem(server: Running) -> None:
    with server.client as client:
        told = client.get("/openapi.json").json()
        bounds = client.get("/v1/models").json()["bounds"]
    caption = told["paths"]["/v1/caption"]["post"]
    options = {parameter["name"]: parameter["schema"] for parameter in caption["parameters"]}
    assert set(options) == set(Options.model_fields)
    assert {name: [schema["minimum"], schema["maximum"]] for name, schema in options.items() if "minimum" in schema} == bounds
    assert {int(status) for status in caption["responses"]} == {200} | {kind.status for kind in KINDS} - {404, 405}
    assert "security" not in caption
    assert "multipart/form-data" in caption["requestBody"]["content"]


def test_docs_are_made_of_the_description_and_have_no_script(server: Running) -> None:
    with server.client as client:
        page = client.get("/docs").text
        assert client.get("/docs/style.css").headers["content-type"].startswith("text/css")
    for name in Options.model_fields:
        assert f"<code>{name}</code>" in page
    assert "<script" not in page
    assert "://" not in re.sub(r"http://127\.0\.0\.1:8080", "", page)


def test_stopping_finishes_what_was_taken(gated: tuple[Models, GatedEncoder], logged: Callable[[], list[dict[str, object]]]) -> None:
    models, encoder = gated
    service = Service()
    service.serve(models)
    with ThreadPoolExecutor(4) as pool, running(service) as server, server.client as client:
        asked = [pool.submit(client.post, "/v1/caption", files=files("red", "blue")) for _ in range(4)]
        until(lambda: service.open()[1].waiting == 8)
        service.stop()
        assert client.get("/readyz").status_code == 503
        assert client.post("/v1/caption", files=files("red")).status_code == 503
        server.server.should_exit = True
        encoder.gate.set()
        assert [each.result().status_code for each in asked] == [200] * 4
    assert not [line for line in logged() if line["level"] == "error"]


def test_a_second_signal_ends_it_at_once(serve: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr("os._exit", codes.append)
    server = serve()
    server.server.handle_exit(signal.SIGINT, None)
    assert (codes, server.service.state) == ([], "stopping")
    server.server.handle_exit(signal.SIGTERM, None)
    assert codes == [130]
