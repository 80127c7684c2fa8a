import errno
import os

import pytest

from clipcap_cli.errors import StoreError
from clipcap_cli.storage.atomic import new_folder, remove_folder, replacing, write_bytes, write_json


def test_a_file_is_replaced_wholly_or_not_at_all(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(RuntimeError, match="in the middle"), replacing(path) as part:
        part.write_text("half")
        raise RuntimeError("in the middle")

    assert path.read_text() == '{\n  "old": 1\n}\n'
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_folder_appears_with_everything_in_it(tmp_path):
    with new_folder(tmp_path / "v0001") as folder:
        (folder / "one").write_text("1")
        assert not (tmp_path / "v0001").exists()

    assert (tmp_path / "v0001" / "one").read_text() == "1"
    assert os.listdir(tmp_path) == ["v0001"]


def test_a_folder_that_could_not_be_finished_leaves_the_old_one(tmp_path):
    with new_folder(tmp_path / "best") as folder:
        (folder / "weights").write_text("old")
    with pytest.raises(RuntimeError, match="in the middle"), new_folder(tmp_path / "best", replace=True) as folder:
        (folder / "weights").write_text("new")
        raise RuntimeError("in the middle")

    assert (tmp_path / "best" / "weights").read_text() == "old"
    with new_folder(tmp_path / "best", replace=True) as folder:
        (folder / "weights").write_text("new")
    assert (tmp_path / "best" / "weights").read_text() == "new"
    assert os.listdir(tmp_path) == ["best"]


def test_a_folder_is_not_written_over_unless_asked(tmp_path):
    with new_folder(tmp_path / "v0001") as folder:
        (folder / "one").write_text("1")
    with pytest.raises(StoreError), new_folder(tmp_path / "v0001") as folder:
        (folder / "two").write_text("2")

    assert os.listdir(tmp_path / "v0001") == ["one"]


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "no permission"), (errno.EIO, "input/output error")]
)
def test_what_the_disk_refuses_is_said_in_words_and_changes_nothing(tmp_path, monkeypatch, number, words):
    path = tmp_path / "kept"
    write_bytes(path, b"before")

    def refuse(*_):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StoreError, match=words) as caught:
        write_bytes(path, b"after")

    assert caught.value.exit_code == 6
    assert caught.value.hint
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["kept"]


def test_a_full_disk_is_said_in_words_when_a_library_reports_it_in_its_own(tmp_path):
    with pytest.raises(StoreError, match="the disk is full"), new_folder(tmp_path / "best"):
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert os.listdir(tmp_path) == []


def test_a_removed_folder_is_gone_at_once(tmp_path):
    (tmp_path / "run" / "deep").mkdir(parents=True)
    remove_folder(tmp_path / "run")

    assert os.listdir(tmp_path) == []
