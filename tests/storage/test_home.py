import json

import pytest

from clipcap_cli.errors import InputError, StoreError
from clipcap_cli.storage.home import LAYOUT, Home, open_home
from clipcap_cli.storage.names import check_name, free_name, name_from, nearest, unknown


def test_the_option_wins_over_the_environment_which_wins_over_the_users_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPCAP_HOME", str(tmp_path / "environment"))
    assert open_home().root == tmp_path / "environment"
    assert open_home(tmp_path / "option").root == tmp_path / "option"
    monkeypatch.delenv("CLIPCAP_HOME")
    assert open_home().root.name == "clipcap"


def test_looking_at_a_store_creates_nothing(tmp_path):
    open_home(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_store_of_a_newer_clipcap_is_left_alone(tmp_path):
    (tmp_path / "home.json").write_text(json.dumps({"layout": LAYOUT + 1}))
    with pytest.raises(StoreError, match=f"layout {LAYOUT + 1}, newer than"):
        open_home(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"layout": "x"}', "not json"])
def test_a_damaged_layout_file_is_named(tmp_path, text):
    (tmp_path / "home.json").write_text(text)
    with pytest.raises(StoreError):
        open_home(tmp_path)


def test_a_file_in_the_place_of_the_store_is_said(tmp_path):
    (tmp_path / "store").write_text("")
    with pytest.raises(StoreError, match="a file stands where a folder should be"):
        Home(tmp_path / "store").prepare()


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b", "x" * 101, "é", "food.", "CON", "nul.txt", "com1"])
def test_names_that_could_not_be_folders_are_refused(name):
    with pytest.raises(InputError, match="cannot name a dataset"):
        check_name(name, "dataset")


@pytest.mark.parametrize(("text", "name"), [("My Food!", "My-Food"), ("food", "food"), ("../x", "x"), ("寿司", "data"), ("con", "data-con")])
def test_a_folders_name_becomes_a_usable_one(text, name):
    assert check_name(name_from(text), "dataset") == name


def test_a_taken_name_gets_a_number(tmp_path):
    (tmp_path / "food").mkdir()
    (tmp_path / "food-2").mkdir()
    assert free_name(tmp_path, "food") == "food-3"
    assert free_name(tmp_path, "drink") == "drink"


def test_a_misspelt_name_is_answered_with_the_nearest():
    assert nearest("fod", ["food", "cars"]) == "food"
    assert nearest("zzzz", ["food", "cars"]) is None
    assert "Did you mean 'food'?" in str(unknown("dataset", "fod", ["food", "cars"], listing="clipcap dataset list"))
