import subprocess
import sys
import time

import pytest

from clipcap_cli.errors import StoreError
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.locks import hold, is_held

HOLD = """
import sys, time
from pathlib import Path
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.locks import hold
with hold(Home(Path(sys.argv[1])), "dataset-food"):
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


def test_a_busy_resource_names_the_process_that_holds_it(tmp_path, holder):
    with pytest.raises(StoreError, match=f"dataset-food is being changed by process {holder.pid}"), hold(Home(tmp_path), "dataset-food"):
        pytest.fail("two processes held one lock")
    assert is_held(Home(tmp_path), "dataset-food")
    assert not is_held(Home(tmp_path), "dataset-cars")


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path, holder):
    holder.kill()
    holder.wait()
    started = time.monotonic()
    with hold(Home(tmp_path), "dataset-food"):
        assert time.monotonic() - started < 1
    assert not is_held(Home(tmp_path), "dataset-food")
