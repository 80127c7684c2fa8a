"""Disks that are full, read-only, not for us, or cannot flush, and clocks that go back: a sentence, exit code 6, and a store that is as it was.

A small tmpfs is mounted for the first two (Linux, root; else skipped). Users are changed with seteuid. Flushes fail by a patch of os.fsync, and once for
real, also under SQLite, with strace where it is there.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from journey_tools import SHORT, contents, draw_pictures, run_command
from said import Said

from clipcap_cli.cli.main import main
from clipcap_cli.storage.home import Home
from clipcap_cli.upkeep.verify import verify

pytestmark = pytest.mark.journey
# A captioner of one megabyte, in a second.
TINY = ("train.steps=4", "language_model.tune=frozen", "mapper.kind=linear", "mapper.prefix_length=1", *SHORT)
SIZE_MB = 16
NOBODY = 65534
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
CAN_MOUNT = sys.platform == "linux" and IS_ROOT and shutil.which("mount") is not None
mounts = pytest.mark.skipif(not CAN_MOUNT, reason="mounting a small file system needs Linux and root")


@dataclass(frozen=True)
class Place:
    """A store on a disk of its own."""

    home: Path
    pictures: Path

    @property
    def disk(self) -> Path:
        return self.home.parent

    def fill(self, *, but: int = 0) -> None:
        """Leave only this many bytes free."""
        with (self.disk / "fill").open("wb", buffering=0) as stream:
            with pytest.raises(OSError, match="No space left"):
                while True:
                    stream.write(b"\0" * 4096)
            stream.truncate(max(0, stream.tell() - but))

    def make_room(self) -> None:
        (self.disk / "fill").unlink()


# What writes: each on a store that has the dataset `shapes` with embeddings, the dataset `fresh` without, and the run `tiny`.
WRITING = {
    "dataset add": ("dataset", "add", "{pictures}", "--name", "third"),
    "embed": ("embed", "fresh", "--encoder", "efficientnet-lite0"),
    "train": ("train", "quickstart", "name=again", "--dataset", "shapes", *TINY),
    "caption": ("caption", "{pictures}/red circle.jpg", "--format", "csv", "--output", "{disk}/out.csv", "--overwrite"),
    "model use": ("model", "use", "tiny"),
    "eval": ("eval", "tiny", "--split", "train", "--metric", "cider"),
}
writes = pytest.mark.parametrize("line", WRITING.values(), ids=WRITING.keys())
# `train` takes longest, and writes in each of these ways as `embed` and `eval` do.
writes_soon = pytest.mark.parametrize("line", [pytest.param(line, id=what, marks=[pytest.mark.slow] * (what == "train")) for what, line in WRITING.items()])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The store that the others are copies of."""
    place = Place(tmp_path_factory.mktemp("disk") / "home", tmp_path_factory.mktemp("disk-pictures") / "shapes")
    draw_pictures(place.pictures)
    fresh = shutil.copytree(place.pictures, place.pictures.with_name("fresh"))
    for picture in fresh.glob("*.jpg"):
        picture.write_bytes(picture.read_bytes() + b"\0")  # another picture by its bytes
    for line in (
        ("dataset", "add", place.pictures),
        ("dataset", "add", fresh),
        ("train", "quickstart", "name=tiny", "--dataset", "shapes", *TINY),
    ):
        assert main([*map(str, line), "--quiet", "--offline", "--home", str(place.home)]) == 0
    return place


@pytest.fixture
def disk(made: Place, tmp_path: Path) -> Iterator[Place]:
    """A copy of the store on a file system of 16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=755", "tmpfs", str(folder)], check=True)
    try:
        shutil.copytree(made.home, folder / "home")
        yield Place(folder / "home", made.pictures)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def place(made: Place, tmp_path: Path) -> Place:
    """A copy of the store where temporary files lie."""
    return Place(Path(shutil.copytree(made.home, tmp_path / "disk" / "home")), made.pictures)


@pytest.fixture
def say(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Run a command line on a store, in this process."""
    monkeypatch.setenv("CLIPCAP_OFFLINE", "1")

    def run(place: Place, line: tuple[str, ...]) -> Said:
        typed = [word.format(pictures=place.pictures, disk=place.disk) for word in line]
        code = main([*typed, "--home", str(place.home)])
        said = capfd.readouterr()
        assert "Traceback" not in said.err
        return Said(code, said.out, said.err)

    return run


