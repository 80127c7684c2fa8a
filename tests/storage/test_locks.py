import json
import os
import platform
import subprocess
import sys
import threading
import time

import pytest

from clipcap_cli.errors import StoreError
from clipcap_cli.events import Note
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.locks import BusyError, hold, holder_of, is_held
from clipcap_cli.storage.processes import birth

HOLD = """
import sys, time
from pathlib import Path
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.locks import hold
home, sys.argv = Home(Path(sys.argv[1])), ["/usr/bin/clipcap", "dataset", "add", "./food"]
with hold(home, "dataset-food"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_busy_resource_says_who_holds_it_since_when_and_that_waiting_helps(tmp_path, holder):
    said = rf"the dataset 'food' is being changed by process {holder.pid} \(clipcap dataset add ./food, since \d{{4}}-\d\d-\d\d \d\d:\d\d\)"
    with pytest.raises(BusyError, match=said) as caught, hold(Home(tmp_path), "dataset-food"):
        pytest.fail("two processes held one lock")
    assert caught.value.exit_code == 6
    assert "Wait for it to end" in caught.value.hint
    assert is_held(Home(tmp_path), "dataset-food")
    assert not is_held(Home(tmp_path), "dataset-cars")


def test_whoever_waits_is_told_for_whom(tmp_path, holder):
    heard = []
    threading.Timer(1.5, holder.kill).start()
    with hold(Home(tmp_path), "dataset-food", wait_s=30, events=heard.append):
        pass
    [note] = heard
    assert isinstance(note, Note)
    assert note.text.startswith(f"waiting for process {holder.pid} (clipcap dataset add ./food, since ")
    assert note.text.endswith("which is changing the dataset 'food'")


def test_whoever_has_waited_long_enough_says_how_long(tmp_path, holder):
    with pytest.raises(BusyError) as caught, hold(Home(tmp_path), "dataset-food", wait_s=1):
        pytest.fail("two processes held one lock")
    assert caught.value.hint.startswith("It was waited for 1 s. ")


def test_the_lock_of_a_killed_process_is_taken_over_and_its_note_is_not_believed(tmp_path, holder):
    note = tmp_path / "locks" / "dataset-food.holder"
    holder.kill()
    holder.wait()
    assert note.exists()
    assert holder_of(note.with_suffix(".lock")) is None
    started = time.monotonic()
    with hold(Home(tmp_path), "dataset-food"):
        assert time.monotonic() - started < 1
        assert json.loads(note.read_text())["pid"] == os.getpid()
    assert not note.exists()
    assert not is_held(Home(tmp_path), "dataset-food")


@pytest.mark.skipif(not birth(os.getpid()), reason="the system does not say when a process began")
def test_a_note_of_a_dead_process_whose_number_another_one_has_now_is_not_believed(tmp_path, holder):
    note = tmp_path / "locks" / "dataset-food.holder"
    facts = json.loads(note.read_text())
    note.write_text(json.dumps({**facts, "pid": os.getpid()}))  # this process began at another time
    with pytest.raises(BusyError, match="is being changed by another process"), hold(Home(tmp_path), "dataset-food"):
        pytest.fail("two processes held one lock")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_a_note_that_is_half_written_is_not_believed(tmp_path, holder, text):
    (tmp_path / "locks" / "dataset-food.holder").write_text(text)
    with pytest.raises(BusyError, match="is being changed by another process"), hold(Home(tmp_path), "dataset-food"):
        pytest.fail("two processes held one lock")


def test_the_note_of_another_machine_says_which(tmp_path, holder):
    note = tmp_path / "locks" / "dataset-food.holder"
    note.write_text(json.dumps({**json.loads(note.read_text()), "host": f"not-{platform.node()}"}))
    assert f"process {holder.pid} on not-{platform.node()} (" in str(holder_of(note.with_suffix(".lock")))


def test_a_look_at_a_lock_makes_nobody_busy(tmp_path):
    home, ended = Home(tmp_path), threading.Event()

    def look():
        while not ended.is_set():
            is_held(home, "run-food")

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(20):
            with hold(home, "run-food"):
                pass
    finally:
        ended.set()
        looking.join()


def test_a_full_disk_keeps_nobody_from_making_room(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    home = Home(tmp_path)
    (tmp_path / "home.json").write_bytes(b'{"layout": 1}')
    with hold(home, "dataset-food"):
        assert is_held(home, "dataset-food")


def test_a_lock_where_nothing_may_be_written_is_an_error_of_the_store(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with pytest.raises(StoreError, match="read-only"), hold(Home(tmp_path), "dataset-food"):
        pytest.fail("it was held")
