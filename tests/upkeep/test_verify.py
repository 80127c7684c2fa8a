from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from upkeep_tools import draw, make_bundle

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.datasets.dataset import open_dataset
from clipcap_cli.embeddings.checking import store_folders
from clipcap_cli.errors import InputError
from clipcap_cli.events import Advanced, Finished, Started
from clipcap_cli.storage.home import Home
from clipcap_cli.upkeep import bundles
from clipcap_cli.upkeep.findings import Finding
from clipcap_cli.upkeep.prune import carry_out, plan
from clipcap_cli.upkeep.verify import VERIFIED, give_checksums, verify


def flip(path: Path, place: int | None = None) -> None:
    """Change one bit, and nothing about the file that its folder tells."""
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2 if place is None else place] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def found(home: Home, *kinds: str) -> list[Finding]:
    return list(verify(home, kinds).findings)


def test_a_whole_store_is_whole_and_nothing_in_it_is_changed(store):
    before = {path: path.read_bytes() for path in store.home.root.rglob("*") if path.is_file()}
    heard = []
    verified = verify(store.home, events=heard.append)
    assert verified.findings == ()
    assert verified.things == {"datasets": 2, "images": 0, "embeddings": 1, "weights": 1, "models": 1, "runs": 2, "evaluations": 1}
    assert verified.without_checksums == 0
    assert {path: path.read_bytes() for path in store.home.root.rglob("*") if path.is_file()} == before
    assert isinstance(heard[0], Started)
    assert isinstance(heard[-1], Finished)
    read = sum(event.amount for event in heard if isinstance(event, Advanced))
    assert 0 < read <= heard[0].total


def test_an_empty_store_is_whole(home):
    assert verify(home).findings == ()
    assert not home.root.exists()


# Every file whose content has a hash, the kind that it is found under, and what is named as the remedy.
HASHED = [
    ("datasets/food/v0001/images.parquet", "datasets", "Restore the file. A run"),
    ("datasets/food/v0002/images.parquet", "datasets", "--name food --replace"),
    ("datasets/food/v0002/captions.parquet", "datasets", "clipcap dataset add"),
    ("weights/openai/mine.pt", "weights", "rm "),
    ("models/mine/mapper.safetensors", "models", "clipcap model import mine.pt --name mine --replace"),
    ("runs/first/best/mapper.safetensors", "runs", "clipcap train runs/first"),
    ("runs/first/checkpoints/step-00000002/mapper.safetensors", "runs", "clipcap cache prune damaged"),
    ("runs/first/checkpoints/step-00000002/resume/tensors.safetensors", "runs", "clipcap cache prune damaged"),
    ("evaluations/food-val-0123456789ab/predictions.json", "evaluations", "clipcap cache prune damaged"),
    ("evaluations/food-val-0123456789ab/captions.json", "evaluations", "clipcap cache prune damaged"),
]


@pytest.mark.parametrize(("file", "kind", "remedy"), HASHED)
def test_a_flipped_bit_is_found_and_named_with_what_makes_it_good(store, file, kind, remedy):
    flip(store.home.root / file)
    [finding] = found(store.home)
    assert (finding.kind, finding.where) == (kind, store.home.root / file)
    assert "not as it was" in finding.what
    assert remedy in finding.remedy


@pytest.mark.parametrize(("file", "kind", "remedy"), HASHED)
def test_a_missing_file_is_found(store, file, kind, remedy):
    (store.home.root / file).unlink()
    findings = found(store.home)
    if kind == "weights":  # nobody says that weights have to be here
        assert findings == []
    else:
        assert [(finding.kind, finding.where) for finding in findings] == [(kind, store.home.root / file)]


