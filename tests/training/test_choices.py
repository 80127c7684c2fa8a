"""What a recipe can choose beside the usual: text alone, adapters, presets, a number of steps."""

import json

import numpy as np
import pytest
from colours import settings
from mean_colour import COLOURS, ColourEncoder

from clipcap_cli.captioner.bundle import load_bundle
from clipcap_cli.embeddings.store import open_store
from clipcap_cli.errors import InputError
from clipcap_cli.events import Note
from clipcap_cli.recipe import load_recipe
from clipcap_cli.recipe.presets import preset_for
from clipcap_cli.recipe.schema import MapperPart
from clipcap_cli.training import train as train_module
from clipcap_cli.training.train import train


class ReadingEncoder(ColourEncoder):
    """Knows the colour that a text names, as it knows that of a picture."""

    def encode_text(self, texts):
        return np.array([next((COLOURS[word] for word in text.split() if word in COLOURS), (9, 9, 9)) for text in texts], np.float32) / 255


def said(heard):
    return "\n".join(event.text for event in heard if isinstance(event, Note))


@pytest.fixture
def reading(colours, monkeypatch):
    monkeypatch.setattr(train_module, "load_encoder", lambda *_, **__: ReadingEncoder())
    return colours


TEXTS = {"encoder.standardize": False, "encoder.normalize": True, "encoder.noise": 0.02, "train.epochs": 60, "train.dropout": 0.0}


@pytest.mark.parametrize("source", ["captions", pytest.param("file", marks=pytest.mark.slow)])
def test_from_text_alone_pictures_are_captioned(source, reading, home, tmp_path):
    texts = "captions"
    if source == "file":
        texts = str(tmp_path / "captions.txt")
        (tmp_path / "captions.txt").write_text("".join(f"a {name} picture\n\n" for name in COLOURS) * 3)
    run = train("quickstart", {**settings(dataset__texts=texts, dataset__val=None), **TEXTS}, home=home)
    captioner = load_bundle(run.best, home=home, device="cpu")
    vectors = np.array(list(COLOURS.values()), np.float32) / 255
    assert [caption.text for caption in captioner.caption_embeddings(vectors)] == [f"a {name} picture" for name in COLOURS]
    assert len(open_store(home, ReadingEncoder(), of="text")) == 4
    assert len(open_store(home, ReadingEncoder())) == 0  # no picture was looked at


def test_texts_can_be_validated_on_pictures_and_what_is_unwise_is_said(reading, home):
    heard = []
    run = train(
        "quickstart", settings(dataset__texts="captions", train__epochs=2, encoder__noise=0.0, encoder__standardize=False), home=home, events=heard.append
    )
    assert run.info.best_loss is not None
    assert "dataset colours v1 (captions alone): 12 captions, " in said(heard)
    assert "texts and pictures lie apart" in said(heard)


def test_without_any_dataset_a_file_of_texts_is_enough(reading, home, tmp_path):
    (tmp_path / "captions.txt").write_text("a red picture\na blue picture\n")
    changes = {"dataset.name": None, "dataset.val": None, "dataset.texts": str(tmp_path / "captions.txt"), "train.epochs": 1}
    run = train("quickstart", {**settings(), **changes}, home=home)
    assert run.info.dataset == str(tmp_path / "captions.txt")
    with pytest.raises(InputError, match="the recipe names no dataset") as caught:
        train("quickstart", {**settings(), **changes, "dataset.val": "val"}, home=home)
    assert "dataset.val=null" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "there is no file of captions"), ("\n\n", "there is no caption in this file"), (b"\xff\xfe\x00", "cannot be read")]
)
def test_texts_that_cannot_be_used_are_told(content, message, reading, home, tmp_path):
    path = tmp_path / "captions.txt"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        train("quickstart", settings(dataset__texts=str(path)), home=home)


def test_an_encoder_without_a_text_tower_is_refused(colours, home):
    with pytest.raises(InputError, match="turns no texts into vectors") as caught:
        train("quickstart", settings(dataset__texts="captions"), home=home)
    assert "openai:ViT-B/32" in str(caught.value.hint)


def test_adapters_are_trained_and_the_language_model_stays_as_it_is(colours, home):
    heard = []
    changes = settings(language_model__tune="lora", train__epochs=40, train__lm_lr=5e-3, language_model__lora_rank=4)
    run = train("quickstart", changes, home=home, events=heard.append)
    assert "frozen, with adapters of 0.1M weights" in said(heard)
    assert (run.best / "adapter" / "adapter_model.safetensors").exists()
    assert not (run.best / "lm").exists()
    losses = [line["val_loss"] for line in run.metrics() if "val_loss" in line]
    assert losses[-1] < losses[0]
    assert load_bundle(run.best, home=home, device="cpu").caption_embeddings(np.ones((1, 3), np.float32))[0].text


def test_steps_take_the_place_of_epochs(colours, home):
    heard = []
    run = train("quickstart", settings(train__steps=7, train__epochs=100), home=home, events=heard.append)
    assert (run.info.steps, run.info.planned_steps, run.info.ended_because) == (7, 7, "all steps done")
    assert "plan: 7 steps of 4 captions, 2.3 epochs" in said(heard)


def test_a_preset_fills_what_is_not_written_out():
    small = MapperPart.model_validate({"preset": "small"})
    assert (small.kind, small.prefix_length) == ("mlp", 5)
    large = MapperPart.model_validate({"preset": "large", "layers": 2})
    assert (large.kind, large.prefix_length, large.layers) == ("transformer", 40, 2)
    assert [preset_for(count) for count in (10, 30_000, 3_000_000)] == ["small", "medium", "large"]


def test_the_automatic_preset_is_settled_by_the_data_and_written_into_the_run(colours, home):
    changes = settings(mapper__preset="auto", train__epochs=1)
    del changes["mapper.prefix_length"]
    run = train("food", {**changes, "encoder.name": "efficientnet-lite0"}, home=home)
    assert (run.recipe.mapper.preset, run.recipe.mapper.prefix_length) == ("small", 10)  # the recipe writes out 10
    assert load_recipe(run.path / "recipe.yaml") == run.recipe
    assert json.loads((run.best / "captioner.json").read_text())["mapper"]["prefix_length"] == 10


def test_the_original_objective_needs_a_whole_batch_and_says_how_captions_end(colours, home):
    heard = []
    original = settings(train__objective="original", train__warmup=0.1)
    train("quickstart", {**original, "train.epochs": 1}, home=home, events=heard.append)
    assert 'decode.stop="." ends them as the published code does' in said(heard)
    with pytest.raises(InputError, match="there are 12 captions, fewer than one batch of 40") as caught:
        train("quickstart", {**original, "train.batch_size": 40}, home=home)
    assert caught.value.hint == "Set train.batch_size to 12 or less."
