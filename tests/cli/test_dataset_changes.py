"""`clipcap dataset split|edit|filter|merge|diff|restore`, and what `add` does with licence, policy and --dry-run."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mean_colour import draw_colours

from clipcap_cli.datasets.dataset import open_dataset
from clipcap_cli.storage.home import Home

Clipcap = Callable[..., Any]


@pytest.fixture
def colours(tmp_path: Path, clipcap: Clipcap) -> Path:
    """A dataset of sixteen pictures, four of them to validate on; its folder."""
    folder = draw_colours(tmp_path / "colours", to_validate=1)
    assert clipcap("dataset", "add", folder).code == 0
    return folder


def captions_of(home: Home, name: str = "colours") -> dict[str, tuple[str, ...]]:
    return {image.name: image.captions for image in open_dataset(name, home=home).images()}


def test_a_dry_run_says_what_would_be_added_and_adds_nothing(clipcap: Clipcap, tmp_path: Path, home: Home) -> None:
    folder = draw_colours(tmp_path / "colours", to_validate=1)
    said = clipcap("dataset", "add", folder, "--dry-run")
    assert said.code == 0, said.err
    for told in ("colours, not added: 16 pictures, 16 captions", "metadata: metadata.csv has", "train 12, val 4", "a red picture"):
        assert told in said.out
    shown = json.loads(clipcap("dataset", "add", folder, "--dry-run", "--json").out)
    assert (shown["pictures"], len(shown["samples"]), shown["problem_list"]) == (16, 5, [])
    assert not home.datasets.exists()


def test_licence_source_and_citation_are_kept_and_can_be_said_later(clipcap: Clipcap, colours: Path) -> None:
    assert clipcap("dataset", "add", colours, "--licence", "CC BY 4.0", "--source", "made here").code == 0
    assert clipcap("dataset", "add", colours, "--citation", "Me, 2026").code == 0
    shown = json.loads(clipcap("dataset", "show", "colours", "--json").out)
    assert (shown["version"], shown["licence"], shown["origin"], shown["citation"]) == (1, "CC BY 4.0", "made here", "Me, 2026")
    assert "licence CC BY 4.0" in clipcap("dataset", "show", "colours").out


@pytest.mark.parametrize("policy", ["--copy", "--link"])
def test_pictures_that_were_taken_into_the_store_are_there_when_the_source_is_gone(policy: str, clipcap: Clipcap, tmp_path: Path, home: Home) -> None:
    folder = draw_colours(tmp_path / "colours", to_validate=1)
    assert clipcap("dataset", "add", folder, policy).code == 0
    for path in folder.glob("*.png"):
        path.unlink()
    assert clipcap("cache", "verify", "pictures", "images").code == 0
    images = open_dataset("colours", home=home).images()
    assert {image.path.parent.parent for image in images if image.path} == {home.images}
    assert all(image.path and image.path.suffix == ".png" and image.path.stem == image.image_id for image in images)


def test_only_one_policy_is_taken(clipcap: Clipcap, colours: Path) -> None:
    assert clipcap("dataset", "add", colours, "--copy", "--link").code == 2


def test_corrected_captions_come_back_from_a_spreadsheet(clipcap: Clipcap, colours: Path, tmp_path: Path, home: Home) -> None:
    table = tmp_path / "colours.csv"
    assert clipcap("dataset", "edit", "colours", "--export", table).code == 0
    assert clipcap("dataset", "edit", "colours", "--export", table).code == 3, "it must not be written over"
    with table.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["caption"] for row in rows][:1] == ["a blue picture"]
    rows[0]["caption"] = "=blue, all blue"
    rows[1]["split"] = "test"
    rows.append({**rows[0], "caption": "another caption"})
    with table.open("w", encoding="utf-16", newline="") as stream:  # as some spreadsheets save it
        writer = csv.DictWriter(stream, rows[0], delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    said = clipcap("dataset", "edit", "colours", "--import", table)
    assert said.code == 0, said.err
    assert "colours v2: 1 picture with other captions, 1 picture in another split" in said.out
    assert captions_of(home)["blue0.png"] == ("=blue, all blue", "another caption")
    assert open_dataset("colours", home=home).splits() == {"train": 11, "val": 4, "test": 1}
    assert "clipcap dataset restore colours 1" in said.err
    assert "nothing to change" in clipcap("dataset", "edit", "colours", "--import", table, "--force").out


def test_a_caption_that_looks_like_a_formula_goes_out_harmless_and_comes_back_as_it_was(clipcap: Clipcap, colours: Path, tmp_path: Path, home: Home) -> None:
    table = tmp_path / "captions.csv"
    metadata = colours / "metadata.csv"
    metadata.write_text(metadata.read_text().replace("a red picture", "=HYPERLINK(1)"))
    clipcap("dataset", "add", colours)
    before = captions_of(home)
    clipcap("dataset", "edit", "colours", "--export", table)
    assert ",=HYPERLINK" not in table.read_text()
    assert "nothing to change" in clipcap("dataset", "edit", "colours", "--import", table).out
    assert captions_of(home) == before


def test_what_was_changed_on_both_sides_is_listed_and_not_overwritten(clipcap: Clipcap, colours: Path, tmp_path: Path, home: Home) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    clipcap("dataset", "edit", "colours", "--export", first)
    second.write_text(first.read_text().replace("a red picture", "a scarlet picture"))
    first.write_text(first.read_text().replace("a red picture", "a crimson picture").replace("a grey picture", "a dull picture"))
    assert clipcap("dataset", "edit", "colours", "--import", second).code == 0
    said = clipcap("dataset", "edit", "colours", "--import", first)
    assert said.code == 5
    assert said.err.count("was changed here too") == 4
    assert captions_of(home)["red0.png"] == ("a scarlet picture",)
    assert captions_of(home)["grey0.png"] == ("a dull picture",)
    assert clipcap("dataset", "edit", "colours", "--import", first, "--force").code == 0
    assert captions_of(home)["red0.png"] == ("a crimson picture",)


def test_strangers_and_emptied_rows_are_listed(clipcap: Clipcap, colours: Path, tmp_path: Path, home: Home) -> None:
    table = tmp_path / "t.csv"
    clipcap("dataset", "edit", "colours", "--export", table)
    text = table.read_text().replace("train,a blue picture", "train,", 1) + "1,ffff,nobody.png,train,a stranger\n"
    table.write_text(text)
    said = clipcap("dataset", "edit", "colours", "--import", table)
    assert said.code == 5
    assert "nobody.png: is no picture of this dataset" in said.err
    assert "blue0.png: would have no caption left" in said.err
    assert captions_of(home)["blue0.png"] == ("a blue picture",)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "version,image_id,image,split,caption\n", "version,image_id,image,split,caption\nx,1,a,train,b\n"])
def test_a_table_that_is_none_of_ours_is_refused(text: str, clipcap: Clipcap, colours: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    said = clipcap("dataset", "edit", "colours", "--import", tmp_path / "t.csv")
    assert (said.code, said.err.count("Error:")) == (3, 1)


def test_captions_are_filtered_and_pictures_without_one_go(clipcap: Clipcap, colours: Path, home: Home) -> None:
    said = clipcap("dataset", "filter", "colours", "--unlike", "red|blue")
    assert said.code == 0, said.err
    assert "8 captions and 8 pictures left out" in said.out
    assert {name[:-5] for name in captions_of(home)} == {"green", "grey"}
    assert clipcap("dataset", "filter", "colours", "--split", "val", "--match", "green").code == 0
    assert list(captions_of(home)) == ["green3.png"]
    assert clipcap("dataset", "filter", "colours", "--max-words", "1").code == 3, "nothing would be left"
    assert clipcap("dataset", "filter", "colours", "--match", "(").code == 3
    assert clipcap("dataset", "filter", "colours").code == 2
    assert clipcap("dataset", "restore", "colours", "1").code == 0
    assert len(captions_of(home)) == 16


def test_adding_again_keeps_what_was_changed_here_and_brings_what_is_new(clipcap: Clipcap, colours: Path, home: Home) -> None:
    assert clipcap("dataset", "filter", "colours", "--unlike", "red").code == 0
    draw_colours(colours.parent / "more", to_validate=0)
    (colours.parent / "more" / "red0.png").rename(colours / "new.png")
    from PIL import Image

    Image.new("RGB", (30, 30), "purple").save(colours / "new.png")
    with (colours / "metadata.csv").open("a") as stream:
        stream.write("\nnew.png,a purple picture,train")
    said = clipcap("dataset", "add", colours)
    assert said.code == 0, said.err
    assert "keeps its captions: 1 new picture" in said.err
    assert len(captions_of(home)) == 13
    assert "nothing has changed" in clipcap("dataset", "add", colours).err
    assert clipcap("dataset", "filter", "colours", "--unlike", "purple").code == 0
    assert "nothing has changed" in clipcap("dataset", "add", colours).err, "what was filtered away does not come back"
    assert clipcap("dataset", "add", colours, "--replace").code == 0
    assert len(captions_of(home)) == 17


def test_another_source_takes_the_place_of_a_dataset_only_if_that_is_said(clipcap: Clipcap, colours: Path, tmp_path: Path, home: Home) -> None:
    other = draw_colours(tmp_path / "other", to_validate=2)
    said = clipcap("dataset", "add", other, "--name", "colours")
    assert (said.code, "--replace" in said.err, "--name colours-2" in said.err) == (3, True, True)
    assert clipcap("dataset", "add", other, "--name", "colours", "--replace").code == 0
    assert open_dataset("colours", home=home).splits() == {"train": 8, "val": 8}
    assert clipcap("dataset", "restore", "colours", "1").code == 0
    assert open_dataset("colours", home=home).splits() == {"train": 12, "val": 4}


def test_two_datasets_become_one_and_a_picture_of_both_is_there_once(clipcap: Clipcap, colours: Path, tmp_path: Path, home: Home) -> None:
    other = draw_colours(tmp_path / "other", to_validate=0)
    (other / "red0.png").unlink()
    (other / "metadata.csv").write_text(
        (other / "metadata.csv").read_text().replace("a blue picture", "blueness").replace("red0.png,a red picture,train\n", "")
    )
    clipcap("dataset", "add", other)
    said = clipcap("dataset", "merge", "colours", "other", "--name", "both")
    assert said.code == 0, said.err
    merged = open_dataset("both", home=home)
    assert (merged.pictures, merged.captions) == (16, 20)
    assert merged.splits() == {"train": 12, "val": 4}
    assert merged.problem_counts == {"split-conflict": 4}
    assert clipcap("dataset", "merge", "colours", "other", "--name", "both").code == 3
    assert clipcap("dataset", "merge", "colours", "--name", "one").code == 3


def test_a_diff_lists_pictures_captions_and_splits(clipcap: Clipcap, colours: Path) -> None:
    assert clipcap("dataset", "diff", "colours").code == 3
    clipcap("dataset", "filter", "colours", "--unlike", "red")
    said = clipcap("dataset", "diff", "colours", "--show", "1")
    assert said.code == 0
    assert "pictures removed: 4\n    red0.png\n    and 3 more" in said.out
    shown = json.loads(clipcap("dataset", "diff", "colours@1", "colours@2", "--json").out)
    assert (len(shown["removed"]), shown["added"], shown["moved"]) == (4, [], [])
    assert "they say the same" in clipcap("dataset", "diff", "colours@1", "colours@1").out


def test_splits_are_made_by_a_rule_that_holds_for_later_pictures(clipcap: Clipcap, tmp_path: Path, home: Home) -> None:
    folder = tmp_path / "plain"
    draw_colours(folder, to_validate=1)
    (folder / "metadata.csv").write_text("\n".join(line.rpartition(",")[0] for line in (folder / "metadata.csv").read_text().splitlines()))
    clipcap("dataset", "add", folder)
    said = clipcap("dataset", "split", "plain", "--shares", "50,50", "--seed", "3")
    assert said.code == 0, said.err
    before = {image.image_id: image.split for image in open_dataset("plain", home=home).images()}
    assert set(before.values()) == {"train", "val"}
    from PIL import Image

    with (folder / "metadata.csv").open("a") as stream:
        for number in range(40):
            Image.new("RGB", (20, 20), (number, 0, 0)).save(folder / f"n{number}.png")
            stream.write(f"\nn{number}.png,number {number}")
    assert clipcap("dataset", "add", folder).code == 0
    after = {image.image_id: image.split for image in open_dataset("plain", home=home).images()}
    assert before.items() <= after.items()
    assert set(after.values()) == {"train", "val"}
    assert "nothing to change" in clipcap("dataset", "split", "plain", "--shares", "50,50", "--seed", "3").out
    for shares in ("50", "50,60", "a,b", "-10,110"):
        assert clipcap("dataset", "split", "plain", "--shares", shares).code == 2
    assert clipcap("dataset", "split", "plain", "--group", "nothing").code == 3


def test_the_source_s_own_splits_stay_unless_they_are_given_up(clipcap: Clipcap, colours: Path, home: Home) -> None:
    assert "nothing to change" in clipcap("dataset", "split", "colours").out
    assert clipcap("dataset", "split", "colours", "--shares", "0,100", "--anew").code == 0
    assert open_dataset("colours", home=home).splits() == {"val": 16}
    assert clipcap("dataset", "split", "colours", "--shares", "75,25", "--anew", "--stratify", "folder").code == 0
    assert open_dataset("colours", home=home).splits() == {"train": 12, "val": 4}


def draw_scene(path: Path, seed: int, size: tuple[int, int] = (120, 90)) -> None:
    """A picture that is unlike every other, and like its own copies."""
    import numpy as np
    from PIL import Image

    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
    path.with_suffix(".txt").write_text(f"scene number {seed}\n")


def test_near_duplicates_go_into_one_split_and_those_that_come_later_join_them(clipcap: Clipcap, tmp_path: Path, home: Home) -> None:
    folder = tmp_path / "scenes"
    for seed in range(12):
        draw_scene(folder / f"{seed}.jpg", seed)
        draw_scene(folder / f"{seed}-small.jpg", seed, (80, 60))
    clipcap("dataset", "add", folder)
    said = clipcap("dataset", "split", "scenes", "--shares", "50,50", "--group", "near-duplicates")
    assert said.code == 0, said.err
    splits = {image.name: image.split for image in open_dataset("scenes", home=home).images()}
    assert {splits[f"{seed}.jpg"] == splits[f"{seed}-small.jpg"] for seed in range(12)} == {True}
    assert set(splits.values()) == {"train", "val"}
    for seed in range(12):
        draw_scene(folder / f"{seed}-large.jpg", seed, (200, 150))
    assert clipcap("dataset", "add", folder).code == 0
    later = {image.name: image.split for image in open_dataset("scenes", home=home).images()}
    assert splits.items() <= later.items()
    assert {later[f"{seed}.jpg"] == later[f"{seed}-large.jpg"] for seed in range(12)} == {True}
    assert json.loads(clipcap("dataset", "check", "scenes", "--json").out)["counts"]["error"] == 0


def test_what_a_check_finds_can_be_filtered_out_and_mended(clipcap: Clipcap, tmp_path: Path, home: Home) -> None:
    folder = tmp_path / "scenes"
    for seed in range(8):
        draw_scene(folder / f"{seed}.jpg", seed)
    (folder / "0.txt").write_text("a cafÃ© with &amp; without a terrace\n")
    (folder / "1.txt").write_text("IMG_2041.jpg\nscene number 1\n")
    (folder / "2.jpg").write_bytes((folder / "2.jpg").read_bytes()[:-600])
    clipcap("dataset", "add", folder)
    said = clipcap("dataset", "check", "scenes")
    assert said.code == 5
    for told in ("damaged-picture", "mojibake", "file-name", "clipcap dataset"):
        assert told in said.out, said.out
    mended = clipcap("dataset", "check", "scenes", "--fix")
    assert (mended.code, "mojibake 1, html-entity 1 mended" in mended.out) == (5, True), "what cannot be mended so is left"
    assert "mojibake:" not in mended.out
    assert captions_of(home, "scenes")["0.jpg"] == ("a café with & without a terrace",)
    kinds = [finding["kind"] for finding in json.loads(clipcap("dataset", "check", "scenes", "--json").out)["findings"]]
    assert "mojibake" not in kinds
    file_name = next(kind for kind in kinds if "file-name" in kind)
    assert clipcap("dataset", "filter", "scenes", "--problem", file_name, "--problem", "damaged-picture").code == 0
    assert captions_of(home, "scenes")["1.jpg"] == ("scene number 1",)
    assert "2.jpg" not in captions_of(home, "scenes")
    assert clipcap("dataset", "check", "scenes").code == 0
    assert clipcap("dataset", "filter", "scenes", "--problem", "no-such-kind").code == 3


def test_captions_are_counted_in_the_tokens_of_a_recipe(clipcap: Clipcap, tmp_path: Path) -> None:
    folder = tmp_path / "scenes"
    for seed in range(4):
        draw_scene(folder / f"{seed}.jpg", seed)
    (folder / "0.txt").write_text("a very long caption indeed " * 30 + "\n")
    clipcap("dataset", "add", folder)
    said = clipcap("dataset", "check", "scenes", "--recipe", "quickstart")
    assert "tokens" in said.out, said.out


def test_a_preview_is_one_page_with_the_problems_in_it(clipcap: Clipcap, colours: Path, tmp_path: Path) -> None:
    page = tmp_path / "colours.html"
    shown = json.loads(clipcap("dataset", "preview", "colours", "--output", page, "--json").out)
    assert (shown["pictures"], shown["shown"], shown["unreadable"]) == (16, 16, 0)
    assert "a red picture" in page.read_text()
    assert clipcap("dataset", "preview", "colours", "--output", page).code == 3
    assert clipcap("dataset", "preview", "colours@1", "--output", page, "--overwrite", "--split", "val", "--no-check").code == 0


@pytest.mark.parametrize("layout", ["coco", "webdataset", "sidecar"])
def test_a_dataset_goes_out_and_comes_in_again(layout: str, clipcap: Clipcap, colours: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert clipcap("dataset", "export", "colours", "--output", output).code == 2, "which layout?"
    said = clipcap("dataset", "export", "colours", "--format", layout, "--output", output)
    assert (said.code, said.out) == (0, f"{output}: 16 pictures and 16 captions as {layout}\n")
    assert clipcap("dataset", "add", output, "--name", "again").code == 0
    assert "in another split" not in clipcap("dataset", "diff", "colours", "again").out
    assert "pictures removed" not in clipcap("dataset", "diff", "colours", "again").out


def test_captions_that_do_not_fit_their_picture_are_filtered_by_an_encoder(
    clipcap: Clipcap, colours: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np
    from mean_colour import COLOURS, ColourEncoder

    class Reads(ColourEncoder):
        def encode_text(self, texts: list[str]) -> Any:
            return np.stack([np.array(COLOURS[text.split()[1]], np.float32) / 255 for text in texts])

    monkeypatch.setattr("clipcap_cli.encoders.registry.load_encoder", lambda *_, **__: Reads())
    metadata = colours / "metadata.csv"
    metadata.write_text(metadata.read_text().replace("red0.png,a red picture", "red0.png,a green picture"))
    clipcap("dataset", "add", colours)
    said = clipcap("dataset", "filter", "colours", "--least-similarity", "0.9")
    assert said.code == 0, said.err
    assert "1 caption and 1 picture left out" in said.out
    assert "red0.png" not in captions_of(home)


def test_a_split_is_no_change_of_captions_the_source_still_counts(clipcap: Clipcap, colours: Path, home: Home) -> None:
    assert clipcap("dataset", "split", "colours", "--shares", "50,50", "--anew").code == 0
    before = {image.name: image.split for image in open_dataset("colours", home=home).images()}
    metadata = colours / "metadata.csv"
    metadata.write_text(metadata.read_text().replace("red0.png,a red picture", "red0.png,a scarlet picture"))
    assert clipcap("dataset", "add", colours).code == 0
    assert captions_of(home)["red0.png"] == ("a scarlet picture",)
    assert {image.name: image.split for image in open_dataset("colours", home=home).images()} == before


def test_a_file_that_is_another_picture_by_now_takes_the_place_of_the_old_one_after_changes_too(clipcap: Clipcap, colours: Path, home: Home) -> None:
    from PIL import Image

    assert clipcap("dataset", "filter", "colours", "--unlike", "blue").code == 0
    Image.new("RGB", (31, 31), "purple").save(colours / "red0.png")
    assert "0 new pictures, 1 changed" in clipcap("dataset", "add", colours).err
    images = {image.name: image for image in open_dataset("colours", home=home).images()}
    assert (len(images), images["red0.png"].width) == (12, 31)
    assert clipcap("cache", "verify", "pictures").code == 0


def test_a_row_with_a_name_alone_is_a_new_caption_of_that_picture(clipcap: Clipcap, colours: Path, tmp_path: Path, home: Home) -> None:
    table = tmp_path / "t.csv"
    clipcap("dataset", "edit", "colours", "--export", table)
    table.write_text(table.read_text() + ",,red0.png,,a second one\n")
    assert clipcap("dataset", "edit", "colours", "--import", table).code == 0
    assert captions_of(home)["red0.png"] == ("a red picture", "a second one")


def test_only_plain_files_are_replaced(clipcap: Clipcap, colours: Path, tmp_path: Path) -> None:
    (tmp_path / "target.txt").write_text("precious")
    (tmp_path / "link.html").symlink_to(tmp_path / "target.txt")
    assert clipcap("dataset", "preview", "colours", "--output", tmp_path / "link.html", "--overwrite", "--no-check").code == 3
    assert clipcap("dataset", "edit", "colours", "--export", "/dev/null", "--overwrite").code == 3
    assert ((tmp_path / "target.txt").read_text(), (tmp_path / "link.html").is_symlink()) == ("precious", True)


def test_what_a_split_does_not_do_is_said(clipcap: Clipcap, colours: Path) -> None:
    assert "--anew gives them up" in clipcap("dataset", "split", "colours", "--shares", "50,50").err
    assert "nothing is in val, test" in clipcap("dataset", "split", "colours", "--anew", "--group", "folder").err
    assert "nothing comes before version 1" in clipcap("dataset", "diff", "colours@1").err


def test_a_data_pickle_that_was_filtered_keeps_its_pictures_when_it_is_added_again(clipcap: Clipcap, tmp_path: Path, home: Home) -> None:
    source = Path(__file__).parent.parent / "data" / "golden" / "pickles" / "shared.pkl"
    file = tmp_path / "shared.pkl"
    file.write_bytes(source.read_bytes())
    assert clipcap("dataset", "add", file).code == 0
    first = open_dataset("shared", home=home).images()
    assert clipcap("dataset", "filter", "shared", "--unlike", first[0].captions[0][:12]).code == 0
    kept = open_dataset("shared", home=home).images()
    assert 0 < sum(len(image.captions) for image in kept) < sum(len(image.captions) for image in first)
    assert clipcap("dataset", "add", file).code == 0
    assert open_dataset("shared", home=home).images() == kept
