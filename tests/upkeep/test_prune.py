from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import pytest
from upkeep_tools import draw

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.datasets.dataset import open_dataset, remove_dataset
from clipcap_cli.embeddings.checking import ids_in
from clipcap_cli.errors import InputError, StoreError
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.locks import BusyError, hold, hold_file
from clipcap_cli.training.grid import plan_trials
from clipcap_cli.training.sweeps import open_sweep, remove_sweep, sweep_of
from clipcap_cli.upkeep.prune import PRUNED, carry_out, plan
from clipcap_cli.upkeep.verify import verify

DAY = 86_400
DIE_WHILE_WRITING = """
import os, sys
from pathlib import Path
from clipcap_cli.storage.atomic import new_folder
with new_folder(Path(sys.argv[1]) / "v0003") as folder:
    (folder / "half").write_text("half")
    os.kill(os.getpid(), 9)
"""


def contents(store):
    return {path: path.read_bytes() for path in store.home.root.rglob("*") if path.is_file() and "locks" not in path.parts}


def pruned(store, *kinds):
    return [(removal.kind, removal.path.name) for removal in carry_out(store.home, plan(store.home, kinds)).removed]


def test_where_everything_is_needed_nothing_goes(store):
    before = contents(store)
    assert plan(store.home) == []
    assert pruned(store) == []
    assert contents(store) == before


def test_a_plan_changes_nothing_and_says_why_and_how_much(store):
    remove_dataset(store.home, "food")
    before = contents(store)
    [removal] = plan(store.home)
    assert (removal.kind, removal.path, removal.why) == ("embeddings", store.embeddings, "none of its pictures is in a dataset")
    assert removal.size_bytes == sum(path.stat().st_size for path in store.embeddings.iterdir())
    assert contents(store) == before


def test_pictures_in_the_store_go_a_day_after_no_version_names_them(store, tmp_path, monkeypatch):
    folder = tmp_path / "copied"
    draw(folder, "pink", "cyan")
    dataset = add_dataset(folder, home=store.home, policy="copy")
    assert plan(store.home, ["images"]) == []
    remove_dataset(store.home, dataset.name)
    assert plan(store.home, ["images"]) == [], "somebody may be adding them just now"
    later = time.time() + 2 * DAY
    monkeypatch.setattr("clipcap_cli.upkeep.prunable.time.time", lambda: later)
    planned = plan(store.home, ["images"])
    assert len(planned) == 2
    add_dataset(folder, home=store.home, policy="copy")
    assert plan(store.home, ["images"]) == []
    assert verify(store.home, ["images"]).findings == ()


def test_embeddings_go_only_as_a_whole_and_when_no_dataset_has_any_of_their_pictures(store, make, tmp_path):
    add_dataset(make(tmp_path / "one", "blue"), home=store.home)
    remove_dataset(store.home, "food")
    assert plan(store.home) == []
    remove_dataset(store.home, "one")
    assert pruned(store) == [("embeddings", store.embeddings.name)]
    assert not store.embeddings.exists()


def test_embeddings_of_texts_go_with_those_of_pictures(store):
    texts = store.embeddings.with_name(f"{store.embeddings.name}-text")
    shutil.copytree(store.embeddings, texts)
    assert plan(store.home) == []
    remove_dataset(store.home, "food")
    assert {path for _, path in pruned(store)} == {store.embeddings.name, texts.name}


def test_embeddings_that_came_into_use_after_the_plan_stay(store):
    remove_dataset(store.home, "food")
    planned = plan(store.home)
    add_dataset(store.pictures, home=store.home)
    done = carry_out(store.home, planned)
    assert done.removed == ()
    assert [why for _, why in done.kept] == ["it is in use now"]
    assert len(ids_in(store.embeddings)) == 3


def test_embeddings_that_somebody_is_adding_to_stay(store):
    remove_dataset(store.home, "food")
    with hold(store.home, f"embeddings-{store.embeddings.name}"):
        done = carry_out(store.home, plan(store.home))
    assert done.removed == ()
    assert f"is being changed by process {os.getpid()}" in done.kept[0][1]
    assert store.embeddings.exists()


def test_where_a_dataset_cannot_be_read_nobody_knows_and_embeddings_stay(store):
    (store.home.datasets / "food" / "v0002" / "images.parquet").write_bytes(b"")
    heard = []
    assert plan(store.home, events=heard.append) == []
    assert any("embeddings stay as they are" in note.text for note in heard)


