"""People who come from the original code: their data pickles, in and out, by the real command."""

from __future__ import annotations

import json
import pickle
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from golden_lm import GOLDEN
from said import Said

from clipcap_cli.encoders import clip_package

Clipcap = Callable[..., Said]
PICKLES = GOLDEN / "pickles"
pytestmark = pytest.mark.journey


@pytest.fixture(autouse=True)
def own_store(clipcap: Clipcap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPCAP_HOME", str(tmp_path / "home"))


@pytest.fixture
def encoder(tmp_path: Path) -> str:
    """A tiny CLIP of OpenAI's with vectors of 16 numbers, as the golden files have them."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(clip_package.model().CLIP(16, 64, 1, 64, 16, 77, 49408, 64, 1, 1).state_dict(), tmp_path / "tiny.pt")
    return f"openai:{tmp_path / 'tiny.pt'}"


def test_from_a_pickle_alone_to_a_captioner_and_back_to_a_pickle(clipcap: Clipcap, encoder: str, tmp_path: Path) -> None:
    source = tmp_path / "oscar_split_ViT-B_32_train.pkl"
    shutil.copyfile(PICKLES / source.name, source)
    added = clipcap("dataset", "add", source, "--name", "coco")
    assert added.code == 0, added.err
    assert f"clipcap embed coco --import {source} --encoder SPEC" in added.err
    shown = clipcap("dataset", "show", "coco")
    assert "A bowl of soup on a table." in shown.out

    imported = clipcap("embed", "coco", "--import", source, "--encoder", encoder, "--json")
    counts = json.loads(imported.out)
    assert (imported.code, counts["new"], counts["unmatched"], counts["problems"]) == (0, 3, [], [])

    settings = [
        "language_model.name=builtin:nano",
        f"encoder.name={encoder}",
        "train.epochs=1",
        "train.batch_size=2",
        "dataset.val=null",
        "decode.max_tokens=5",
    ]
    trained = clipcap("train", "coco-mlp-gpt2", "--dataset", "coco", *settings, "encoder.normalize=true")
    assert trained.code == 0, trained.err

    out = tmp_path / "back.pkl"
    exported = clipcap("dataset", "export", "coco", "--encoder", encoder, "--output", out)
    assert exported.code == 0, exported.err
    assert sorted(row["caption"] for row in pickle.loads(out.read_bytes())["captions"])[0] == "A bowl of soup on a table."
    again = clipcap("dataset", "export", "coco", "--encoder", encoder, "--output", out)
    assert (again.code, "exists and was left as it is" in again.err) == (3, True)


@pytest.mark.parametrize("name", ["popped.pkl", "storage_bytes_object.pkl", "cache_data_tokens.pkl"])
def test_hostile_pickles_are_refused_by_both_commands_and_create_nothing(
    name: str, clipcap: Clipcap, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = tmp_path / "shared.pkl"
    shutil.copyfile(PICKLES / "shared.pkl", good)
    assert clipcap("dataset", "add", good).code == 0
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for line in (("dataset", "add", PICKLES / "hostile" / name), ("embed", "shared", "--import", PICKLES / "hostile" / name, "--encoder", encoder)):
        said = clipcap(*line)
        assert said.code == 3
        assert "refused" in said.err or "never read" in said.err
        assert "Traceback" not in said.err
    assert list(here.iterdir()) == []


def test_bad_input_gets_a_sentence(clipcap: Clipcap, tmp_path: Path) -> None:
    good = tmp_path / "shared.pkl"
    shutil.copyfile(PICKLES / "shared.pkl", good)
    assert clipcap("dataset", "add", good).code == 0
    said = clipcap("embed", "shared", "--import", good, "--encoder", "openai:ViT-B/32")
    assert (said.code, "its embeddings have 16 numbers, and those of openai:ViT-B/32 have 512" in said.err) == (3, True)
    said = clipcap("embed", "shared", "--import", tmp_path / "nothing.pkl")
    assert (said.code, "there is no such file" in said.err) == (3, True)
    said = clipcap("dataset", "export", "shared", "--output", tmp_path / "x.pkl")
    assert (said.code, "pictures of shared have no embedding by openai:ViT-B/32" in said.err) == (3, True)
    assert "clipcap embed shared --encoder openai:ViT-B/32 --import FILE.pkl" in said.err
    said = clipcap("dataset", "export", "shared", "--format", "original", "--output", tmp_path, "--overwrite")
    assert (said.code, "is a folder" in said.err) == (3, True)


def test_a_file_of_other_pictures_is_not_taken_for_a_success(clipcap: Clipcap, encoder: str, tmp_path: Path) -> None:
    for name in ("shared.pkl", "float32.pkl"):
        shutil.copyfile(PICKLES / name, tmp_path / name)
    assert clipcap("dataset", "add", tmp_path / "shared.pkl").code == 0
    said = clipcap("embed", "shared", "--import", tmp_path / "float32.pkl", "--encoder", encoder)
    assert (said.code, "pictures of shared is in this file" in said.err) == (3, True)


@pytest.mark.parametrize(("file", "splits"), [("conceptual_train.pkl", ["train"]), ("conceptual_VAL.pkl", ["val"])])
def test_a_file_of_one_split_stays_one_split(clipcap: Clipcap, tmp_path: Path, file: str, splits: list[str]) -> None:
    shutil.copyfile(PICKLES / "shared.pkl", tmp_path / file)
    added = clipcap("dataset", "add", tmp_path / file, "--name", "cc", "--json")
    assert (added.code, list(json.loads(added.out)["splits"])) == (0, splits)
