from __future__ import annotations

import json
import random
import tarfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from tars import becomes, make_tar, mend_headers, picture, samples

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.datasets.detection import detect
from clipcap_cli.datasets.files import archives
from clipcap_cli.datasets.readers.webdataset import WebDataset
from clipcap_cli.datasets.records import Problem, ReaderOptions, Record
from clipcap_cli.errors import InputError
from clipcap_cli.storage.home import Home

Draw = Callable[..., Path]


def read(source: Path, options: ReaderOptions | None = None) -> tuple[dict[str, Record], list[Problem]]:
    options = options or ReaderOptions()
    reader, evidence = detect(source, options)
    assert evidence.layout == "webdataset"
    problems: list[Problem] = []
    return {record.image.as_posix(): record for record in reader.read(source, options, problems.append)}, problems


def captions(records: dict[str, Record]) -> dict[str, tuple[str, ...]]:
    return {name: record.captions for name, record in records.items()}


def kinds(problems: list[Problem]) -> dict[str, int]:
    return dict(Counter(problem.kind for problem in problems))


@pytest.mark.parametrize(("ending", "mode"), [("tar", "w"), ("tar.gz", "w:gz"), ("tgz", "w:gz"), ("tar", "w:gz")])
def test_a_shard_gives_each_picture_with_its_bytes_and_caption(tmp_path: Path, ending: str, mode: str) -> None:
    shard = make_tar(tmp_path / f"00000.{ending}", samples(3), mode)
    records, problems = read(shard)
    assert captions(records) == {f"00000.{ending}/{number:09}.png": (f"thing {number}",) for number in range(3)}
    record = records[f"00000.{ending}/000000001.png"]
    assert (record.data, record.where, record.split) == (picture(1), f"00000.{ending}: 000000001", None)
    assert problems == []


def test_what_img2dataset_wrote_is_read_as_a_folder_of_shards(tmp_path: Path) -> None:
    for shard in range(2):
        members = []
        for number in range(2):
            key = f"{shard:05}{number:04}"
            facts = {"caption": f"thing {shard}{number}", "key": key, "status": "success", "width": 12}
            members += [
                (f"{key}.jpg", picture(10 * shard + number, "JPEG")),
                (f"{key}.txt", facts["caption"].encode()),
                (f"{key}.json", json.dumps(facts).encode()),
            ]
        make_tar(tmp_path / f"{shard:05}.tar", members)
        (tmp_path / f"{shard:05}.parquet").write_bytes(b"PAR1")
        (tmp_path / f"{shard:05}_stats.json").write_text("{}")
    assert detect(tmp_path, ReaderOptions())[1].reason == "00000.tar, one of 2 shards, has 000000000.jpg and, of the same name, .json and .txt"
    records, problems = read(tmp_path)
    assert captions(records) == {f"{shard:05}.tar/{shard:05}{number:04}.jpg": (f"thing {shard}{number}",) for shard in range(2) for number in range(2)}
    assert problems == []


def test_downloads_that_failed_are_one_problem_of_the_shard(tmp_path: Path) -> None:
    failed = [(f"{number}.json", json.dumps({"status": "failed_to_download", "caption": "x"}).encode()) for number in range(3)]
    shard = make_tar(tmp_path / "0.tar", [*failed, *samples(1)])
    records, problems = read(shard)
    assert len(records) == 1
    assert [(problem.kind, problem.where) for problem in problems] == [("not-downloaded", "0.tar")]
    assert "3 samples of this shard could not be downloaded by whoever made it: failed_to_download 3" in problems[0].message


@pytest.mark.parametrize(
    ("ending", "said", "found"),
    [
        ("txt", b"one\n\n two  words \n", ("one", "two words")),
        ("TXT", "café".encode("cp1252"), ("café",)),
        ("txt", "猫".encode("utf-16"), ("猫",)),
        ("caption", b"one", ("one",)),
        ("json", b'{"text": "b", "caption": "a"}', ("a",)),
        ("json", b'{"captions": ["a", " ", "b", 3]}', ("a", "b")),
        ("json", b'["a", "b"]', ("a", "b")),
        ("json", b'"a"', ("a",)),
        ("json", b'{"caption": "half \\ud83d"}', ("half \\ud83d",)),
    ],
)
def test_captions_stand_in_texts_or_in_json(tmp_path: Path, ending: str, said: bytes, found: tuple[str, ...]) -> None:
    assert captions(read(make_tar(tmp_path / "a.tar", [("1.png", picture(1)), (f"1.{ending}", said)]))[0]) == {"a.tar/1.png": found}


