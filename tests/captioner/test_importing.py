from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_lm import CHECKPOINTS, FILES, make_lm_folder
from safetensors.torch import load_file

from clipcap_cli.captioner import importing, published
from clipcap_cli.captioner.bundle import load_bundle
from clipcap_cli.captioner.importing import import_checkpoint, pull_model
from clipcap_cli.captioner.manifest import read_manifest
from clipcap_cli.captioner.published import PUBLISHED, Published
from clipcap_cli.errors import InputError, MissingError
from clipcap_cli.events import Note
from clipcap_cli.storage.home import Home

CHECKS = load_file(CHECKPOINTS / "checks.safetensors")


class Eyes:
    """An encoder of any size."""

    fingerprint, image_size, precision = "e7e5" * 4, 8, "fp32"

    def __init__(self, spec: str) -> None:
        self.spec, self.embedding_size = spec, int(spec.partition(":")[2])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(importing, "load_encoder", lambda spec, **_: Eyes(spec))
    monkeypatch.setenv("CLIPCAP_OFFLINE", "1")
    return Home(tmp_path / "home")


def said(heard: list[Any]) -> str:
    return "\n".join(event.text for event in heard if isinstance(event, Note))


@pytest.mark.parametrize("facts", FILES, ids=lambda facts: Path(facts["file"]).stem)
def test_every_form_becomes_a_bundle_that_gives_the_published_numbers(facts: dict[str, Any], home: Home, tmp_path: Path) -> None:
    lm = make_lm_folder(tmp_path / "lm", layers=facts["n_layer"])
    path = CHECKPOINTS.parent / facts["file"]
    name = import_checkpoint(path, encoder=f"test:{facts['prefix_size']}", normalize=False, language_model=str(lm), home=home)
    assert name == path.stem.replace("_", "-") or name == path.stem
    captioner = load_bundle(home.models / name, home=home)
    prefix = captioner.prefix(CHECKS[f"{facts['check']}.embeddings"])
    torch.testing.assert_close(prefix, CHECKS[f"{facts['check']}.prefix"], atol=1e-4, rtol=1e-4)
    if facts["with_gpt"]:
        logits, _ = captioner.language_model.step(prefix, None)
        torch.testing.assert_close(logits, CHECKS[f"{facts['check']}.logits_last"], atol=1e-4, rtol=1e-4)
    room = captioner.language_model.max_positions - captioner.mapper.prefix_length + 1  # the golden language models have few places
    assert (captioner.decode.strategy, captioner.decode.beams, captioner.decode.stop, captioner.decode.max_tokens) == ("beam", 5, ".", min(67, room))
    assert captioner.info["imported"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    [caption] = captioner.caption_embeddings(np.ones((1, facts["prefix_size"]), np.float32), captioner.decode.model_copy(update={"max_tokens": 9}))
    assert caption.tokens


def test_a_language_model_inside_is_kept_only_if_it_differs_from_the_stock_one(home: Home, tmp_path: Path) -> None:
    path, heard = CHECKPOINTS / "mlp_full.pt", []
    asked: dict[str, Any] = {"encoder": "test:64", "normalize": True, "home": home, "events": heard.append}
    same = make_lm_folder(tmp_path / "same", weights=path)
    other = make_lm_folder(tmp_path / "other")
    bare = make_lm_folder(tmp_path / "bare", without_weights=True)
    found = [read_manifest(home.models / import_checkpoint(path, name=lm.name, language_model=str(lm), **asked)) for lm in (same, other, bare)]
    assert [(manifest.language_model.inside, manifest.language_model.tuned) for manifest in found] == [(False, False), (True, True), (True, True)]
    assert all(manifest.preparation.normalize for manifest in found)
    assert "as it is published: the bundle refers to it" in said(heard)
    assert "(it was tuned): the bundle holds it" in said(heard)
    assert "is not at hand to compare with" in said(heard)
    outputs = [load_bundle(home.models / lm.name).language_model.step(CHECKS["mlp.prefix"], None)[0] for lm in (same, other, bare)]
    for logits in outputs:
        torch.testing.assert_close(logits, CHECKS["mlp.logits_last"], atol=1e-4, rtol=1e-4)


def test_what_cannot_be_known_is_asked_for_all_at_once_with_the_line_to_type(home: Home) -> None:
    path = CHECKPOINTS / "mlp512_map.pt"
    with pytest.raises(InputError) as caught:
        import_checkpoint(path, language_model="gpt2", home=home)
    assert "no vectors of the language model's width 768" in caught.value.message
    with pytest.raises(InputError) as caught:
        import_checkpoint(CHECKPOINTS / "mlp_full.pt", home=home)
    assert "the encoder (--encoder SPEC; 64 numbers a picture" in caught.value.message
    assert "--normalize, or --no-normalize" in caught.value.message
    assert f"clipcap model import {CHECKPOINTS / 'mlp_full.pt'} --encoder " in str(caught.value.hint)


def test_an_encoder_of_another_size_is_refused_with_those_that_fit(home: Home, tmp_path: Path) -> None:
    lm = make_lm_folder(tmp_path / "lm")
    with pytest.raises(InputError) as caught:
        import_checkpoint(CHECKPOINTS / "mlp512_map.pt", encoder="test:640", normalize=False, language_model=str(lm), home=home)
    assert caught.value.message == "the mapper reads 512 numbers a picture, and test:640 makes 640"
    assert "openai:ViT-B/32, openai:RN101, openai:ViT-B/16" in str(caught.value.hint)


def test_another_language_model_is_refused_with_every_tensor_that_differs(home: Home, tmp_path: Path) -> None:
    lm = make_lm_folder(tmp_path / "lm", layers=1)
    with pytest.raises(InputError) as caught:
        import_checkpoint(CHECKPOINTS / "mlp_full.pt", encoder="test:64", normalize=False, language_model=str(lm), home=home)
    lines = caught.value.message.splitlines()
    assert len(lines) == 1 + 12
    assert "  gpt.transformer.h.1.attn.c_attn.bias is left over" in lines
    wide = make_lm_folder(tmp_path / "wide", width=64)
    with pytest.raises(InputError, match=r"the mapper makes vectors of width 32, and .* has 64"):
        import_checkpoint(CHECKPOINTS / "transformer_map.pt", encoder="test:48", normalize=False, language_model=str(wide), home=home)


def test_gpt2_is_named_where_it_is_missing(home: Home, tmp_path: Path) -> None:
    state = {"clip_project.weight": torch.zeros(768, 4), "clip_project.bias": torch.zeros(768)}
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(MissingError, match="gpt2"):
        import_checkpoint(tmp_path / "x.pt", encoder="test:4", normalize=False, home=home)


def test_a_model_of_that_name_is_left_alone_unless_asked(home: Home, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"encoder": "test:64", "normalize": False, "language_model": str(make_lm_folder(tmp_path / "lm")), "home": home}
    first = import_checkpoint(CHECKPOINTS / "mlp_map.pt", **asked)
    assert import_checkpoint(CHECKPOINTS / "mlp_map.pt", **asked) == f"{first}-2"
    with pytest.raises(InputError, match="there is a model 'mine' already"):
        for _ in range(2):
            import_checkpoint(CHECKPOINTS / "mlp_map.pt", name="mine", **asked)
    assert import_checkpoint(CHECKPOINTS / "mlp_map.pt", name="mine", replace=True, **asked) == "mine"


# Pulling, from a server of our own.

BODY = (CHECKPOINTS / "mlp_full.pt").read_bytes()


class Server(BaseHTTPRequestHandler):
    """Serves the checkpoint with ranges at /file; breaks off the first time. /page is a web page, /nothing is not there."""

    asked: list[str]

    def do_GET(self) -> None:
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.asked.append(f"{self.path} {start}")
        if self.path == "/nothing":
            self.send_error(404)
            return
        body = b"<html>too large to scan</html>" if self.path == "/page" else BODY
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start : 1000 if self.path == "/file" and len(self.asked) == 1 else None])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Server]]:
    monkeypatch.delenv("CLIPCAP_OFFLINE")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    handler = type("Handler", (Server,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        handler.url = f"http://127.0.0.1:{running.server_port}"  # type: ignore[attr-defined]
        yield handler
        running.shutdown()


def publish(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *addresses: str, prefix_length: int = 4) -> None:
    lm = tmp_path / "lm"
    lm = lm if lm.exists() else make_lm_folder(lm)
    entry = Published("tiny", ("tiny",), "mlp", prefix_length, 64, "test:64", True, addresses, "1 MB", str(lm))
    monkeypatch.setitem(PUBLISHED, "tiny", entry)


def test_a_pulled_checkpoint_goes_on_where_it_broke_off_and_becomes_a_model(server: Any, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, tmp_path, f"{server.url}/file")
    with pytest.raises(MissingError, match="the connection broke off") as caught:
        pull_model("tiny", home=home)
    assert "it goes on where it stopped" in str(caught.value.hint)
    assert pull_model("tiny", home=home) == "tiny"
    assert server.asked == ["/file 0", "/file 1000"]
    manifest = read_manifest(home.models / "tiny")
    assert manifest.preparation.normalize
    assert manifest.info["imported"]["published_as"] == "tiny"
    assert pull_model("tiny", home=home, replace=True) == "tiny"
    assert len(server.asked) == 2  # the file is kept


def test_another_address_is_tried_and_a_web_page_is_no_checkpoint(server: Any, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    server.asked.append("warm")
    publish(monkeypatch, tmp_path, f"{server.url}/nothing", f"{server.url}/page", f"{server.url}/file")
    assert pull_model("tiny", home=home, events=heard.append) == "tiny"
    assert "another address is tried" in said(heard)
    assert "gave a web page, not the file" in said(heard)
    (home.weights / "published" / "tiny.pt").unlink()
    publish(monkeypatch, tmp_path, f"{server.url}/page")
    with pytest.raises(MissingError) as caught:
        pull_model("tiny", home=home, replace=True)
    assert f"put the file at {home.weights / 'published' / 'tiny.pt'}" in str(caught.value.hint)


def test_a_file_that_is_not_what_the_table_says_is_refused(server: Any, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.asked.append("warm")
    publish(monkeypatch, tmp_path, f"{server.url}/file", prefix_length=10)
    with pytest.raises(InputError, match="has the name of the published checkpoint tiny, but is not it") as caught:
        pull_model("tiny", home=home)
    assert "bring the file by hand" in str(caught.value.hint)
    assert not (home.models / "tiny").exists()


def test_offline_it_is_said_how_to_bring_the_file_by_hand(home: Home) -> None:
    with pytest.raises(MissingError) as caught:
        pull_model("coco-mlp", home=home)
    assert "about 640 MB" in caught.value.message
    assert f"put it at {home.weights / 'published' / 'coco-mlp.pt'}" in str(caught.value.hint)
    with pytest.raises(InputError, match="no published checkpoint named 'coco-mpl' Did you mean 'coco-mlp'"):
        pull_model("coco-mpl", home=home)


def test_published_files_are_known_by_the_names_they_go_by() -> None:
    assert [published.known(Path(name)) is not None for name in ("coco_weights.pt", "conceptual-mlp.pt", "coco_prefix-009.pt")] == [True, True, False]
    entry = published.known(Path("x/coco-transformer.pt"))
    assert entry is not None
    assert (entry.encoder, entry.normalize, entry.prefix_length) == ("openai:RN50x4", True, 40)
