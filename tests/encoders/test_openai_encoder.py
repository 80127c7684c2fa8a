import hashlib
import pickle
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from clipcap_cli.encoders import clip_package, openai
from clipcap_cli.encoders.base import ImageEncoder, TextEncoder
from clipcap_cli.encoders.carrying import carry_encoder
from clipcap_cli.encoders.openai_models import OPENAI_MODELS, OpenAIModel
from clipcap_cli.encoders.registry import known_encoders, load_encoder
from clipcap_cli.errors import InputError, MissingError, StoreError
from clipcap_cli.events import Note


@pytest.fixture(autouse=True)
def nothing_of_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.delenv("CLIPCAP_WEIGHTS", raising=False)


def load(path, home, precision="fp32"):
    return load_encoder(f"openai:{path}", home=home, device="cpu", precision=precision)


def test_vectors_are_those_of_the_clip_package(clip, pictures, home):
    encoder = load(clip.state_dict, home)
    assert isinstance(encoder, ImageEncoder)
    assert (encoder.embedding_size, encoder.image_size, encoder.precision) == (24, 64, "fp32")
    mean, std = np.array(openai.PREPROCESSING.mean), np.array(openai.PREPROCESSING.std)
    pixels = torch.tensor((pictures / 255 - mean) / std, dtype=torch.float32).permute(0, 3, 1, 2)
    vectors = encoder.encode(pictures)
    assert vectors.dtype == np.float32
    assert np.allclose(vectors, clip.model.encode_image(pixels).numpy(), atol=1e-5)


def test_a_torchscript_archive_and_safetensors_give_the_same_vectors(clip, pictures, home, tmp_path):
    halved = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in clip.model.state_dict().items()}
    save_file(halved, tmp_path / "clip.safetensors")
    expected = load(clip.state_dict, home).encode(pictures)
    assert np.array_equal(load(clip.archive, home).encode(pictures), expected)
    assert np.array_equal(load(tmp_path / "clip.safetensors", home).encode(pictures), expected)


def test_vectors_do_not_depend_on_who_else_is_in_the_batch(clip, pictures, home):
    encoder = load(clip.state_dict, home)
    together = encoder.encode(np.concatenate([pictures, pictures[::-1]]))
    alone = np.concatenate([encoder.encode(pictures[i : i + 1]) for i in range(len(pictures))])
    assert np.allclose(together[: len(pictures)], alone, atol=1e-5)
    assert np.allclose(together[len(pictures) :], alone[::-1], atol=1e-5)
    assert encoder.encode(pictures[:0]).shape == (0, 24)


def test_bf16_is_near_fp32(clip, pictures, home):
    exact, rounded = load(clip.state_dict, home).encode(pictures), load(clip.state_dict, home, "bf16").encode(pictures)
    assert rounded.dtype == np.float32
    assert not np.array_equal(exact, rounded)
    assert np.allclose(rounded, exact, atol=0.03 * np.abs(exact).max())


def test_texts_become_vectors_of_the_same_space_and_long_ones_are_cut(clip, home):
    encoder = load(clip.state_dict, home)
    assert isinstance(encoder, TextEncoder)
    texts = ["a cat", "a dog " * 200]
    vectors = encoder.encode_text(texts)
    tokens = clip_package.tokenizer(77)(texts)
    assert vectors.shape == (2, 24)
    assert np.allclose(vectors, clip.model.encode_text(tokens).numpy(), atol=1e-5)
    assert tokens[0].tolist()[:5] == [49406, 320, 2368, 49407, 0]
    assert tokens[1, -1] == 49407
    assert encoder.encode_text([]).shape == (0, 24)


def test_the_fingerprint_follows_the_content_not_the_path(clip, home, tmp_path):
    copy = tmp_path / "copy of weights.pt"
    copy.write_bytes(clip.state_dict.read_bytes())
    encoder = load(copy, home)
    assert encoder.fingerprint == load(clip.state_dict, home).fingerprint
    changed = {**clip.model.state_dict(), "logit_scale": torch.tensor(0.0)}
    torch.save(changed, copy)
    assert load(copy, home).fingerprint != encoder.fingerprint


