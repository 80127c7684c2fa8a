"""The preview: one file that needs nothing else, with every picture, or an honest sample of them, whatever captions say and whatever is missing."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_dataset import made_dataset, made_pictures
from page_parts import NASTY, page_parts
from PIL import Image as Pillow

from clipcap_cli.datasets.manifest import Provenance
from clipcap_cli.datasets.preview import Preview, write_preview
from clipcap_cli.datasets.preview.sampling import sample
from clipcap_cli.errors import InputError, StoreError
from clipcap_cli.events import Advanced, Event, Finished, Started
from clipcap_cli.storage.hashing import image_id_of
from clipcap_cli.storage.home import Home


def test_every_picture_has_its_captions_split_size_problems_and_tags(tmp_path: Path, home: Home) -> None:
    pictures = made_pictures(tmp_path / "pictures", 6)
    pictures[1] = replace(pictures[1], tags={"course": "dessert"})
    problems = {"small": ["picture-0001.png", "picture-0004.png", "elsewhere.png"], "none has it": []}
    written = write_preview(made_dataset(home, pictures), tmp_path / "page.html", problems=problems)
    assert written == Preview(tmp_path / "page.html", pictures=6, shown=6, unreadable=0)
    parts = page_parts(written.path)
    assert [card["name"] for card in parts.data["pictures"]] == [picture.name for picture in pictures]
    assert parts.data["pictures"][1] == {
        "name": "picture-0001.png",
        "captions": ["a green pear on a table", "there is a green pear, number 1"],
        "split": "train",
        "size": [41, 30],
        "problems": ["small"],
        "tags": {"course": "dessert"},
    }
    assert parts.data["pictures"][4]["split"] is None
    assert all(uri.startswith("data:image/") for uri in parts.thumbnails)


def test_the_file_loads_nothing_from_anywhere(tmp_path: Path, home: Home) -> None:
    write_preview(made_dataset(home, made_pictures(tmp_path, 3)), tmp_path / "page.html")
    page_parts(tmp_path / "page.html").check_alone()


def test_the_head_tells_counts_splits_and_where_it_comes_from(tmp_path: Path, home: Home) -> None:
    provenance = Provenance(licence="CC0", source="a <b>garden</b>", citation="Smith 2020")
    write_preview(made_dataset(home, made_pictures(tmp_path / "pictures", 10), provenance=provenance), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    head = text[text.index("<header>") : text.index("</header>")]
    for told in (
        "<bdi>shapes</bdi>",
        "Version 1 · 10 pictures · 20 captions",
        "<b>4</b> <small>40 %</small>",
        "no split",
        "captions table",
        "CC0",
        "Smith 2020",
    ):
        assert told in head
    assert "a &lt;b&gt;garden&lt;/b&gt;" in head
    assert "are on this page" not in head


def test_a_page_says_nothing_of_the_machine_that_wrote_it(tmp_path: Path, home: Home) -> None:
    write_preview(made_dataset(home, made_pictures(tmp_path / "pictures", 2)), tmp_path / "page.html")
    assert str(tmp_path) not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_captions_names_problems_and_tags_stay_text_whatever_they_say(tmp_path: Path, home: Home) -> None:
    nasty = [text.encode(errors="replace").decode() for text in NASTY]
    pictures = [
        replace(picture, name=f"{text}.png", captions=(text,), split=text, tags={text: text})
        for picture, text in zip(made_pictures(tmp_path / "pictures", len(nasty)), nasty, strict=True)
    ]
    write_preview(made_dataset(home, pictures), tmp_path / "page.html", problems={text: [f"{text}.png"] for text in nasty})
    parts = page_parts(tmp_path / "page.html")
    assert [tag for tag, _ in parts.elements].count("script") == 3
    assert [card["captions"] for card in parts.data["pictures"]] == [[text] for text in nasty]
    assert [card["problems"] for card in parts.data["pictures"]] == [[text] for text in nasty]
    assert "<" not in parts.scripts[0]


def test_one_split_is_shown_alone(tmp_path: Path, home: Home) -> None:
    dataset = made_dataset(home, made_pictures(tmp_path / "pictures", 10))
    assert write_preview(dataset, tmp_path / "page.html", split="val").pictures == 2
    assert {card["split"] for card in page_parts(tmp_path / "page.html").data["pictures"]} == {"val"}
    with pytest.raises(InputError, match="has no split 'dev'"):
        write_preview(dataset, tmp_path / "page.html", split="dev")


def test_of_many_pictures_an_even_sample_is_shown_and_the_page_says_so(tmp_path: Path, home: Home) -> None:
    written = write_preview(made_dataset(home, made_pictures(tmp_path / "pictures", 40)), tmp_path / "page.html", limit=4)
    assert (written.pictures, written.shown) == (40, 4)
    parts = page_parts(written.path)
    assert [card["name"] for card in parts.data["pictures"]] == [f"picture-{number:04d}.png" for number in (0, 10, 20, 30)]
    assert len(parts.thumbnails) == 4
    text = written.path.read_text(encoding="utf-8")
    assert "4 of 40 pictures are on this page." in text
    assert "40 pictures · 80 captions" in text


def test_what_is_rare_is_in_the_sample(tmp_path: Path, home: Home) -> None:
    problems = {"rare": ["picture-0037.png"], "frequent": [f"picture-{number:04d}.png" for number in range(30)]}
    written = write_preview(made_dataset(home, made_pictures(tmp_path / "pictures", 40)), tmp_path / "page.html", limit=8, problems=problems)
    shown = page_parts(written.path).data["pictures"]
    assert [card["name"] for card in shown if "rare" in card["problems"]] == ["picture-0037.png"]
    text = written.path.read_text(encoding="utf-8")
    assert "with more of those that have a problem" in text
    assert ">rare (1)</option>" in text
    assert " of 30)</option>" in text


@given(st.integers(0, 300), st.integers(1, 60), st.data())
def test_a_sample_fills_its_room_in_order_without_repeating(pictures: int, limit: int, data: st.DataObject) -> None:
    rows = st.lists(st.integers(0, max(0, pictures - 1)), unique=True, max_size=pictures).map(sorted)
    problems = data.draw(st.dictionaries(st.text(max_size=2), rows, max_size=4)) if pictures else {}
    found = sample(pictures, problems, limit)
    assert len(found) == min(pictures, limit)
    assert found == sorted(set(found))
    assert set(found) <= set(range(pictures))
    for kind in problems:
        wanted = min(len(problems[kind]), limit // 2 // len(problems))
        assert len(set(found) & set(problems[kind])) >= wanted


def test_pictures_that_cannot_be_shown_have_their_name_in_the_place_and_can_be_chosen(tmp_path: Path, home: Home) -> None:
    pictures = made_pictures(tmp_path / "pictures", 5)
    Path(pictures[0].path).unlink()
    Path(pictures[1].path).write_bytes(b"no picture")
    Pillow.new("RGB", (9, 9)).save(pictures[2].path)  # another one than that which was added
    pictures[3] = replace(pictures[3], path="", width=0, height=0)
    written = write_preview(made_dataset(home, pictures), tmp_path / "page.html")
    assert written.unreadable == 4
    parts = page_parts(written.path)
    assert [bool(uri) for uri in parts.thumbnails] == [False, False, False, False, True]
    assert [card["problems"] for card in parts.data["pictures"]] == [["cannot be shown"]] * 4 + [[]]
    assert ">cannot be shown (4)</option>" in written.path.read_text(encoding="utf-8")


def test_pictures_are_small_copies_as_large_as_there_is_room(tmp_path: Path, home: Home) -> None:
    pictures = made_pictures(tmp_path / "pictures", 1)
    Pillow.effect_noise((2000, 1000), 90).save(pictures[0].path)
    pictures[0] = replace(pictures[0], image_id=image_id_of(Path(pictures[0].path).read_bytes()))
    write_preview(made_dataset(home, pictures), tmp_path / "page.html")
    uri = page_parts(tmp_path / "page.html").thumbnails[0]
    assert len(uri) <= 48_000
    width, height = Pillow.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).size
    assert 250 < width <= 640
    assert height == pytest.approx(width / 2, abs=1)


def test_however_many_pictures_are_asked_for_each_can_be_made_out(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipcap_cli.datasets.preview.preview._ALL", 100)
    assert write_preview(made_dataset(home, made_pictures(tmp_path / "pictures", 5)), tmp_path / "page.html").unreadable == 0


def test_a_page_without_a_room_or_a_place_is_refused(tmp_path: Path, home: Home) -> None:
    dataset = made_dataset(home, made_pictures(tmp_path / "pictures", 2))
    with pytest.raises(InputError, match="a page of 0 pictures shows nothing"):
        write_preview(dataset, tmp_path / "page.html", limit=0)
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match="a folder stands where a file should be"):
        write_preview(dataset, tmp_path / "folder")


def test_an_older_page_stays_whole_when_a_new_one_cannot_be_made(tmp_path: Path, home: Home) -> None:
    dataset = made_dataset(home, made_pictures(tmp_path / "pictures", 2))
    (tmp_path / "page.html").write_text("older")
    (dataset.folder / "captions.parquet").unlink()
    with pytest.raises(StoreError, match="the file is missing"):
        write_preview(dataset, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == "older"


def test_many_splits_are_summed_up_in_the_head(tmp_path: Path, home: Home) -> None:
    pictures = [replace(picture, split=f"fold {number}") for number, picture in enumerate(made_pictures(tmp_path / "pictures", 9))]
    write_preview(made_dataset(home, pictures), tmp_path / "page.html")
    assert "<bdi>4 others</bdi></span> <b>4</b>" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_work_is_told_while_it_goes_on(tmp_path: Path, home: Home) -> None:
    told: list[Event] = []
    write_preview(made_dataset(home, made_pictures(tmp_path / "pictures", 3)), tmp_path / "page.html", events=told.append)
    assert told == [Started("draw", 3, "pictures"), *[Advanced("draw")] * 3, Finished("draw")]