# Small files that say what is what: they have no hash, and are read.
@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("datasets/food/dataset.json", "datasets"),
        ("datasets/food/v0002/version.json", "datasets"),
        ("models/mine/captioner.json", "models"),
        ("runs/first/run.json", "runs"),
        ("runs/first/recipe.yaml", "runs"),
        ("runs/first/best/captioner.json", "runs"),
        ("runs/first/checkpoints/step-00000002/resume/state.json", "runs"),
        ("evaluations/food-val-0123456789ab/files.json", "evaluations"),
    ],
)
@pytest.mark.parametrize("text", ["{", "\x00" * 50, "[3]", '{"current": "two", "files": 3}'], ids=["half", "zeros", "list", "nonsense"])
def test_a_small_file_that_cannot_be_read_is_found(store, file, kind, text):
    (store.home.root / file).write_text(text)
    findings = found(store.home)
    assert findings
    assert {(finding.kind, finding.where) for finding in findings} == {(kind, store.home.root / file)}
    assert all(finding.remedy for finding in findings)


@pytest.mark.parametrize("line", ["{", "[3]", "\x00" * 50])
def test_a_line_of_figures_that_cannot_be_read_is_found(store, line):
    path = store.home.runs / "first" / "metrics.jsonl"
    path.write_text(f'{{"step": 1}}\n{line}\n{{"step": 3}}\n')
    assert [(finding.where, finding.what) for finding in found(store.home)] == [(path, "line 2 is no JSON object")]


def test_all_that_is_damaged_is_listed_not_only_the_first(store):
    for file, _, _ in HASHED:
        flip(store.home.root / file)
    assert {finding.where for finding in found(store.home)} == {store.home.root / file for file, _, _ in HASHED}


def test_only_the_kinds_that_were_asked_for_are_looked_at(store):
    for file, _, _ in HASHED:
        flip(store.home.root / file)
    assert {finding.kind for finding in found(store.home, "models", "weights")} == {"models", "weights"}
    with pytest.raises(InputError, match="'modles' is nothing that can be verified"):
        verify(store.home, ("modles",))
    assert "datasets" in VERIFIED


def test_embeddings_are_named_with_the_dataset_that_has_them(store):
    flip(store.embeddings / "vectors-00000.f16", 0)
    [finding] = found(store.home)
    assert (finding.kind, finding.name) == ("embeddings", store.embeddings.name)
    assert finding.what == "rows 0 to 1: the bytes are not those that were written"
    assert finding.remedy == "clipcap cache prune damaged && clipcap embed food --encoder efficientnet-lite0"


def test_a_store_of_embeddings_that_is_damaged_as_a_whole_is_found(store):
    (store.embeddings / "encoder.json").write_text("{")
    [finding] = found(store.home)
    assert finding.where == store.embeddings / "encoder.json"
    assert finding.drop is not None


def test_embeddings_of_earlier_versions_are_counted_and_can_be_given_checksums(store):
    with sqlite3.connect(store.embeddings / "index.sqlite") as index:
        index.execute("DROP TABLE checksums")
    index.close()
    assert verify(store.home).without_checksums == 3
    assert give_checksums(store.home) == 3
    assert verify(store.home).without_checksums == 0
    assert [folder.name for folder in store_folders(store.home)] == [store.embeddings.name]


def test_a_version_of_an_earlier_clipcap_has_no_hashes_and_is_checked_by_what_it_says(store):
    path = store.home.root / "datasets" / "food" / "v0002" / "version.json"
    facts = json.loads(path.read_text())
    del facts["files"]
    path.write_text(json.dumps(facts))
    assert found(store.home) == []
    path.write_text(json.dumps({**facts, "digest": "0" * 64}))
    [finding] = found(store.home)
    assert "what its files say is not what was added" in finding.what


def test_pictures_are_read_where_they_lie_if_that_is_asked_for(store):
    flip(store.pictures / "red.png")
    (store.pictures / "green.png").unlink()
    assert found(store.home) == []
    findings = found(store.home, "pictures")
    assert {finding.where: finding.what for finding in findings} == {
        store.pictures / "red.png": "this picture has changed since it was added",
        store.pictures / "green.png": "this picture cannot be read (No such file or directory)",
    }
    assert f"clipcap dataset add {store.pictures} --name food" in findings[0].remedy


