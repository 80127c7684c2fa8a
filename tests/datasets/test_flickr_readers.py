from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from reading_tools import read_source

from clipcap_cli.datasets.records import Evidence, ReaderOptions
from clipcap_cli.errors import InputError

Draw = Callable[..., Path]

KAGGLE_8K = ("1000268201_693b08cb0e.jpg", "1001773457_577c3a7d70.jpg")


def test_flickr8k_as_published(tmp_path: Path, draw: Draw) -> None:
    for name in ("a", "b", "c", "d"):
        draw(tmp_path / "Images" / f"{name}.jpg")
    (tmp_path / "Flickr8k.token.txt").write_text(
        "a.jpg#0\tA dog .\na.jpg#1\tTwo\tdogs .\nb.jpg#0\tA cat .\nc.jpg#0\tNo list .\ngone.jpg#0\tGone .\ngone.jpg.1#1\tOdd .\nnonsense\n"
    )
    (tmp_path / "Flickr_8k.trainImages.txt").write_text("a.jpg\nunknown.jpg\n")
    (tmp_path / "Flickr_8k.devImages.txt").write_text("b.jpg\n")
    reading = read_source(tmp_path)
    assert reading.evidence == Evidence("flickr8k", "Flickr8k.token.txt has 6 captions, with lists for train (2), val (1), and Images/ has 4 pictures")
    assert reading.captions == {"Images/a.jpg": ("A dog .", "Two dogs ."), "Images/b.jpg": ("A cat .",), "Images/c.jpg": ("No list .",)}
    assert list(reading.splits.values()) == ["train", "val", None]
    assert reading.kinds == {"bad-row": 1, "odd-name": 1, "missing-picture": 1, "no-caption": 2, "no-split": 1}
    assert [problem.severity for problem in reading.problems if problem.kind == "no-split"] == ["info"]
    assert reading.said("bad-row") == ["Flickr8k.token.txt:7: this line is not NAME#NUMBER, a tab and a caption: 'nonsense'"]


def test_the_texts_lie_in_a_folder_of_their_own_as_unpacked(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "Flicker8k_Dataset/a.jpg")
    texts = tmp_path / "Flickr8k_text"
    texts.mkdir()
    (texts / "Flickr8k.token.txt").write_text("a.jpg#0\tA dog .\n")
    (texts / "Flickr8k.lemma.token.txt").write_text("a.jpg#0\ta dog .\n")
    (texts / "Flickr_8k.testImages.txt").write_text("a.jpg\r\n")
    assert read_source(tmp_path).splits == {"Flicker8k_Dataset/a.jpg": "test"}


def test_the_oddities_of_flickr8k_are_mended_or_left_out_and_listed(tmp_path: Path, draw: Draw) -> None:
    for name in ("a", "b"):
        draw(tmp_path / f"{name}.jpg")
    (tmp_path / "Flickr8k.token.txt").write_text('a.jpg.1#0\tpeople waiting\na.jpg#1\tA\na.jpg#2\t .\na.jpg#3\t\na.jpg#4\t"Two" are "one"\nb.jpg#0\t.\n\n')
    reading = read_source(tmp_path)
    assert reading.captions == {"a.jpg": ("people waiting", "A", '"Two" are "one"')}
    assert reading.said("odd-name") == ["Flickr8k.token.txt:1: 'a.jpg.1' was read as 'a.jpg'"]
    assert reading.said("empty-caption") == [
        "Flickr8k.token.txt:3: the caption of 'a.jpg' is only '.'; it is left out",
        "Flickr8k.token.txt:4: the caption of 'a.jpg' is empty",
        "Flickr8k.token.txt:6: the caption of 'b.jpg' is only '.'; it is left out",
    ]
    assert reading.kinds == {"odd-name": 1, "empty-caption": 3, "no-caption": 1}


@pytest.mark.parametrize("name", ["results_20130124.token", "flickr30k.token.txt", "results.token"])
def test_flickr30k_as_published_with_lists_of_numbers(tmp_path: Path, draw: Draw, name: str) -> None:
    for number in (1000092795, 10002456, 36979):
        draw(tmp_path / "flickr30k-images" / f"{number}.jpg")
    (tmp_path / name).write_text(
        "1000092795.jpg#0\tTwo young guys .\n1000092795.jpg#1\tTwo , outside .\n10002456.jpg#0\tSeveral men .\n36979.jpg#0\tA group .\n"
    )
    (tmp_path / "train.txt").write_text("1000092795\n")
    (tmp_path / "val.txt").write_text("10002456\n1000092795\n")
    (tmp_path / "test.txt").write_text("36979\n")
    reading = read_source(tmp_path)
    assert reading.evidence == Evidence(
        "flickr30k", f"{name} has 4 captions, with lists for train (1), val (2), test (1), and flickr30k-images/ has 3 pictures"
    )
    assert list(reading.captions.values()) == [("Two young guys .", "Two , outside ."), ("Several men .",), ("A group .",)]
    assert list(reading.splits.values()) == ["train", "val", "test"]
    assert reading.said("split-conflict") == ["1000092795: the lists of train and of val have this picture; it stays in train"]