def test_a_caption_that_text_and_json_both_have_is_taken_once(tmp_path: Path) -> None:
    members = [("1.png", picture(1)), ("1.json", b'{"captions": ["one", "three"]}'), ("1.txt", b"one\ntwo\ntwo")]
    assert captions(read(make_tar(tmp_path / "a.tar", members))[0]) == {"a.tar/1.png": ("one", "two", "two", "three")}


def test_columns_that_the_user_names_are_endings_or_keys(tmp_path: Path) -> None:
    members = [
        ("1.seg.png", picture(1)),
        ("1.png", picture(2)),
        ("1.json", b'{"caption": "a", "long": "much more", "source": 7}'),
        ("1.txt", b"b"),
        ("1.cap", b"c"),
    ]
    shard = make_tar(tmp_path / "a.tar", members)
    records, _ = read(shard, ReaderOptions(caption_column="long", tag_columns=("source", "none")))
    assert (captions(records), records["a.tar/1.png"].tags) == ({"a.tar/1.png": ("much more",)}, {"source": "7"})
    assert captions(read(shard, ReaderOptions(caption_column="cap", image_column="seg.png"))[0]) == {"a.tar/1.seg.png": ("c",)}


def test_the_first_dot_ends_the_key_and_folders_are_part_of_it(tmp_path: Path) -> None:
    members = [("a/1.png", picture(1)), ("a/1.txt", b"one"), ("b/1.png", picture(2)), ("b/1.txt", b"two"), ("c.d/1.png", picture(3)), ("./c.d/1.txt", b"three")]
    assert captions(read(make_tar(tmp_path / "x.tar", members))[0]) == {"x.tar/a/1.png": ("one",), "x.tar/b/1.png": ("two",), "x.tar/c.d/1.png": ("three",)}


def test_shards_that_are_named_for_splits_are_in_them(tmp_path: Path) -> None:
    for number, name in enumerate(("train-00000.tar", "train-00001.tar", "val/00000.tar", "x_test_0.tar")):
        make_tar(tmp_path / name, samples(1, number))
    assert "named for test, train, val" in detect(tmp_path, ReaderOptions())[1].reason
    assert [record.split for record in read(tmp_path)[0].values()] == ["train", "train", "val", "test"]
    (tmp_path / "extra.tar").write_bytes((tmp_path / "x_test_0.tar").read_bytes())
    assert {record.split for record in read(tmp_path)[0].values()} == {None}


def test_a_sample_without_picture_or_caption_is_listed(tmp_path: Path) -> None:
    members = [
        *samples(3),
        ("a.png", picture(7)),
        ("b.txt", b"words"),
        ("c.png", picture(8)),
        ("c.txt", b" \n"),
        ("d.npy", b"x"),
        ("e.png", picture(9)),
        ("e.jpg", b""),
    ]
    records, problems = read(make_tar(tmp_path / "0.tar", members))
    assert len(records) == 3
    assert [(problem.kind, problem.where) for problem in problems] == [
        ("no-caption", "0.tar: a"),
        ("missing-picture", "0.tar: b"),
        ("no-caption", "0.tar: c"),
        ("repeated-member", "0.tar: e.jpg"),
        ("no-caption", "0.tar: e"),
    ]


def test_members_that_could_do_harm_are_listed_and_the_others_are_read(tmp_path: Path) -> None:
    outside = ["../up.png", "/etc/up.png", "a/../../up.png", "C:\\up.png", "\\up.png", "a/" * 70 + "deep.png"]
    kind = {"link.png": tarfile.SYMTYPE, "hard.png": tarfile.LNKTYPE, "pipe.png": tarfile.FIFOTYPE, "device.png": tarfile.CHRTYPE}
    members = [*samples(1), *((name, b"") for name in (*outside, *kind)), *samples(1, 1)]
    records, problems = read(make_tar(tmp_path / "0.tar", members, change={name: becomes(what, "/etc/passwd") for name, what in kind.items()}))
    assert list(captions(records).values()) == [("thing 0",), ("thing 1",)]
    assert kinds(problems) == {"refused-member": 10}
    assert {problem.severity for problem in problems} == {"error"}
    assert "leads out of the shard" in problems[0].message
    assert "a link or a device" in problems[-1].message


