from __future__ import annotations

import io
import os
import random
import signal
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from tars import becomes, make_tar, picture

from clipcap_cli.datasets.adding import add_dataset, preview_source
from clipcap_cli.datasets.files import archives, unpacking
from clipcap_cli.datasets.files.unpacking import unpacked
from clipcap_cli.errors import InputError, StoreError
from clipcap_cli.events import Event, Note, silent
from clipcap_cli.storage.home import Home
from clipcap_cli.upkeep.prune import carry_out, plan

Draw = Callable[..., Path]
Members = Iterable[tuple[str, bytes]]
FOOD = [("a.png", picture(1)), ("a.txt", b"an apple"), ("b.png", picture(2)), ("b.txt", b"bread")]


def make_zip(path: Path, members: Members, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return path


def make(path: Path, members: Members) -> Path:
    """A zip or a tar, as its name says."""
    return make_zip(path, members) if path.suffix == ".zip" else make_tar(path, members)


def held(path: Path, home: Home, events: Callable[[Event], None] = silent) -> dict[str, bytes]:
    """What an archive unpacks to."""
    with unpacked(path, home, events) as folder:
        return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def refusal(path: Path, home: Home) -> str:
    """What is said of an archive that is refused; nothing of it is left, and nothing lies outside of the store."""
    before = everything(home.root.parent)
    with pytest.raises(InputError) as caught:
        held(path, home)
    assert caught.value.where == str(path)
    home.prepare()
    assert {place for place in everything(home.root.parent) if not place.is_relative_to(home.root)} == {
        place for place in before if not place.is_relative_to(home.root)
    }
    assert list(home.images.iterdir()) == []
    return str(caught.value)


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.fixture(params=["zip", "tar"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where an archive of either kind is to be."""
    return tmp_path / f"food.{request.param}"


@pytest.mark.parametrize(("ending", "mode"), [("tar", "w"), ("tar.gz", "w:gz"), ("TGZ", "w:gz"), ("tar.bz2", "w:bz2"), ("tar.xz", "w:xz")])
def test_tars_are_unpacked_however_they_are_packed(home: Home, tmp_path: Path, ending: str, mode: str) -> None:
    assert held(make_tar(tmp_path / f"food.{ending}", FOOD, mode), home) == dict(FOOD)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zips_are_unpacked_however_they_are_packed(home: Home, tmp_path: Path, compression: int) -> None:
    assert held(make_zip(tmp_path / "food.zip", FOOD, compression), home) == dict(FOOD)


def test_an_archive_becomes_a_dataset_whose_pictures_the_store_keeps(home: Home, tmp_path: Path) -> None:
    source = make_zip(tmp_path / "My food.v2.zip", [*FOOD, ("c.png", b"<html>"), ("c.txt", b"x"), ("d.png", picture(9))])
    dataset = add_dataset(source, home=home)
    assert (dataset.name, dataset.source, dataset.pictures, dataset.layout) == ("My-food", source, 2, "sidecar")
    assert {image.name: image.captions for image in dataset.images()} == {"a.png": ("an apple",), "b.png": ("bread",)}
    source.unlink()
    assert [image.path.read_bytes() for image in dataset.images() if image.path] == [picture(1), picture(2)]
    assert all(image.path and image.path.is_relative_to(home.images) for image in dataset.images())
    assert not [path for path in home.images.iterdir() if path.name.startswith(".")]
    assert {(problem.kind, problem.where) for problem in dataset.problems()} == {("unreadable-picture", "c.png"), ("no-caption", "d.png")}


def test_adding_the_same_archive_again_changes_nothing(home: Home, archive: Path) -> None:
    make(archive, [("captions.csv", b"image,caption\na.png,one\ngone.png,two\nb.png,\n"), *FOOD[::2], ("c.png", b"<html>")])
    dataset = add_dataset(archive, home=home)
    assert add_dataset(archive, home=home) == dataset
    assert dataset.version == 1
    assert preview_source(archive, home=home).pictures == 1


@pytest.mark.parametrize("above", ["food/", "a/b/", "./food/"])
def test_the_one_folder_that_holds_everything_is_the_source(home: Home, archive: Path, above: str) -> None:
    make(archive, [(".hidden", b""), ("__MACOSX/food/._a.png", b"x"), *((above + name, data) for name, data in reversed(FOOD))])
    assert held(archive, home) == dict(FOOD)


def test_hidden_files_and_what_macos_adds_are_not_unpacked(home: Home, archive: Path) -> None:
    assert held(make(archive, [*FOOD, (".DS_Store", b"x"), (".git/config", b"x"), ("x/._a.png", b"x"), ("__MACOSX/a.png", b"x")]), home) == dict(FOOD)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "../up.png",
        "a/../../up.png",
        "/tmp/up.png",
        "..",
        "C:up.png",
        "C:/up.png",
        "x/C:/up.png",
        "..\\up.png",
        "\\up.png",
        "\\\\host\\up.png",
        "a/" * 70 + "up.png",
    ],
)
def test_names_that_lead_out_of_the_archive_are_refused(home: Home, archive: Path, name: str) -> None:
    said = refusal(make(archive, [*FOOD, (name, b"evil")]), home)
    assert "was refused: it has a name that leads out of it" in said
    assert not (archive.parent / "up.png").exists()


def test_a_name_that_is_too_long_for_this_system_is_refused(home: Home, archive: Path) -> None:
    assert "a name that no file can have here" in refusal(make(archive, [(f"{'n' * 300}.png", b"x")]), home)
    assert "a name that no file can have here" in refusal(make(archive, [("/".join(["n" * 200] * 30), b"x")]), home)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_odd_names_come_through(home: Home, archive: Path) -> None:
    names = ["a b.png", "new\nline.png", "Ünïcödé 猫.png", "[red].png", "n" * 251 + ".png", "12:30.png", "-rf", "con.png"]
    assert held(make(archive, [(name, name.encode()) for name in names]), home) == {name: name.encode() for name in names}


@pytest.mark.parametrize("names", [("a", "a/b.png"), ("a/b.png", "a")])
def test_a_file_and_a_folder_of_one_name_are_refused(home: Home, archive: Path, names: tuple[str, str]) -> None:
    assert "a file and a folder of one name" in refusal(make(archive, [(name, b"x") for name in names]), home)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_a_file_that_is_there_twice_the_last_is_taken_and_that_is_said(home: Home, archive: Path) -> None:
    events: list[Event] = []
    assert held(make(archive, [("a.txt", b"old"), ("a.txt", b"new"), ("A.txt", b"other")]), home, events.append)["a.txt"] == b"new"
    notes = [event for event in events if isinstance(event, Note)]
    assert [note.level for note in notes] == ["warning"]
    assert "1 file of" in notes[0].text
    assert "'a.txt'" in notes[0].text


def test_archives_in_an_archive_stay_packed_and_that_is_said(home: Home, archive: Path, tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "inner.zip", FOOD).read_bytes()
    events: list[Event] = []
    assert held(make(archive, [*FOOD, ("more.zip", inner)]), home, events.append) == {**dict(FOOD), "more.zip": inner}
    assert "'more.zip'" in next(event.text for event in events if isinstance(event, Note))
    with pytest.raises(InputError, match=r"no pictures in this folder: it holds 1 \.zip Unpack the archive"):
        add_dataset(make(archive, [("x/more.zip", inner)]), home=home)


@pytest.mark.parametrize(
    ("kind", "target"),
    [(tarfile.SYMTYPE, "/etc/passwd"), (tarfile.LNKTYPE, "../../secret"), (tarfile.CHRTYPE, ""), (tarfile.BLKTYPE, ""), (tarfile.FIFOTYPE, ""), (b"S", "")],
)
def test_links_devices_and_pipes_of_a_tar_are_refused(home: Home, tmp_path: Path, kind: bytes, target: str) -> None:
    path = make_tar(tmp_path / "food.tar", [*FOOD, ("evil.png", b"")], change={"evil.png": becomes(kind, target)})
    assert "a link or a device, 'evil.png'" in refusal(path, home)


@pytest.mark.parametrize("kind", [0o120777, 0o020666, 0o010666, 0o140666])
def test_links_devices_and_pipes_of_a_zip_are_refused(home: Home, tmp_path: Path, kind: int) -> None:
    path = tmp_path / "food.zip"
    with zipfile.ZipFile(path, "w") as archive:
        member = zipfile.ZipInfo("evil.png")
        member.external_attr, member.create_system = kind << 16, 3
        archive.writestr(member, "/etc/passwd")
    assert "a link or a device, 'evil.png'" in refusal(path, home)


def test_a_link_cannot_be_written_through(home: Home, tmp_path: Path) -> None:
    change = {"out": becomes(tarfile.SYMTYPE, str(tmp_path))}
    assert "a link" in refusal(make_tar(tmp_path / "food.tar", [("out", b""), ("out/evil.png", b"x")], change=change), home)
    assert not (tmp_path / "evil.png").exists()


def test_bytes_that_unpack_to_very_many_more_are_refused(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_WORTH_A_LOOK", 1_000_000)
    for path in (make_zip(tmp_path / "bomb.zip", [("a.png", bytes(3_000_000))]), make_tar(tmp_path / "bomb.tar.gz", [("a.png", bytes(3_000_000))], "w:gz")):
        assert "unpacks to more than 1 MB" in refusal(path, home)
    honest = [("a.bmp", bytes(3_000_000)), ("b.jpg", random.Random(0).randbytes(20_000))]
    assert held(make_zip(tmp_path / "honest.zip", honest), home) == dict(honest)


def test_files_that_share_their_bytes_are_refused(home: Home, tmp_path: Path) -> None:
    """The zip bomb without archives in it: each file's bytes begin with the headers of those after it, quoted."""
    path = make_zip(tmp_path / "bomb.zip", [("a", b"x" * 2000), ("b", b"y" * 2000)], zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    for mark, sizes in ((b"PK\x03\x04", 18), (b"PK\x01\x02", 20)):  # the first file now reaches into the second
        place = data.index(mark) + sizes
        data[place : place + 8] = struct.pack("<II", 3000, 3000)
    path.write_bytes(data)
    assert "files that share their bytes, 'b'" in refusal(path, home)


def test_a_file_listed_many_times_is_refused(home: Home, tmp_path: Path) -> None:
    path = make_zip(tmp_path / "bomb.zip", [("a", b"x" * 2000)])
    data = path.read_bytes()
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = data[start:end]
    tail = bytearray(data[end:])
    tail[8:16] = struct.pack("<HHI", 50, 50, 50 * len(entry))
    path.write_bytes(data[:start] + entry * 50 + tail)
    assert "files that share their bytes" in refusal(path, home)


@pytest.mark.parametrize(("size", "told"), [(5, 5), (5, 4_000_000_000), (2000, 3)])
def test_a_file_that_lies_about_its_size_is_damage(home: Home, tmp_path: Path, size: int, told: int) -> None:
    path = make_zip(tmp_path / "lies.zip", [("a.png", b"x" * 1000)])
    data = bytearray(path.read_bytes())
    for mark, sizes in ((b"PK\x03\x04", 18), (b"PK\x01\x02", 20)):
        place = data.index(mark) + sizes
        data[place : place + 8] = struct.pack("<II", size, told)
    path.write_bytes(data)
    assert "damaged or cut short" in refusal(path, home)


def test_too_many_files_are_refused(home: Home, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "_MOST_FILES", 10)
    assert "more than 10 files" in refusal(make(archive, [(f"{number}.png", b"") for number in range(11)]), home)


def test_a_list_of_files_that_would_fill_the_memory_is_not_read(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "_LONGEST_LIST", 100_000)
    assert "its list of files has" in refusal(make_zip(tmp_path / "many.zip", [(f"{number}.png", b"") for number in range(2500)]), home)


def test_a_password_is_told(home: Home, tmp_path: Path) -> None:
    path = make_zip(tmp_path / "secret.zip", FOOD)
    data = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + flags] |= 1
    path.write_bytes(data)
    assert "a password, at least for 'a.png'" in refusal(path, home)


def test_a_way_of_packing_that_is_not_known_is_told(home: Home, tmp_path: Path) -> None:
    path = make_zip(tmp_path / "new.zip", FOOD)
    data = bytearray(path.read_bytes())
    for mark, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(mark) + method] = 9
    path.write_bytes(data)
    assert "packed in a way that is not known here" in refusal(path, home)


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_cut_archive_is_told_and_nothing_of_it_is_left(home: Home, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"food.{ending}"
    many = [(f"{number}.bin", random.Random(number).randbytes(3000)) for number in range(30)]
    whole = (make_zip(path, many) if ending == "zip" else make_tar(path, many, "w" + ending[3:].replace(".", ":"))).read_bytes()
    for share in (0.1, 0.5, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        assert "damaged or cut short" in refusal(path, home)
    path.write_bytes(b"")
    assert "damaged or cut short" in refusal(path, home)
    path.write_bytes(b"<html>not found</html>" * 100)
    assert "damaged or cut short" in refusal(path, home)


def test_a_tar_that_is_cut_between_two_files_is_told(home: Home, tmp_path: Path) -> None:
    path = make_tar(tmp_path / "food.tar", FOOD)
    path.write_bytes(path.read_bytes()[:2048])
    assert "it ends without an end mark" in refusal(path, home)


def test_an_empty_archive_is_told(home: Home, archive: Path) -> None:
    with pytest.raises(InputError, match="this folder is empty") as caught:
        add_dataset(make(archive, []), home=home)
    assert caught.value.where == str(archive)
    assert list(home.images.iterdir()) == []


def test_errors_name_the_archive_and_never_the_folder_it_was_unpacked_into(home: Home, archive: Path) -> None:
    make(archive, [("one.csv", b"image,caption\na.png,x\n"), ("two.csv", b"image,caption\na.png,x\n"), ("a.png", picture(1))])
    with pytest.raises(InputError) as caught:
        add_dataset(archive, home=home)
    assert str(archive) in str(caught.value)
    assert "unpacked" not in str(caught.value)


def test_a_full_disk_is_told_and_nothing_is_left(home: Home, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.prepare()
    make(archive, FOOD)

    class Full(io.FileIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    usual = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode="r", *rest, **named: Full(path, mode) if "w" in mode else usual(path, mode, *rest, **named))
    with pytest.raises(StoreError, match="the disk is full"):
        held(archive, home)
    assert list(home.images.iterdir()) == []


_KILLED = """
import os, signal, sys
from pathlib import Path
from clipcap_cli.datasets.files.unpacking import unpacked
from clipcap_cli.storage.home import Home
with unpacked(Path(sys.argv[1]), Home(Path(sys.argv[2])), lambda event: None):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_what_a_killed_process_leaves_of_an_archive_is_pruned(home: Home, archive: Path) -> None:
    make(archive, FOOD)
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(archive), str(home.root)], check=False)
    assert killed.returncode == -signal.SIGKILL
    left = list(home.images.iterdir())
    assert [path.name.endswith(".part") for path in left] == [True]
    assert {path.name for path in left[0].rglob("*.png")} == {"a.png", "b.png"}
    carry_out(home, plan(home))
    assert list(home.images.iterdir()) == []


@given(seed=some.integers(0, 2**32), kind=some.sampled_from(["zip", "tar", "tar.gz"]))
def test_an_archive_that_is_spoilt_anywhere_is_unpacked_or_refused(tmp_path_factory: pytest.TempPathFactory, seed: int, kind: str) -> None:
    chance = random.Random(seed)
    room = tmp_path_factory.mktemp("spoilt")
    path = room / f"food.{kind}"
    members = [("x/a.png", picture(1)), ("x/a.txt", b"one" * 300), ("y/ü.txt", b"two"), ("z", b"")]
    data = bytearray((make_zip(path, members) if kind == "zip" else make_tar(path, members, "w:gz" if "gz" in kind else "w")).read_bytes())
    for _ in range(chance.randrange(1, 8)):
        place = chance.randrange(len(data))
        match chance.randrange(3):
            case 0:
                data[place] ^= 1 << chance.randrange(8)
            case 1:
                data[place : place + 4] = chance.choice([b"\xff" * 4, b"\0" * 4, b"../\0", b"PK\x01\x02", struct.pack("<I", chance.randrange(2**32))])
            case 2:
                data[place : place + chance.randrange(50)] = chance.randbytes(chance.randrange(50))
    path.write_bytes(data)
    home = Home(room / "home")
    with suppress(InputError):
        held(path, home)
    assert {found.name for found in room.iterdir()} <= {"home", path.name}
    assert list(home.images.iterdir()) == []
    assert zlib.crc32(path.read_bytes()) == zlib.crc32(data)


@pytest.mark.parametrize("name", ["food.zip", "food.tar"])
def test_an_archive_that_is_added_to_another_store_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    archive = make(tmp_path / name, FOOD)
    tables = []
    for store in ("one", "two"):
        dataset = add_dataset(archive, home=Home(tmp_path / store))
        tables.append((dataset.folder / "images.parquet").read_bytes())
    assert tables[0] == tables[1]