def test_kept_captions_go_when_their_captioner_is_gone(store):
    shutil.rmtree(store.home.runs / "first")
    assert plan(store.home) == []
    shutil.rmtree(store.home.runs / "second")
    assert pruned(store) == [("evaluations", "food-val-0123456789ab")]


def test_kept_captions_of_a_captioner_that_was_copied_to_the_models_stay(store):
    shutil.copytree(store.home.runs / "second" / "best", store.home.models / "second")
    shutil.rmtree(store.home.runs / "second")
    assert plan(store.home) == []


def test_old_versions_go_only_if_they_are_named_and_nothing_was_made_with_them(store, make):
    make(store.pictures, "white")
    add_dataset(store.pictures, home=store.home)
    assert plan(store.home) == []
    assert plan(store.home, ["versions"]) == []  # runs were made with v1 and v2
    shutil.rmtree(store.home.runs / "second")
    assert pruned(store, "versions") == [("versions", "v0002")]
    assert open_dataset("food", home=store.home).version == 3
    assert open_dataset("food", home=store.home, version=1).pictures == 2
    with pytest.raises(InputError, match="version 2 of the dataset 'food' is not there any more"):
        open_dataset("food", home=store.home, version=2)
    assert verify(store.home).findings == ()
    make(store.pictures, "black")
    assert add_dataset(store.pictures, home=store.home).version == 4


def test_the_version_that_a_sweep_goes_on_with_stays(store, make):
    shutil.rmtree(store.home.runs / "second")
    sweep_of(plan_trials("quickstart", ["dataset.name=food", "train.lr=1e-3,2e-3"]), store.home, dataset_version=2)
    make(store.pictures, "white")
    add_dataset(store.pictures, home=store.home)
    assert plan(store.home, ["versions"]) == []
    remove_sweep(open_sweep("quickstart-sweep", store.home))
    assert pruned(store, "versions") == [("versions", "v0002")]


def test_where_a_run_cannot_be_read_old_versions_stay(store):
    (store.home.runs / "first" / "run.json").write_text("{")
    heard = []
    assert plan(store.home, ["versions"], events=heard.append) == []
    assert any("versions stay as they are" in note.text for note in heard)


def test_checkpoints_go_only_if_they_are_named_and_of_finished_runs(store):
    record = store.home.runs / "second" / "run.json"
    record.write_text(record.read_text().replace('"finished"', '"stopped"'))
    assert plan(store.home) == []
    [removal] = plan(store.home, ["checkpoints"])
    assert removal.path == store.home.runs / "first" / "checkpoints"
    assert pruned(store, "checkpoints") == [("checkpoints", "checkpoints")]
    assert (store.home.runs / "first" / "best" / "mapper.safetensors").exists()
    assert (store.home.runs / "second" / "checkpoints" / "step-00000002").exists()


def test_logs_go_when_they_are_old_and_a_clock_that_was_set_back_keeps_them(store):
    log = store.home.logs / "clipcap-1.log"
    assert plan(store.home) == []
    os.utime(log, (time.time() + 400 * DAY,) * 2)
    assert plan(store.home) == []
    os.utime(log, (time.time() - 31 * DAY,) * 2)
    assert plan(store.home, log_days=40) == []
    assert pruned(store) == [("logs", "clipcap-1.log")]


def test_what_killed_processes_left_goes_and_what_is_being_written_stays(store):
    folder = store.home.datasets / "food"
    assert subprocess.run([sys.executable, "-c", DIE_WHILE_WRITING, str(folder)], check=False).returncode == -9
    shutil.copytree(folder / "v0002", folder / "v0003")  # a version that was not made the current one
    mine = folder / f".v0003.{os.getpid()}-000000-01234567.part"
    mine.mkdir()
    before = {path: data for path, data in contents(store).items() if "v0003" not in str(path)}
    assert sorted(kind for kind, _ in pruned(store)) == ["leftovers", "leftovers"]
    assert contents(store) == before
    assert mine.exists()
    assert sorted(path.name for path in folder.iterdir()) == sorted([mine.name, "dataset.json", "v0001", "v0002"])


def test_a_download_that_broke_off_can_be_gone_on_with_for_a_week(store):
    part = store.home.weights / "openai" / ".ViT-B-32.pt.download"
    part.write_text("half")
    assert plan(store.home) == []
    os.utime(part, (time.time() - 8 * DAY,) * 2)
    assert pruned(store) == [("leftovers", part.name)]


