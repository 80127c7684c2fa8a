import json
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from clipcap_cli.encoders.base import TextEncoder
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.errors import InputError, MissingError

WORDS = ["<pad>", "<unk>", "a", "cat", "dog", "on", "</s>"]
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
VISION = {**SIZES, "image_size": 32, "patch_size": 8}
TEXT = {**SIZES, "vocab_size": len(WORDS), "max_position_embeddings": 12, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 6}


def save_tokenizer(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", WORDS.index("</s>"))])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>").save_pretrained(folder)


@pytest.fixture(scope="module", params=["clip", "siglip"])
def saved(request, tmp_path_factory):
    """A tiny model of transformers as a folder, the model itself, and its own image processor."""
    import transformers as t

    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if request.param == "clip":
            model = t.CLIPModel(t.CLIPConfig(vision_config=VISION, text_config=TEXT, projection_dim=24))
            processor = t.models.clip.image_processing_pil_clip.CLIPImageProcessorPil(size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32})
        else:
            model = t.SiglipModel(t.SiglipConfig(vision_config=VISION, text_config={**TEXT, "projection_size": 32}))
            processor = t.models.siglip.image_processing_pil_siglip.SiglipImageProcessorPil(size={"height": 32, "width": 32})
        model.eval().save_pretrained(folder)
        processor.save_pretrained(folder)
        save_tokenizer(folder)
    return SimpleNamespace(folder=folder, model=model, processor=processor, size=24 if request.param == "clip" else 32)


@pytest.fixture
def copied(saved, tmp_path):
    """The folder, to be spoiled."""
    folder = tmp_path / "model"
    folder.mkdir()
    for path in saved.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def load(folder, home, precision="fp32"):
    return load_encoder(f"hf:{folder}", home=home, device="cpu", precision=precision)


def picture(width, height):
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(32, 32), (50, 41), (37, 90), (33, 32), (20, 31)])
def test_pictures_and_vectors_are_those_of_transformers(saved, home, size):
    encoder = load(saved.folder, home)
    pixels = encoder.preprocess(picture(*size))[None]
    theirs = saved.processor(picture(*size), return_tensors="pt")["pixel_values"]
    assert torch.allclose(encoder.scale(pixels), theirs, atol=1e-6)
    with torch.inference_mode():
        expected = saved.model.get_image_features(pixel_values=theirs)
    expected = getattr(expected, "pooler_output", expected)  # older releases give the vectors themselves
    vectors = encoder.encode(pixels)
    assert vectors.shape == (1, saved.size) == (1, encoder.embedding_size)
    assert np.allclose(vectors, expected.numpy(), atol=1e-5)


def test_vectors_do_not_depend_on_who_else_is_in_the_batch(saved, home):
    encoder = load(saved.folder, home)
    pixels = np.random.default_rng(0).integers(0, 256, (11, 32, 32, 3), dtype=np.uint8)
    alone = np.concatenate([encoder.encode(pixels[i : i + 1]) for i in range(11)])
    assert np.allclose(encoder.encode(pixels), alone, atol=1e-5)
    assert np.allclose(load(saved.folder, home, "bf16").encode(pixels), alone, atol=0.05 * np.abs(alone).max())


def test_texts_become_vectors_of_the_same_space_and_long_ones_are_cut(saved, home):
    encoder = load(saved.folder, home)
    assert isinstance(encoder, TextEncoder)
    texts = ["a cat", "a dog on " * 20]
    vectors = encoder.encode_text(texts)
    assert vectors.shape == (2, saved.size)
    assert np.isfinite(vectors).all()
    assert np.allclose(encoder.encode_text(texts[:1]), vectors[:1], atol=1e-5)


def test_nothing_is_said_while_a_model_is_loaded(saved, home, capfd):
    load(saved.folder, home).encode(np.zeros((1, 32, 32, 3), np.uint8))
    assert capfd.readouterr() == ("", "")


def test_a_folder_is_known_by_its_whole_path_so_that_it_is_found_from_anywhere(copied, home, monkeypatch):
    monkeypatch.chdir(copied.parent)
    assert load(copied.name, home).spec == f"hf:{copied}"


def test_the_fingerprint_follows_weights_and_preprocessing(copied, saved, home):
    before = load(copied, home).fingerprint
    assert before == load(saved.folder, home).fingerprint
    path = copied / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "image_mean": [0.1, 0.2, 0.3]}))
    assert load(copied, home).fingerprint != before


def test_pickled_weights_are_never_opened(copied, home):
    (copied / "model.safetensors").rename(copied / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin, a pickle, which clipcap never opens"):
        load(copied, home)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("config.json", {"model_type": "gpt2"}, "type 'gpt2' is no encoder that clipcap knows"),
        ("preprocessor_config.json", {"do_normalize": False}, "do_normalize is off"),
        ("preprocessor_config.json", {"image_mean": "?"}, "cannot be followed"),
        ("preprocessor_config.json", {"size": {"height": 40, "width": 30}, "do_center_crop": False}, "30 x 40 is not square"),
        (
            "preprocessor_config.json",
            {"size": {"height": 48, "width": 48}, "do_center_crop": False},
            "takes pictures of 32 pixels, and its preprocessing makes 48",
        ),
    ],
)
def test_what_cannot_be_followed_is_named(copied, home, name, changes, message):
    path = copied / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(InputError, match=message):
        load(copied, home)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_is_refused(copied, home, name):
    (copied / name).unlink()
    with pytest.raises(InputError, match=name):
        load(copied, home)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_a_damaged_file_is_named(copied, home, name):
    (copied / name).write_text("{")
    with pytest.raises(InputError, match=f"{name}: this file cannot be read as JSON"):
        load(copied, home)


def test_damaged_weights_are_named(copied, home):
    (copied / "model.safetensors").write_bytes(b"\x08")
    encoder = load(copied, home)
    with pytest.raises(InputError, match="transformers cannot read this model"):
        encoder.encode(np.zeros((1, 32, 32, 3), np.uint8))


def test_offline_a_model_of_the_hub_says_what_is_missing_and_what_to_do(home, monkeypatch, tmp_path):
    monkeypatch.setenv("CLIPCAP_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingError) as raised:
        load("openai/clip-vit-base-patch32", home)
    assert all(part in str(raised.value) for part in ("605 MB", "https://huggingface.co/openai/clip-vit-base-patch32", str(home.weights)))


def test_a_folder_brought_into_the_store_stands_for_its_id(saved, home):
    folder = home.weights / "google" / "tiny"
    folder.mkdir(parents=True)
    for path in saved.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    assert load("google/tiny", home).embedding_size == saved.size