def test_the_last_line_of_a_run_that_broke_off_may_be_cut(store):
    path = store.home.runs / "first" / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 3, "lo')
    assert [finding.what for finding in found(store.home)] == ["line 3 is no JSON object"]
    record = store.home.runs / "first" / "run.json"
    record.write_text(record.read_text().replace('"finished"', '"running"'))
    assert found(store.home) == []


def test_a_listing_that_names_a_file_outside_of_its_folder_is_told_and_not_followed(store):
    path = store.home.models / "mine" / "captioner.json"
    path.write_text(path.read_text().replace('"mapper.safetensors":', '"../../home.json":'))
    assert "it names a file outside of its folder" in found(store.home)[0].what


def test_weights_that_were_exchanged_by_hand_are_no_damage(store):
    (store.home.weights / "openai" / "mine.pt").write_text("others")
    assert found(store.home) == []


def test_what_is_removed_meanwhile_is_no_damage(store, monkeypatch):
    real = bundles.sha256_quietly

    def remove_first(path, read):
        shutil.rmtree(store.home.runs / "first", ignore_errors=True)
        return real(path, read)

    monkeypatch.setattr(bundles, "sha256_quietly", remove_first)
    assert found(store.home, "runs") == []


def test_a_bundle_that_is_replaced_meanwhile_is_no_damage(store, monkeypatch):
    real, best = bundles.sha256_quietly, store.home.runs / "first" / "best"

    def replace_once(path, read):
        if path.parent == best and "best of first" in path.read_text():
            shutil.rmtree(best)
            make_bundle(best, "a better one")
        return real(path, read)

    monkeypatch.setattr(bundles, "sha256_quietly", replace_once)
    assert found(store.home, "runs") == []


def test_a_damaged_current_version_gets_another_in_its_place_and_the_older_ones_stay(store):
    before = open_dataset("food", home=store.home, version=1).images()
    current = open_dataset("food", home=store.home)
    flip(current.folder / "captions.parquet")
    add_dataset(store.pictures, home=store.home, replace_all=True)
    again = open_dataset("food", home=store.home)
    assert (again.version, again.images()) == (current.version + 1, again.images())
    assert open_dataset("food", home=store.home, version=1).images() == before
    [finding] = found(store.home, "datasets")
    assert "made with this one" in finding.remedy, "the run that was made with it needs it"
    shutil.rmtree(store.home.runs / "second")
    [finding] = found(store.home, "datasets")
    assert finding.remedy == "clipcap cache prune damaged"
    carry_out(store.home, plan(store.home, ["damaged"]))
    assert found(store.home, "datasets") == []
    assert open_dataset("food", home=store.home, version=1).images() == before


def test_a_picture_in_the_store_that_is_not_as_it_was_is_named_and_adding_again_brings_it_back(store, tmp_path):
    folder = draw(tmp_path / "copied", "pink")
    add_dataset(folder, home=store.home, policy="copy")
    [path] = store.home.images.glob("??/*")
    flip(path)
    [finding] = found(store.home, "images")
    assert (finding.where, "clipcap dataset add" in finding.remedy) == (path, True)
    add_dataset(folder, home=store.home, policy="copy")
    assert found(store.home, "images") == []
    assert open_dataset("copied", home=store.home).images()[0].path == path


def test_linked_pictures_keep_the_time_of_the_users_files(store, tmp_path):
    folder = draw(tmp_path / "linked", "pink")
    [file] = folder.glob("*.png")
    os.utime(file, (1_000, 1_000))
    for _ in range(2):
        add_dataset(folder, home=store.home, policy="link", replace_all=True)
    assert file.stat().st_mtime == 1_000