def test_hidden_files_and_what_macos_adds_are_passed_over(tmp_path: Path) -> None:
    members = [("._1.png", b"x"), (".DS_Store", b"x"), ("__MACOSX/1.png", b"x"), *samples(1), ("noending", b"x")]
    records, problems = read(make_tar(tmp_path / "0.tar", members))
    assert (len(records), problems) == (1, [])


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_what_came_before_the_place_where_a_shard_is_cut_off_is_kept(tmp_path: Path, mode: str) -> None:
    whole = make_tar(tmp_path / "whole.tar", samples(40), mode).read_bytes()
    for share in (0.3, 0.5, 0.8):
        cut = tmp_path / "cut.tar"
        cut.write_bytes(whole[: int(len(whole) * share)])
        records, problems = read(cut)
        assert 0 < len(records) < 40
        assert captions(records) == {f"cut.tar/{number:09}.png": (f"thing {number}",) for number in range(len(records))}
        assert [(problem.kind, problem.severity, problem.where) for problem in problems] == [("damaged-archive", "error", "cut.tar")]


@pytest.mark.parametrize("kept", [3, 4])
def test_a_shard_without_an_end_mark_may_be_cut_off_between_two_files(tmp_path: Path, kept: int) -> None:
    whole = make_tar(tmp_path / "0.tar", samples(3)).read_bytes()
    (tmp_path / "0.tar").write_bytes(whole[: kept * 1024])  # each file here has a block, and one for its header
    records, problems = read(tmp_path / "0.tar")
    assert len(records) == kept // 2
    assert "it ends without an end mark" in problems[-1].message


def test_a_damaged_header_does_not_end_a_shard_in_silence(tmp_path: Path) -> None:
    data = bytearray(make_tar(tmp_path / "0.tar", samples(3)).read_bytes())
    data[4 * 1024 + 10] ^= 0xFF
    (tmp_path / "0.tar").write_bytes(data)
    records, problems = read(tmp_path / "0.tar")
    assert (len(records), kinds(problems)) == (2, {"damaged-archive": 1})


def test_a_damaged_shard_does_not_lose_the_others(tmp_path: Path) -> None:
    make_tar(tmp_path / "0.tar", samples(1))
    (tmp_path / "1.tar").write_bytes(b"not a tar" * 100)
    (tmp_path / "2.tar").write_bytes(b"")
    make_tar(tmp_path / "3.tar", samples(1, 3))
    records, problems = read(tmp_path)
    assert list(records) == ["0.tar/000000000.png", "3.tar/000000003.png"]
    assert [problem.where for problem in problems] == ["1.tar", "2.tar"]


def test_texts_and_pictures_beyond_all_measure_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipcap_cli.datasets.readers.webdataset.MAX_BYTES", 5000)
    members = [
        *samples(3),
        ("7.png", bytes(5001)),
        ("7.txt", b"a"),
        ("8.png", picture(8)),
        ("8.json", b" " * (2**20 + 1)),
        ("9.png", picture(9)),
        ("9.txt", b"a"),
    ]
    records, problems = read(make_tar(tmp_path / "0.tar", members))
    assert (len(records), kinds(problems)) == (4, {"unreadable-picture": 1, "missing-picture": 1, "unreadable-caption": 1, "no-caption": 1})


@pytest.mark.parametrize("said", [b"{", b"[" * 100_000, b"\xff\xfe\x00", b'{"caption": {"caption": {}}}', b"null", b"NaN", b"1" * 10_000])
def test_json_that_says_nothing_is_no_caption(tmp_path: Path, said: bytes) -> None:
    records, problems = read(make_tar(tmp_path / "0.tar", [*samples(1), ("1.png", picture(1)), ("1.json", said)]))
    assert len(records) == 1
    assert "no-caption" in kinds(problems)