def stored(place: Place) -> dict[str, str]:
    """What lies on the disk, but for logs, locks and what SQLite shares."""
    return {name: content for name, content in contents(place.home).items() if not name.endswith(("-shm", "-wal"))}


def assert_nothing_lost(place: Place, before: dict[str, str]) -> None:
    after = stored(place)
    changed = {name for name in before if after.get(name) != before[name] and not name.endswith(("index.sqlite", ".f16", "hashes.json"))}
    assert changed == set()
    assert verify(Home(place.home)).findings == ()
    assert not [name for name in after if ".part" in name]


@mounts
@writes
def test_a_full_disk_is_said_and_nothing_is_lost_and_with_room_it_works(disk: Place, say: Callable[..., Said], line: tuple[str, ...]) -> None:
    before = stored(disk)
    disk.fill()
    said = say(disk, line)
    assert said.code == 6, said.err
    assert "this cannot be written: the disk is full" in said.err
    assert "Free some space" in said.err
    assert stored(disk) == before
    assert_nothing_lost(disk, before)
    disk.make_room()
    assert say(disk, line).code == 0
    assert_nothing_lost(disk, before)


@mounts
@writes
def test_a_disk_that_becomes_full_on_the_way_is_said_and_nothing_is_lost(disk: Place, say: Callable[..., Said], line: tuple[str, ...]) -> None:
    """With more and more room, until there is enough: it ends at another place each time."""
    before = stored(disk)
    codes = []
    for room in (4, 24, 96, 384, 1024, 2048, 8192):
        disk.fill(but=room * 1024)
        said = say(disk, line)
        codes.append(said.code)
        assert said.code == 0 or (said.code == 6 and "the disk is full" in said.err), said.err
        assert_nothing_lost(disk, before)
        disk.make_room()
        if said.code == 0:
            break
    assert codes[-1] == 0
    assert_nothing_lost(disk, before)


@mounts
def test_on_a_full_disk_one_can_look_at_everything_and_make_room(disk: Place, say: Callable[..., Said]) -> None:
    disk.fill()
    for line in ("dataset list", "dataset show shapes", "runs list", "runs show tiny", "model list", "cache info", "cache verify", "cache prune --dry-run"):
        assert say(disk, tuple(line.split())).code == 0, line
    assert say(disk, ("caption", "{pictures}/red circle.jpg")).code == 0
    assert say(disk, ("dataset", "remove", "fresh", "--yes")).code == 0
    assert say(disk, ("dataset", "remove", "shapes", "--yes")).code == 0
    assert say(disk, ("cache", "prune", "--yes")).code == 0
    assert say(disk, ("runs", "remove", "tiny", "--yes")).code == 0
    assert {name for name in stored(disk) if not name.startswith("weights/")} == {"home.json"}


@mounts
@writes_soon
def test_a_read_only_disk_is_said_and_nothing_is_changed(disk: Place, say: Callable[..., Said], line: tuple[str, ...]) -> None:
    before = stored(disk)
    subprocess.run(["mount", "-o", "remount,ro", str(disk.disk)], check=True)
    try:
        said = say(disk, line)
        assert said.code == 6, said.err
        assert "the file system is read-only" in said.err
        assert say(disk, ("cache", "verify")).code == 0
        assert say(disk, ("cache", "info")).code == 0
        assert say(disk, ("caption", "{pictures}/red circle.jpg")).code == 0
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk.disk)], check=True)
    assert stored(disk) == before
    assert say(disk, line).code == 0