def test_a_text_that_is_called_train_is_no_list_if_it_has_sentences(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "a.jpg")
    (tmp_path / "Flickr8k.token.txt").write_text("a.jpg#0\tA dog .\n")
    (tmp_path / "train.txt").write_text("A dog runs\nA cat\n")
    reading = read_source(tmp_path)
    assert reading.evidence.reason == "Flickr8k.token.txt has 1 caption, there are no lists for splits, and the folder has 1 picture"
    assert (reading.splits, reading.problems) == ({"a.jpg": None}, [])


def test_flickr30ks_table_of_kaggle_with_its_broken_line(tmp_path: Path, draw: Draw) -> None:
    for number in (1000092795, 2199200615):
        draw(tmp_path / "flickr30k_images/flickr30k_images" / f"{number}.jpg")
    (tmp_path / "flickr30k_images/results.csv").write_text(
        "image_name| comment_number| comment\n"
        '1000092795.jpg| 0| "Two" young guys , with | hair .\n'
        "1000092795.jpg| 1| \n"
        "2199200615.jpg| 3| A dog shakes .\n"
        "2199200615.jpg| 4   A dog runs across the grass .\n"
        "2199200615.jpg\n"
    )
    for source in (tmp_path, tmp_path / "flickr30k_images", tmp_path / "flickr30k_images/results.csv"):
        reading = read_source(source)
        assert reading.evidence.layout == "flickr30k"
        assert "results.csv has 4 captions, there are no lists for splits, and " in reading.evidence.reason
        assert list(reading.captions.values()) == [('"Two" young guys , with | hair .',), ("A dog shakes .", "A dog runs across the grass .")]
        assert reading.said("bad-row") == [
            "results.csv:5: this line has one '|' instead of two; the caption was read as 'A dog runs across the grass .'",
            "results.csv:6: this line is not NAME| NUMBER| and a caption: '2199200615.jpg'",
        ]
        assert reading.said("empty-caption") == ["results.csv:3: the caption of '1000092795.jpg' is empty"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_flickr8ks_table_of_kaggle_has_commas_with_and_without_quotation_marks(tmp_path: Path, draw: Draw, end: str, mark: str) -> None:
    for name in KAGGLE_8K:
        draw(tmp_path / "Images" / name)
    first, second = KAGGLE_8K
    lines = ["image,caption", f"{first},A child , in pink , climbs .", f'{first},"A girl , outside ."', f'{second},"She says ""come"" , twice"', ""]
    (tmp_path / "captions.txt").write_bytes((mark + end.join(lines)).encode())
    (tmp_path / "Flickr_8k.devImages.txt").write_text(f"{second}\n")
    (tmp_path / "Flickr_8k.trainImages.txt").write_text(f"{first}\n")
    reading = read_source(tmp_path)
    assert reading.evidence == Evidence("flickr8k", "captions.txt has 3 captions, with lists for train (1), val (1), and Images/ has 2 pictures")
    assert list(reading.captions.values()) == [("A child , in pink , climbs .", "A girl , outside ."), ('She says "come" , twice',)]
    assert (list(reading.splits.values()), reading.problems) == (["train", "val"], [])


def test_a_captions_txt_of_other_pictures_is_a_table(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "a.jpg")
    (tmp_path / "captions.txt").write_text("image,caption\na.jpg,A dog\n")
    assert read_source(tmp_path).evidence.layout == "captions table"
    draw(tmp_path / KAGGLE_8K[0])
    (tmp_path / "captions.txt").write_text(f"image,caption,words\n{KAGGLE_8K[0]},A dog,Ein Hund\n")
    assert read_source(tmp_path, ReaderOptions(caption_column="words")).captions == {KAGGLE_8K[0]: ("Ein Hund",)}


def test_two_token_files_are_not_chosen_between(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "a.jpg")
    for name in ("one.token", "two.token.txt"):
        (tmp_path / name).write_text("a.jpg#0\tA dog .\n")
    with pytest.raises(InputError, match=r"2 files here have captions: one\.token, two\.token\.txt.*Name the one"):
        read_source(tmp_path)
    assert read_source(tmp_path / "one.token").captions == {"a.jpg": ("A dog .",)}


def test_latin_letters_are_read(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "a.jpg")
    (tmp_path / "Flickr8k.token.txt").write_bytes("a.jpg#0\tA café .\n".encode("latin-1"))
    reading = read_source(tmp_path)
    assert (reading.captions, reading.kinds) == ({"a.jpg": ("A café .",)}, {"encoding": 1})