def test_a_header_cannot_ask_for_memory_or_lead_back(tmp_path: Path) -> None:
    shard = make_tar(tmp_path / "0.tar", samples(1))
    start = shard.read_bytes()[: 4 * 512]
    longname = tarfile.TarInfo("x")
    longname.type, longname.size = tarfile.GNUTYPE_LONGNAME, 2**32
    back = tarfile.TarInfo("x.txt")
    back.size = -4 * 512
    negative = tarfile.TarInfo("x")
    negative.pax_headers = {"size": "-4096"}
    for header in (longname.tobuf(), back.tobuf(tarfile.GNU_FORMAT), negative.tobuf(tarfile.PAX_FORMAT), longname.tobuf(tarfile.GNU_FORMAT) * 2000):
        shard.write_bytes(start + header + bytes(20 * 512))
        records, problems = read(shard)
        assert (len(records), kinds(problems)) == (1, {"damaged-archive": 1}), header[:600]


def test_a_packed_shard_that_grows_without_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_WORTH_A_LOOK", 1_000_000)
    shard = make_tar(tmp_path / "0.tar.gz", [*samples(1), ("big.bin", bytes(3_000_000)), *samples(1, 1)], "w:gz")
    records, problems = read(shard)
    assert (len(records), kinds(problems)) == (1, {"damaged-archive": 1})
    assert "unpacks to more than" in problems[0].message


@pytest.mark.parametrize(
    "members",
    [
        [("a.png", picture(1)), ("b.png", picture(2)), ("a.txt", b"one"), ("b.txt", b"two")],  # in the order in which a disk has them
        [("captions.csv", b"image,caption\na.png,one\n"), ("a.png", picture(1))],
        [("food/train/a.png", picture(1)), ("food/train/a.txt", b"one"), ("food/val/b.png", picture(2)), ("food/val/b.txt", b"two")],
    ],
)
def test_a_tar_of_another_layout_is_unpacked_and_read_as_that(home: Home, tmp_path: Path, members: list[tuple[str, bytes]]) -> None:
    dataset = add_dataset(make_tar(tmp_path / "mine.tar", members), home=home)
    assert dataset.layout in ("sidecar", "captions table")
    assert all("mine" not in image.name for image in dataset.images())


def test_a_folder_with_pictures_of_its_own_is_no_folder_of_shards(tmp_path: Path, draw: Draw) -> None:
    make_tar(tmp_path / "backup.tar", samples(2))
    draw(tmp_path / "a.png")
    assert WebDataset().detect(tmp_path, ReaderOptions()) is None


def test_pictures_of_a_shard_are_taken_into_the_store_and_adding_it_again_changes_nothing(home: Home, tmp_path: Path) -> None:
    shard = make_tar(tmp_path / "food.tar", [*samples(3), ("bad.png", b"<html>"), ("bad.txt", b"x"), ("bare.png", picture(9))])
    dataset = add_dataset(shard, home=home)
    assert (dataset.name, dataset.version, dataset.pictures, dataset.problem_counts) == ("food", 1, 3, {"unreadable-picture": 1, "no-caption": 1})
    assert sorted(path.read_bytes() for path in home.images.rglob("*") if path.is_file()) == sorted(picture(number) for number in range(3))
    assert add_dataset(shard, home=home) == dataset
    assert [path for path in home.images.iterdir() if path.name.startswith(".")] == []


@given(seed=some.integers(0, 2**32), packed=some.booleans())
def test_a_shard_that_is_spoilt_anywhere_gives_records_and_problems_only(tmp_path_factory: pytest.TempPathFactory, seed: int, packed: bool) -> None:
    chance = random.Random(seed)
    path = tmp_path_factory.mktemp("spoilt") / "0.tar"
    data = bytearray(
        make_tar(path, samples(4), "w:gz" if packed else "w", {"000000001.txt": lambda member: member.pax_headers.update(comment="ü" * 200)}).read_bytes()
    )
    for _ in range(chance.randrange(1, 6)):
        place = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[place] ^= 1 << chance.randrange(8)
            case 1:
                data[place : place + chance.randrange(600)] = chance.randbytes(chance.randrange(600))
            case 2:
                del data[place:]
                data += b"\0"
            case 3:
                data[place : place + 12] = chance.choice([b"77777777777\0", b"\x80" + b"\xff" * 11, b"\xff" * 12, b"00000000000\0"])
    if chance.randrange(2) and not packed:
        mend_headers(data)
    path.write_bytes(data)
    problems: list[Problem] = []
    records = list(WebDataset().read(path, ReaderOptions(), problems.append))
    assert all(record.data is not None and record.captions for record in records)
    assert len(records) <= 8
    with suppress(InputError):
        detect(path, ReaderOptions())
