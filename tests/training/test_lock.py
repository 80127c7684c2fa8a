"""lock.json says what a run was made of and on, and nothing that changes slips through."""

import json
import shutil

import pytest
from colours import settings
from mean_colour import ColourEncoder

from clipcap_cli.captioner.lm_loading import load_language_model
from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.datasets.dataset import open_dataset
from clipcap_cli.embeddings.pipeline import embed_dataset
from clipcap_cli.embeddings.store import open_store
from clipcap_cli.errors import StoreError
from clipcap_cli.recipe import load_recipe
from clipcap_cli.training import lock
from clipcap_cli.training.lock import data_facts, encoder_facts, read_lock, start_facts
from clipcap_cli.training.train import train


@pytest.fixture
def recipe():
    return load_recipe("quickstart", settings(train__epochs=1))


def test_a_lock_names_data_weights_packages_machine_and_recipe(colours, home):
    run = train("quickstart", settings(train__epochs=1, mapper__preset="auto"), home=home)
    lock = read_lock(run.path)

    assert (lock.data["dataset"], lock.data["version"], lock.data["digest"]) == ("colours", 1, colours.digest)
    assert (lock.data["train"]["pictures"], lock.data["val"]["captions"]) == (12, 4)
    assert (lock.encoder["fingerprint"], lock.encoder["rows"]) == (ColourEncoder.fingerprint, 16)
    assert lock.start["weights"] == load_language_model("builtin:nano").content_hash
    assert {"python", "torch", "transformers", "tokenizers", "numpy", "clipcap"} <= lock.packages.keys()
    assert lock.machine["threads"] == 1
    assert lock.machine["precision"] in ("fp32", "bf16")
    assert lock.recipe == run.recipe.model_dump(mode="json")
    assert (lock.asked["mapper"]["preset"], lock.asked["dataset"]["version"]) == ("auto", None)
    assert (lock.recipe["mapper"]["preset"], lock.recipe["dataset"]["version"]) == ("small", 1)


@pytest.mark.parametrize("change", ["caption", "split", "picture"])
def test_whatever_changes_in_what_is_learned_changes_its_hash(colours, home, recipe, change):
    before = data_facts(recipe, colours)["train"]["sha256"]
    table = colours.source / "metadata.csv"
    if change == "picture":
        shutil.copyfile(colours.source / "red1.png", colours.source / "blue1.png")
    else:
        old, new = {"caption": ("a red picture,train", "a Red picture,train"), "split": ("red0.png,a red picture,train", "red0.png,a red picture,val")}[change]
        table.write_text(table.read_text().replace(old, new, 1))
    assert data_facts(recipe, colours)["train"]["sha256"] == before  # a version never changes
    # A split that was given stays with its picture, so the new one needs a dataset of its own.
    after = data_facts(recipe, add_dataset(colours.source, name="other" if change == "split" else "colours", home=home))
    assert after["train"]["sha256"] != before
    assert data_facts(recipe, open_dataset("colours", home=home, version=1))["train"]["sha256"] == before


def test_a_vector_that_changed_in_the_store_changes_the_hash_of_the_rows(colours, home, recipe):
    encoder = ColourEncoder()
    embed_dataset(colours, encoder)
    before = encoder_facts(recipe, colours, encoder, home)
    file = open_store(home, encoder).folder / "vectors-00000.f16"
    content = bytearray(file.read_bytes())
    content[1] ^= 1
    file.write_bytes(content)
    after = encoder_facts(recipe, colours, encoder, home)
    assert (before["rows"], before["fingerprint"]) == (after["rows"], after["fingerprint"])
    assert before["rows_sha256"] != after["rows_sha256"]


def test_the_revision_of_an_encoder_from_the_hub_is_written_down(home, recipe, tmp_path, monkeypatch):
    class FromTheHub(ColourEncoder):
        spec = "hf:some/clip"

    revision = "0123456789" * 4
    monkeypatch.setattr(lock, "cached_folder", lambda name: tmp_path / "snapshots" / revision if name == "some/clip" else None)
    assert encoder_facts(recipe, None, FromTheHub(), home)["revision"] == revision
    assert encoder_facts(recipe, None, ColourEncoder(), home)["revision"] is None


def test_another_tokenizer_is_another_start(home, recipe, tmp_path):
    stock = load_language_model("builtin:nano").folder
    copy = shutil.copytree(stock, tmp_path / "nano")
    assert start_facts(recipe, copy, home) == start_facts(recipe, stock, home)
    (copy / "tokenizer_config.json").write_text((copy / "tokenizer_config.json").read_text() + " ")
    assert start_facts(recipe, copy, home)["tokenizer"] != start_facts(recipe, stock, home)["tokenizer"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', "[" * 100_000, '{"format": 1, "recipe": 3, "asked": {}, "data": 1, "encoder": 1}'])
def test_a_lock_that_cannot_be_read_is_said(tmp_path, text):
    (tmp_path / "lock.json").write_text(text)
    with pytest.raises(StoreError, match="cannot be read"):
        read_lock(tmp_path)


def test_a_lock_of_a_newer_clipcap_is_said(tmp_path):
    (tmp_path / "lock.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(StoreError, match="format 99"):
        read_lock(tmp_path)
