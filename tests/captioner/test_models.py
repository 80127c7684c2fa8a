from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clipcap_cli.captioner.bundle import save_bundle
from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.models import Found, find_captioner, list_models, model_in_use, remove_model, use_model
from clipcap_cli.errors import InputError, MissingError
from clipcap_cli.storage.home import Home


@pytest.fixture
def home(tmp_path: Path, make_captioner: Callable[..., Captioner]) -> Home:
    """A store with the models birds and food, and the runs food and sea, the last one newer."""
    home = Home(tmp_path / "home")
    places = [home.models / "food", home.models / "birds", home.runs / "food" / "best", home.runs / "sea" / "best"]
    for age, place in enumerate(reversed(places)):
        save_bundle(make_captioner(), place)
        os.utime(place / "captioner.json", (1_700_000_000 - age,) * 2)
    (home.runs / "young").mkdir()
    return home


def test_the_list_has_models_and_the_captioners_of_runs(home: Home) -> None:
    use_model(home, "sea")
    (home.models / "birds" / "captioner.json").write_text("{}")
    listed = list_models(home)
    assert [(info.kind, info.name, info.in_use) for info in listed] == [
        ("model", "birds", False),
        ("model", "food", False),
        ("run", "food", False),
        ("run", "sea", True),
    ]
    assert listed[0].manifest is None
    assert "not as clipcap writes it" in str(listed[0].problem)
    assert listed[1].manifest is not None
    assert listed[1].manifest.encoder.spec == "test:colours"
    assert listed[1].size_bytes > 1000


def test_without_a_name_the_model_in_use_is_taken_else_the_newest_run(home: Home) -> None:
    found = find_captioner(None, home)
    assert (found.kind, found.name, found.path, found.why) == ("run", "sea", home.runs / "sea" / "best", "it is the newest run's")
    use_model(home, "birds")
    found = find_captioner(None, home)
    assert (found.kind, found.name, found.path, found.why) == ("model", "birds", home.models / "birds", "it is the model in use")


def test_a_name_means_a_model_then_a_run_then_a_folder(home: Home) -> None:
    assert find_captioner("food", home).path == home.models / "food"
    assert find_captioner("sea", home).path == home.runs / "sea" / "best"
    assert find_captioner(str(home.models / "birds"), home).kind == "bundle"
    assert find_captioner(str(home.runs / "sea"), home).path == home.runs / "sea" / "best"
    assert find_captioner("runs/sea", home) == Found(home.runs / "sea" / "best", "run", "sea", "it is the run of that name")


def test_what_is_not_there_is_told_with_what_could_have_been_meant(home: Home, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        find_captioner("brids", home)
    assert caught.value.message == "there is no model or run named 'brids'"
    assert "'birds'" in str(caught.value.hint)
    with pytest.raises(InputError, match="has no captioner yet"):
        find_captioner("young", home)
    with pytest.raises(InputError, match=r"has no captioner\.json"):
        find_captioner(str(tmp_path), home)
    with pytest.raises(InputError, match="there is no captioner yet"):
        find_captioner(None, Home(tmp_path / "empty"))
    with pytest.raises(InputError, match="no model or run named 'brids'"):
        use_model(home, "brids")


def test_a_published_checkpoint_that_is_not_here_comes_with_the_command_that_brings_it(home: Home) -> None:
    with pytest.raises(MissingError, match="clipcap model pull coco-mlp"):
        find_captioner("coco-mlp", home)


def test_removing_the_model_in_use_leaves_none_in_use(home: Home) -> None:
    use_model(home, "birds")
    remove_model(home, "birds")
    assert model_in_use(home) is None
    assert not (home.models / "birds").exists()
    assert find_captioner(None, home).name == "sea"


def test_a_model_in_use_that_was_taken_away_is_told(home: Home) -> None:
    use_model(home, "sea")
    (home.runs / "sea" / "best" / "captioner.json").unlink()
    with pytest.raises(InputError, match="the model in use, 'sea', is not there any more"):
        find_captioner(None, home)


def test_the_captioner_of_a_run_is_not_removed_as_a_model(home: Home) -> None:
    with pytest.raises(InputError) as caught:
        remove_model(home, "sea")
    assert "clipcap runs remove sea" in str(caught.value.hint)
    assert (home.runs / "sea" / "best").is_dir()


def test_listing_models_loads_no_torch() -> None:
    code = "import sys, clipcap_cli.captioner.models, clipcap_cli.captioner.lm_folders, clipcap_cli.captioner.decoding.settings; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
