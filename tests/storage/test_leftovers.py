import os
import subprocess
import sys
import time

import pytest

from clipcap_cli.storage.leftovers import is_abandoned, leftovers, part_path

DIE = """
import os, sys
from pathlib import Path
from clipcap_cli.storage.atomic import new_folder, remove_folder, replacing
place = Path(sys.argv[1])
if sys.argv[2] == "folder":
    with new_folder(place / "deep" / "v0001") as folder:
        (folder / "one").write_text("half")
        os.kill(os.getpid(), 9)
with replacing(place / "a.json") as part:
    part.write_text("half")
    os.kill(os.getpid(), 9)
"""
DAY = 86_400


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_a_killed_process_was_writing_is_found(tmp_path, kind):
    assert subprocess.run([sys.executable, "-c", DIE, str(tmp_path), kind], check=False).returncode == -9
    [left] = leftovers(tmp_path)
    assert left.is_dir() == (kind == "folder")


def test_what_a_living_process_is_writing_is_not(tmp_path):
    part = part_path(tmp_path / "a.json")
    part.write_text("half")
    assert list(leftovers(tmp_path)) == []


@pytest.mark.parametrize("name", [".a.json.1-ffffff-01234567.part", ".a.json.01234567.part"])
def test_what_another_machine_or_an_earlier_version_wrote_is_left_alone_for_a_day(tmp_path, name):
    part = tmp_path / name
    part.write_text("half")
    assert not is_abandoned(part)
    os.utime(part, (time.time() - DAY - 60,) * 2)
    assert is_abandoned(part)


def test_a_clock_that_was_set_back_takes_nothing_from_anybody(tmp_path):
    part = tmp_path / ".a.json.1-ffffff-01234567.part"
    part.write_text("half")
    os.utime(part, (time.time() + 400 * DAY,) * 2)
    assert not is_abandoned(part)