def test_notes_of_dead_processes_at_locks_go_and_the_locks_stay(store):
    code = "import os, sys; from pathlib import Path; from clipcap_cli.storage.home import Home; from clipcap_cli.storage.locks import hold\n"
    code += "with hold(Home(Path(sys.argv[1])), 'run-first'):\n    os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code, str(store.home.root)], check=False).returncode == -9
    with hold(store.home, "run-second"):
        assert pruned(store) == [("locks", "run-first.holder")]
    assert (store.home.locks / "run-first.lock").exists()
    assert not (store.home.locks / "run-first.holder").exists()


def test_what_is_damaged_and_can_be_made_anew_goes_if_it_is_named(store):
    home = store.home.root
    files = [
        store.embeddings / "vectors-00000.f16",
        home / "runs" / "first" / "checkpoints" / "step-00000002" / "mapper.safetensors",
        home / "evaluations" / "food-val-0123456789ab" / "predictions.json",
        home / "models" / "mine" / "mapper.safetensors",
    ]
    for path in files:
        path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    assert plan(store.home) == []
    assert len(verify(store.home).findings) == 4
    assert [kind for kind, _ in pruned(store, "damaged")] == ["damaged"] * 3
    assert [finding.kind for finding in verify(store.home).findings] == ["models"]  # nobody but the user can bring that back
    assert len(ids_in(store.embeddings)) == 1
    store.embed("food")
    assert len(ids_in(store.embeddings)) == 3
    assert [finding.kind for finding in verify(store.home).findings] == ["models"]


def test_one_prunes_at_a_time(store):
    with hold_file(store.home.locks / "prune.lock", "the store"), pytest.raises(BusyError, match="the store is being changed by process"):
        carry_out(store.home, [])


def test_only_what_can_be_pruned_is_pruned(store):
    with pytest.raises(InputError, match="'runs' is nothing that can be pruned"):
        plan(store.home, ["runs"])
    assert "runs" not in PRUNED
    assert "models" not in PRUNED


def test_a_disk_that_refuses_is_said(store, monkeypatch):
    remove_dataset(store.home, "food")
    planned = plan(store.home)

    def refuse(source, target):
        raise OSError(30, "Read-only file system", str(source))

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(StoreError, match="read-only"):
        carry_out(store.home, planned)
    assert store.embeddings.exists()


PRUNE_AND_DIE = """
import os, shutil, sys
from pathlib import Path
from clipcap_cli.storage.home import Home
from clipcap_cli.training.grid import plan_trials
from clipcap_cli.training.sweeps import open_sweep, remove_sweep, sweep_of
from clipcap_cli.upkeep.prune import carry_out, plan

os.fsync = lambda handle: None  # a killed process loses nothing that it has written

def die_at(number):
    calls = 0
    def dying(real):
        def call(*arguments, **settings):
            nonlocal calls
            calls += 1
            if calls == number:
                os.kill(os.getpid(), 9)
            return real(*arguments, **settings)
        return call
    for name in ("rename", "unlink", "rmdir"):
        setattr(os, name, dying(getattr(os, name)))

for number in range(1, 100):
    copy = Path(sys.argv[2]) / str(number)
    shutil.copytree(sys.argv[1], copy)
    child = os.fork()
    if not child:
        die_at(number)
        carry_out(Home(copy), plan(Home(copy), sys.argv[3:]))
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -9:
        sys.exit()
"""
EVERYTHING = ("leftovers", "embeddings", "evaluations", "checkpoints", "logs", "locks", "versions")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_a_prune_that_is_killed_at_any_removal_leaves_a_whole_store_and_the_next_one_finishes(store, tmp_path, monkeypatch):
    """Killed before the first, the second, … call that removes or renames something, until it gets through."""
    remove_dataset(store.home, "food")
    shutil.rmtree(store.home.runs / "second")
    os.utime(store.home.logs / "clipcap-1.log", (0, 0))
    line = [sys.executable, "-c", PRUNE_AND_DIE, str(store.home.root), str(tmp_path / "copies"), *EVERYTHING]
    ended = subprocess.run(line, check=False, capture_output=True, text=True)
    assert ended.stderr == ""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    killed = sorted((tmp_path / "copies").iterdir(), key=lambda path: int(path.name))[:-1]
    for copy in killed:
        home = Home(copy)
        assert verify(home).findings == ()
        carry_out(home, plan(home, EVERYTHING))
        assert plan(home, EVERYTHING) == []
        assert {path.relative_to(copy).parts[0] for path in copy.rglob("*") if path.is_file()} == {"home.json", "locks", "models", "runs", "weights"}
    assert len(killed) >= 12