@pytest.mark.skipif(not IS_ROOT, reason="only root can become somebody else")
@writes_soon
def test_a_store_of_somebody_else_is_said_and_nothing_is_changed(place: Place, say: Callable[..., Said], line: tuple[str, ...]) -> None:
    before = stored(place)
    for folder in (*place.home.parents, place.pictures.parent, place.pictures.parent.parent):
        if folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(0o755)
    os.seteuid(NOBODY)
    try:
        readable = os.access(sys.executable, os.R_OK) and os.access(os.__file__, os.R_OK)
        said = say(place, line) if readable else None
    finally:
        os.seteuid(0)
    if said is None:
        pytest.skip("the interpreter is not for everybody")
    assert said.code == 6, said.err
    assert "there is no permission to write here" in said.err
    assert stored(place) == before
    assert say(place, line).code == 0


@writes_soon
def test_a_disk_that_cannot_flush_is_said_and_nothing_is_lost(
    place: Place, say: Callable[..., Said], line: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first flush, the second, …: each of the first ones, then some."""
    before = stored(place)
    for failing in (1, 2, 3, 5, 8):
        calls = 0

        def fsync(handle: int, failing: int = failing) -> None:
            nonlocal calls
            calls += 1
            if calls == failing:
                raise OSError(errno.EIO, os.strerror(errno.EIO))

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", fsync)
            said = say(place, line)
        assert_nothing_lost(place, before)
        if calls < failing:
            assert said.code == 0, said.err
            break
        assert said.code == 6, said.err
        assert "the disk reports an input/output error" in said.err
    assert say(place, line).code == 0


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace makes system calls fail")
@pytest.mark.parametrize("line", [WRITING["dataset add"], WRITING["embed"]], ids=["dataset add", "embed"])
def test_a_real_flush_that_fails_is_said_too(place: Place, say: Callable[..., Said], line: tuple[str, ...]) -> None:
    """Also those of SQLite: every fsync and fdatasync of the process fails."""
    traced = ["strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"]
    if subprocess.run([*traced, "true"], check=False, capture_output=True).returncode:
        pytest.skip("tracing is not allowed here")
    before = stored(place)
    typed = [word.format(pictures=place.pictures, disk=place.disk) for word in line]
    ended = subprocess.run(
        [*traced, sys.executable, "-m", "clipcap_cli", *typed, "--home", str(place.home)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "CLIPCAP_OFFLINE": "1"},
    )
    assert ended.returncode == 6, ended.stderr
    assert "the disk reports an input/output error" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert_nothing_lost(place, before)
    assert say(place, line).code == 0


def test_a_limit_on_the_size_of_files_is_said(place: Place) -> None:
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))

    before = stored(place)
    ended = run_command(place.home, "dataset", "add", place.pictures, "--name", "third", preexec_fn=limit)
    assert ended.returncode == 6, ended.stderr
    assert "the file would be larger than is allowed here" in ended.stderr
    assert stored(place) == before


def test_a_clock_that_goes_back_loses_nothing(place: Place, say: Callable[..., Said]) -> None:
    """Everything in the store is of a time that has not come yet."""
    to_come = time.time() + 5 * 365 * 86_400
    for path in [place.home, *place.home.rglob("*")]:
        os.utime(path, (to_come, to_come))
    before = stored(place)
    for line in WRITING.values():
        assert say(place, line).code == 0, line
    assert_nothing_lost(place, before)
    said = say(place, ("runs", "list"))
    assert "tiny" in said.out
    assert "again" in said.out
    (place.home / "models" / "default").unlink()
    assert "the clock has been set back since" in say(place, ("caption", "{pictures}/red circle.jpg")).err
    assert "There is nothing to remove." in say(place, ("cache", "prune", "--yes")).out
    picture = place.pictures / "red circle.jpg"
    assert say(place, ("embed", "shapes", "--encoder", "efficientnet-lite0")).code == 0
    assert picture.exists()
    assert verify(Home(place.home)).findings == ()