def test_neither_the_clip_package_itself_nor_torchvision_is_imported(clip, home, pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)  # an import of it fails, as that of a broken one does
    monkeypatch.setattr(clip_package, "model", clip_package.model.__wrapped__)
    encoder = load(clip.state_dict, home)
    assert encoder.encode(pictures).shape == (5, 24)
    assert encoder.encode_text(["a cat"]).shape == (1, 24)
    assert "clip" not in sys.modules


def test_without_the_clip_package_it_is_said_how_to_get_it(clip, home, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingError, match="pip install openai-clip"):
        load(clip.state_dict, home)


class Evil:
    def __reduce__(self):
        return pytest.fail, ("the pickle was run",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(Evil()), "a pickle that holds more than weights"),
        (b"hello", "a pickle that holds more|weights cannot be read"),
        (b"", "weights cannot be read"),
    ],
)
def test_a_file_that_is_no_weights_is_refused_and_not_run(content, message, home, tmp_path):
    (tmp_path / "bad.pt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        load(tmp_path / "bad.pt", home)


def test_other_weights_are_refused(clip, home, tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="not CLIP in OpenAI's format: it has no 'text_projection'"):
        load(tmp_path / "other.pt", home)
    state = {name: tensor for name, tensor in clip.model.state_dict().items() if name != "ln_final.bias"}
    torch.save(state, tmp_path / "lacking.pt")
    encoder = load(tmp_path / "lacking.pt", home)
    with pytest.raises(InputError, match="not those of one CLIP model"):
        encoder.encode(np.zeros((1, 64, 64, 3), np.uint8))
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(InputError, match="holds a list"):
        load(tmp_path / "list.pt", home)


def test_pixels_of_the_wrong_size_are_refused(clip, home):
    with pytest.raises(InputError, match=r"encodes bytes \[n, 64, 64, 3\], not uint8 \[1, 32, 32, 3\]"):
        load(clip.state_dict, home).encode(np.zeros((1, 32, 32, 3), np.uint8))


@pytest.mark.parametrize("name", OPENAI_MODELS)
def test_offline_each_of_the_nine_says_what_is_missing_how_big_it_is_and_what_to_do(name, home, monkeypatch):
    monkeypatch.setenv("CLIPCAP_OFFLINE", "1")
    model = OPENAI_MODELS[name]
    encoder = load_encoder(f"openai:{name}", home=home)
    assert (encoder.embedding_size, encoder.image_size) == (model.embedding_size, model.image_size)
    pixels = np.zeros((1, encoder.image_size, encoder.image_size, 3), np.uint8)
    with pytest.raises(MissingError) as raised:
        encoder.encode(pixels)
    said = str(raised.value)
    assert all(part in said for part in (name, model.download, model.url, str(home.weights / "openai" / model.file)))


@pytest.fixture
def published(clip, monkeypatch):
    """A tenth published model: the tiny one. The server breaks off once in the middle."""
    body = clip.archive.read_bytes()
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers.get("Range"))
            start = int((asked[-1] or "bytes=0-").removeprefix("bytes=").rstrip("-"))
            self.send_response(206 if asked[-1] else 200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            self.wfile.write(body[start : len(body) // 2 if len(asked) == 1 else len(body)])
            self.close_connection = True

        def log_message(self, *_):
            pass

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("CLIPCAP_OFFLINE", raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{hashlib.sha256(body).hexdigest()}/tiny.pt"
        monkeypatch.setitem(OPENAI_MODELS, "Tiny", OpenAIModel("Tiny", 24, 64, "13 MB", url))
        yield asked
        server.shutdown()


def test_a_published_model_is_downloaded_once_and_goes_on_where_it_broke_off(published, clip, pictures, home):
    notes = []
    encoder = load_encoder("openai:Tiny", home=home, precision="fp32", events=notes.append)
    assert published == []  # not before there is something to encode
    with pytest.raises(MissingError, match="it goes on where it stopped"):
        encoder.encode(pictures)
    assert not (home.weights / "openai" / "tiny.pt").exists()
    assert np.array_equal(encoder.encode(pictures), load(clip.state_dict, home).encode(pictures))
    assert load_encoder("openai:Tiny", home=home).encode(pictures).shape == (5, 24)
    assert len(published) == 2
    assert published[1].startswith("bytes=")
    assert any("is downloaded once" in note.text for note in notes if isinstance(note, Note))


def test_a_download_that_is_not_the_published_file_is_thrown_away(published, pictures, home, monkeypatch):
    other = replace(OPENAI_MODELS["Tiny"], url=OPENAI_MODELS["Tiny"].url.replace(OPENAI_MODELS["Tiny"].sha256, "0" * 64))
    monkeypatch.setitem(OPENAI_MODELS, "Tiny", other)
    encoder = load_encoder("openai:Tiny", home=home)
    for message in ("it goes on where it stopped", "it was removed"):
        with pytest.raises(MissingError, match=message):
            encoder.encode(pictures)
    assert [path.suffix for path in (home.weights / "openai").iterdir()] == [".lock"]  # empty, and stays: whoever waits has it open


def test_a_published_file_is_found_where_it_was_put(published, clip, pictures, home, tmp_path, monkeypatch):
    def usable():
        return next(info.usable for info in known_encoders(home) if info.spec == "openai:Tiny")

    assert not usable()
    for folder in (tmp_path / "user" / ".cache" / "clip", home.weights / "openai", tmp_path / "brought"):
        folder.mkdir(parents=True)
        if folder.name == "brought":
            monkeypatch.setenv("CLIPCAP_WEIGHTS", str(folder))
        (folder / "tiny.pt").write_bytes(clip.archive.read_bytes())
        assert usable()
        assert load_encoder("openai:Tiny", home=home).encode(pictures).shape == (5, 24)
        (folder / "tiny.pt").unlink()
    assert published == []


def test_a_wrong_file_in_a_place_of_the_users_is_named_and_kept(published, pictures, home, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPCAP_WEIGHTS", str(tmp_path))
    (tmp_path / "tiny.pt").write_bytes(b"something else")
    with pytest.raises(InputError, match="not the published Tiny"):
        load_encoder("openai:Tiny", home=home).encode(pictures)
    monkeypatch.delenv("CLIPCAP_WEIGHTS")
    own = home.weights / "openai" / "tiny.pt"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_bytes(b"something else")
    with pytest.raises(StoreError, match="are damaged"):
        load_encoder("openai:Tiny", home=home).encode(pictures)
    assert (tmp_path / "tiny.pt").exists()
    assert published == []


def test_a_wrong_file_in_the_cache_of_the_clip_package_is_passed_over(published, pictures, home, tmp_path):
    cached = tmp_path / "user" / ".cache" / "clip" / "tiny.pt"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"half a file")
    with pytest.raises(MissingError, match="it goes on where it stopped"):
        load_encoder("openai:Tiny", home=home).encode(pictures)
    assert cached.read_bytes() == b"half a file"


def test_a_published_model_that_was_put_into_a_folder_gives_the_same_vectors(published, clip, pictures, home, tmp_path):
    published.append(None)  # this time the server does not break off
    family, path = carry_encoder("openai:Tiny", tmp_path / "encoder", home=home)
    (home.weights / "openai" / "tiny.pt").unlink()
    carried, other = load_encoder(f"{family}:{path}", home=home, device="cpu", precision="fp32"), load(clip.state_dict, home)
    assert np.array_equal(carried.encode(pictures), other.encode(pictures))
    assert np.array_equal(carried.encode_text(["a dog"]), other.encode_text(["a dog"]))
    assert carried.fingerprint != load_encoder("openai:Tiny", home=home).fingerprint  # nobody's file passes for OpenAI's


def test_an_encoder_of_another_package_cannot_be_put_into_a_folder(home, tmp_path):
    with pytest.raises(InputError, match="the encoder colours:mean comes from another package"):
        carry_encoder("colours:mean", tmp_path / "encoder", home=home)
    assert not (tmp_path / "encoder").exists()
