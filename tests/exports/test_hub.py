"""Up to a hub and back, against one on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_server import TOKEN, Hub, running_hub

import clipcap_cli
from clipcap_cli.captioner.importing import pull_model
from clipcap_cli.captioner.manifest import read_manifest
from clipcap_cli.errors import InputError, MissingError, StoreError
from clipcap_cli.storage.home import Home

MakeModel = Callable[..., Any]
REPO = "me/food-captioner"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    from huggingface_hub import constants

    for name in ("HF_HUB_OFFLINE", "CLIPCAP_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_XET_CACHE", str(tmp_path / "xet"), raising=False)
    with running_hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
        yield hub


@pytest.fixture
def uploaded(hub: Hub, make_model: MakeModel, home: Home) -> Hub:
    """The hub with a captioner on it."""
    make_model("food")
    address = clipcap_cli.export("food", "hub", repo=REPO, self_contained=True, home=home)
    assert str(address) == f"{hub.url}/{REPO}/commit/{hub.commit(REPO)}"
    return hub


def test_a_captioner_goes_up_and_comes_back_the_same(uploaded: Hub, pictures: list[Path], home: Home, tmp_path: Path) -> None:
    elsewhere = Home(tmp_path / "elsewhere")
    assert pull_model(REPO, home=elsewhere) == "food-captioner"
    there, here = (list(clipcap_cli.load(name, home=at, device="cpu").caption(pictures)) for name, at in (("food", home), ("food-captioner", elsewhere)))
    assert there == here
    manifest = read_manifest(elsewhere.models / "food-captioner")
    assert manifest.info["pulled"] == {"repo": REPO, "revision": uploaded.commit(REPO)}
    assert f"clipcap model pull {REPO} " in (elsewhere.models / "food-captioner" / "README.md").read_text()
    assert list((elsewhere.weights / "hub").iterdir()) == []
    assert uploaded.commits == ["The captioner food-captioner"]


def test_what_an_earlier_upload_left_is_removed_and_what_others_put_there_is_not(uploaded: Hub, home: Home) -> None:
    files = uploaded.repos[REPO]
    files["LICENSE"] = files["lm/old.json"] = b"x"
    clipcap_cli.export("food", "hub", repo=REPO, home=home)
    assert sorted(files) == ["LICENSE", "README.md", "captioner.json", "mapper.safetensors"]
    assert len(uploaded.commits) == 2


def test_only_the_files_of_a_bundle_are_fetched_and_all_of_one_commit(uploaded: Hub, tmp_path: Path) -> None:
    uploaded.repos[REPO]["pytorch_model.bin"] = uploaded.repos[REPO]["lm/modeling.py"] = b"\x80\x04."
    commit = uploaded.commit(REPO)
    uploaded.asked.clear()
    pull_model(REPO, home=Home(tmp_path / "elsewhere"), revision="main", model="mine")
    fetched = {line.rpartition("/resolve/")[2] for line in uploaded.asked if "/resolve/" in line}
    assert {line.partition("/")[0] for line in fetched} == {commit}
    assert not any("bin" in line or "modeling" in line for line in fetched)
    assert (tmp_path / "elsewhere" / "models" / "mine" / "captioner.json").is_file()


def test_a_download_that_breaks_off_is_gone_on_with(uploaded: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uploaded.breaks = {"mapper.safetensors": 1000}
    assert pull_model(REPO, home=Home(tmp_path / "elsewhere")) == "food-captioner"
    assert len([line for line in uploaded.asked if line.startswith("GET") and "mapper.safetensors" in line]) == 2
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (lambda files: files.__setitem__("mapper.safetensors", b"x" * len(files["mapper.safetensors"])), StoreError, "mapper.safetensors was changed"),
        (lambda files: files.pop("mapper.safetensors"), StoreError, "mapper.safetensors is missing on the hub"),
        (lambda files: files.pop("captioner.json"), InputError, "is no captioner of clipcap: it has no captioner.json"),
        (lambda files: files.__setitem__("captioner.json", b" " * (1 << 25)), InputError, "larger than any captioner's"),
        (lambda files: files.__setitem__("captioner.json", b"{}"), InputError, "captioner.json is not as clipcap writes it"),
    ],
)
def test_what_is_damaged_there_does_not_come_in(
    spoil: Callable[[dict[str, bytes]], Any], kind: type[Exception], message: str, uploaded: Hub, tmp_path: Path
) -> None:
    spoil(uploaded.repos[REPO])
    elsewhere = Home(tmp_path / "elsewhere")
    with pytest.raises(kind) as caught:
        pull_model(REPO, home=elsewhere)
    assert message in str(caught.value)
    assert not list(elsewhere.models.glob("*"))


def test_a_pickle_that_is_listed_is_not_fetched(uploaded: Hub, tmp_path: Path) -> None:
    files = uploaded.repos[REPO]
    manifest = json.loads(files["captioner.json"])
    manifest["files"]["lm/pytorch_model.bin"] = "0" * 64
    files["captioner.json"], files["lm/pytorch_model.bin"] = json.dumps(manifest).encode(), b"\x80\x04."
    with pytest.raises(InputError, match=r"lists 'lm/pytorch_model\.bin', which no captioner has"):
        pull_model(REPO, home=Home(tmp_path / "elsewhere"))
    assert not any("pytorch_model" in line for line in uploaded.asked)


def test_what_is_not_there_is_told(uploaded: Hub, home: Home) -> None:
    with pytest.raises(InputError, match="the hub has no public model me/fod"):
        pull_model("me/fod", home=home)
    with pytest.raises(InputError, match="has no revision 'v9'"):
        pull_model(REPO, revision="v9", home=home)
    with pytest.raises(InputError, match="has no revisions"):
        pull_model("coco-mlp", revision="v9", home=home)


def test_a_private_repository_is_made_private(hub: Hub, make_model: MakeModel, home: Home) -> None:
    make_model("food")
    clipcap_cli.export("food", "hub", repo=REPO, private=True, home=home)
    assert hub.private == {REPO}


def test_without_a_token_or_with_a_wrong_one_it_is_said_what_to_do(hub: Hub, make_model: MakeModel, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model("food")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(MissingError, match="there is no token of the hub on this machine") as caught:
        clipcap_cli.export("food", "hub", repo=REPO, home=home)
    assert "hf auth login" in str(caught.value.hint)
    assert hub.asked == []
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_wrong")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(MissingError, match=r"me/food-captioner could not be uploaded: .*401") as caught:
        clipcap_cli.export("food", "hub", repo=REPO, home=home)
    assert "hf auth login" in str(caught.value.hint)


def test_offline_nothing_is_asked_for(hub: Hub, make_model: MakeModel, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model("food")
    monkeypatch.setenv("CLIPCAP_OFFLINE", "1")
    with pytest.raises(MissingError, match="clipcap is offline"):
        clipcap_cli.export("food", "hub", repo=REPO, home=home)
    with pytest.raises(MissingError, match="clipcap is offline"):
        pull_model(REPO, home=home)
    assert hub.asked == []


def test_a_hub_that_does_not_answer_is_a_sentence(hub: Hub, make_model: MakeModel, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model("food")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(MissingError, match="could not be looked up"):
        pull_model(REPO, home=home)
    with pytest.raises(MissingError, match="could not be uploaded"):
        clipcap_cli.export("food", "hub", repo=REPO, home=home)
