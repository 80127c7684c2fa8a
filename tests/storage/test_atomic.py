import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clipcap_cli.errors import StoreError
from clipcap_cli.storage import atomic, exchange
from clipcap_cli.storage.atomic import new_folder, remove_folder, replacing, write_bytes, write_json
from clipcap_cli.storage.home import open_home
from clipcap_cli.storage.leftovers import leftovers


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


def test_the_files_and_all_folders_of_a_new_folder_are_flushed_before_it_appears(tmp_path, monkeypatch):
    flushed = []
    real = os.fsync

    def fsync(handle):
        flushed.append((Path(f"/proc/self/fd/{handle}").readlink().name, (tmp_path / "best").exists()))
        real(handle)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("the names of open files are asked of /proc")
    with monkeypatch.context() as patched, new_folder(tmp_path / "best") as folder:
        (folder / "lm").mkdir()
        (folder / "lm" / "weights").write_text("new")
        patched.setattr(os, "fsync", fsync)

    assert [name if not name.endswith(".part") else "part" for name, _ in flushed] == ["weights", "lm", "part", tmp_path.name]
    assert [appeared for _, appeared in flushed] == [False, False, False, True]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_disk_that_cannot_flush_leaves_the_old_folder(tmp_path, monkeypatch, number, failing):
    """Whichever of the three flushes before the folder appears: the file, the folder in it, the folder."""
    with new_folder(tmp_path / "best") as folder:
        (folder / "weights").write_text("old")
    calls = []

    def fsync(handle):
        calls.append(handle)
        if len(calls) == failing:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StoreError) as caught, new_folder(tmp_path / "best", replace=True) as folder:
        (folder / "lm").mkdir()
        (folder / "lm" / "weights").write_text("new")

    assert caught.value.exit_code == 6
    assert str(tmp_path / "best") == caught.value.where
    assert (tmp_path / "best" / "weights").read_text() == "old"
    assert os.listdir(tmp_path) == ["best"]


REPLACE_FOR_EVER = """
import sys
from pathlib import Path
from clipcap_cli.storage import atomic
number = 0
while True:
    number += 1
    with atomic.new_folder(Path(sys.argv[1]) / "best", replace=True) as folder:
        (folder / "one").write_text(str(number))
        (folder / "two").write_text(str(number))
    if number == 1:
        print("begun", flush=True)
"""


@pytest.mark.skipif(not exchange.ON_THIS_SYSTEM, reason="the system has no call that lets two folders change places")
def test_a_folder_that_is_replaced_is_there_at_each_instant_and_whole_after_each_kill(tmp_path):
    looks = 0
    for _ in range(8):
        process = subprocess.Popen([sys.executable, "-c", REPLACE_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "begun\n"
        ends = time.monotonic() + 0.1
        while time.monotonic() < ends:
            assert (tmp_path / "best").is_dir()
            looks += 1
        process.kill()
        process.wait()
        process.stdout.close()
        assert (tmp_path / "best" / "one").read_text() == (tmp_path / "best" / "two").read_text()
    assert looks > 1000
    for path in leftovers(tmp_path):
        shutil.rmtree(path)
    assert os.listdir(tmp_path) == ["best"]


DIE_BETWEEN_RENAMES = """
import os, sys
from pathlib import Path
from clipcap_cli.storage import atomic
atomic.exchange = lambda *_: False
real = os.rename
def rename(source, target):
    real(source, target)
    if str(target).endswith(".aside"):
        os.kill(os.getpid(), 9)
os.rename = rename
with atomic.new_folder(Path(sys.argv[1]), replace=True) as folder:
    (folder / "weights").write_text("new")
"""


@pytest.fixture
def broken_off(tmp_path):
    """A folder whose replacing was killed between two renames, on a file system that cannot let folders change places."""
    best = tmp_path / "runs" / "food" / "best"
    with new_folder(best) as folder:
        (folder / "weights").write_text("old")
    ended = subprocess.run([sys.executable, "-c", DIE_BETWEEN_RENAMES, str(best)], check=False)
    assert ended.returncode == -9
    assert not best.exists()
    return best


def test_without_the_call_the_next_writer_brings_the_old_folder_back(broken_off):
    with pytest.raises(RuntimeError), new_folder(broken_off, replace=True):
        raise RuntimeError("this one fails too")
    assert (broken_off / "weights").read_text() == "old"


def test_without_the_call_opening_the_store_brings_the_old_folder_back(broken_off, tmp_path, monkeypatch):
    write_json(tmp_path / "home.json", {"layout": 1})
    monkeypatch.setattr(exchange, "ON_THIS_SYSTEM", False)
    open_home(tmp_path)
    assert (broken_off / "weights").read_text() == "old"


def test_without_the_call_a_folder_is_replaced_by_two_renames(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "exchange", lambda *_: False)
    for text in ("old", "new"):
        with new_folder(tmp_path / "best", replace=True) as folder:
            (folder / "weights").write_text(text)
    assert (tmp_path / "best" / "weights").read_text() == "new"
    assert os.listdir(tmp_path) == ["best"]


def test_a_file_with_the_longest_name_can_be_written(tmp_path):
    path = tmp_path / ("x" * 251 + ".txt")
    write_bytes(path, b"text")
    assert path.read_bytes() == b"text"


@pytest.mark.skipif(os.name == "nt", reason="files have no such modes there")
def test_whoever_may_read_a_folder_may_read_its_files(tmp_path):
    with new_folder(tmp_path / "best") as folder:
        (folder / "weights").touch(0o600)  # as safetensors does
    assert (tmp_path / "best" / "weights").stat().st_mode & 0o666 == (tmp_path / "best").stat().st_mode & 0o666
