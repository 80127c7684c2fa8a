"""The report: one file that needs nothing else, whatever captions say and whatever is missing."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_scores import made_images, made_scores
from page_parts import NASTY, page_parts
from PIL import Image as Pillow

from clipcap_cli.datasets.dataset import Image
from clipcap_cli.datasets.pages.thumbnails import thumbnails
from clipcap_cli.errors import InputError
from clipcap_cli.evaluation.report import write_report
from clipcap_cli.evaluation.report.charts import histogram
from clipcap_cli.evaluation.report.curves import read_training
from clipcap_cli.evaluation.report.drawing import readable, ticks
from clipcap_cli.recipe import dump_recipe, load_recipe
from clipcap_cli.storage.hashing import image_id_of
from clipcap_cli.storage.home import Home
from clipcap_cli.training.runs import Run, RunInfo

MEGABYTE = 1_000_000


@pytest.fixture
def run(home: Home) -> Run:
    """One that has trained, with a loss that went astray once."""
    made = Run(home, "food")
    made.path.mkdir(parents=True)
    info = RunInfo("food", "finished", "2024-05-01T12:30:00+00:00", "shapes", 1, "efficientnet-lite0", "builtin:nano", 100, 100, 2.5, 100, 0.9, 1.2, "cider")
    made.write_info(info)
    (made.path / "recipe.yaml").write_text(dump_recipe(load_recipe("quickstart", {"train.select_by": "cider"})))
    for step in range(10, 101, 10):
        made.log({"step": step, "epoch": 1, "loss": 3 - step / 50 if step != 50 else float("nan"), "lr": 1e-3, "tokens_per_s": 900})
    for step in (50, 100):
        samples = [{"image": "a.jpg", "caption": f"an <i>apple</i> at {step}"}]
        made.log({"step": step, "val_loss": 2 - step / 100, "score": step / 80, "select_by": "cider", "best": True, "samples": samples})
    return made


def test_the_file_loads_nothing_from_anywhere(tmp_path: Path, run: Run) -> None:
    scores = made_scores(made_images(tmp_path, 5))
    page = write_report(tmp_path / "report.html", scores, run=run, others=[made_scores(scores.images, name="older", seed=1)])
    page_parts(page).check_alone()
    assert "@import" not in page.read_text(encoding="utf-8")


def test_what_was_found_stands_in_words_at_the_top(tmp_path: Path) -> None:
    scores = made_scores(made_images(tmp_path, 5), warnings=["5 pictures are few"])
    text = write_report(tmp_path / "report.html", scores).read_text(encoding="utf-8")
    head = text[text.index("<header>") : text.index("</header>")]
    assert "<bdi>shapes v1, split test</bdi> · 5 pictures · 10 references" in head
    assert "5 pictures are few." in head
    assert "nearest neighbours" in head
    assert scores.signature("CIDEr-D") in text
    one_sided = replace(scores, verdict=None, baselines=())
    assert "Not compared with nearest neighbours." in write_report(tmp_path / "report.html", one_sided).read_text(encoding="utf-8")


def test_every_picture_has_its_captions_and_scores(tmp_path: Path) -> None:
    scores = made_scores(made_images(tmp_path, 5))
    older = made_scores(scores.images, ["an egg"] * 5, name="older", seed=1)
    parts = page_parts(write_report(tmp_path / "report.html", scores, others=[older]))
    assert [card["name"] for card in parts.data["cards"]] == [image.name for image in scores.images]
    assert parts.data["cards"][0] == {
        "name": "picture-0000.png",
        "caption": "a red apple on a table",
        "references": ["a red apple on a table", "there is a red apple, number 0"],
        "scores": [round(float(scores.system.metrics[0].per_image[0]), 6), 3.0],
        "times": 1,
        "neighbour": "a red apple",
        "other": {"caption": "an egg", "scores": [round(float(older.system.metrics[0].per_image[0]), 6), 4.0]},
    }


def test_captions_stay_text_whatever_they_say(tmp_path: Path) -> None:
    images = [replace(image, name=f"{text}.png", captions=(text, "an apple")) for image, text in zip(made_images(tmp_path, len(NASTY)), NASTY, strict=True)]
    scores = made_scores(images, NASTY, name="<b>food</b>", warnings=["<b>bold</b>"])
    page = write_report(tmp_path / "report.html", scores, others=[made_scores(images, NASTY, name="</script>older", seed=1)])
    parts = page_parts(page)
    assert [tag for tag, _ in parts.elements].count("script") == 3
    assert "<b>food</b>" not in page.read_text(encoding="utf-8")
    assert "<b>bold</b>" not in page.read_text(encoding="utf-8")
    assert [card["caption"] for card in parts.data["cards"]][:-1] == NASTY[:-1]
    assert parts.data["cards"][-1]["caption"] == "half ? of one"
    assert "<" not in parts.scripts[0]


def test_few_pictures_are_all_shown_without_a_script_and_many_as_best_middle_and_worst(tmp_path: Path) -> None:
    images = made_images(tmp_path, 40)
    few, many = write_report(tmp_path / "few.html", made_scores(images[:4])), write_report(tmp_path / "many.html", made_scores(images))
    assert few.read_text(encoding="utf-8").count('<article class="card"') == 4 + 1  # and the empty one
    text = many.read_text(encoding="utf-8")
    assert text.count('<article class="card"') == 18 + 1
    titles = [text.index(f"<h3>{title}, by CIDEr-D</h3>") for title in ("Best", "In the middle", "Worst")]
    first, middle, last = (text.index(f'data-slot="name">{image.name}<') for image in (images[0], images[20], images[39]))
    assert titles[0] < first < titles[1] < middle < titles[2] < last


def test_one_picture_without_a_neighbour_or_a_second_word_makes_a_report(tmp_path: Path) -> None:
    scores = replace(made_scores(made_images(tmp_path, 1), ["egg"]), baselines=(), verdict=None, version=None, dataset="references.json")
    assert "1 picture · 2 references" in write_report(tmp_path / "report.html", scores).read_text(encoding="utf-8")


def test_scores_that_are_no_numbers_are_left_empty(tmp_path: Path) -> None:
    scores = made_scores(made_images(tmp_path, 3))
    broken = tuple(replace(metric, per_image=np.array([np.nan, np.inf, 0.5])) for metric in scores.system.metrics)
    parts = page_parts(write_report(tmp_path / "report.html", replace(scores, system=replace(scores.system, metrics=broken))))
    assert [card["scores"] for card in parts.data["cards"]] == [[None, None], [None, None], [0.5, 0.5]]


def test_pictures_that_cannot_be_shown_have_their_name_in_the_place(tmp_path: Path) -> None:
    images = made_images(tmp_path, 5)
    paths = [image.path for image in images if image.path]
    paths[0].unlink()
    paths[1].write_bytes(b"no picture")
    Pillow.new("RGB", (9, 9)).save(paths[2])  # another one than that which was captioned
    images[1] = replace(images[1], image_id=image_id_of(b"no picture"))
    images[3] = replace(images[3], path=None)
    page = write_report(tmp_path / "report.html", made_scores(images))
    assert [bool(small) for small in page_parts(page).thumbnails] == [False, False, False, False, True]
    assert page.read_text(encoding="utf-8").count('<p class="absent">') == 4


def test_thumbnails_are_upright(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.new("RGB", (40, 20), "red").save(path, exif=exif)
    image = replace(made_images(tmp_path, 1)[0], path=path, image_id=image_id_of(path.read_bytes()))
    small = _opened(thumbnails([image])[0])
    assert small.size == (20, 40)


def test_the_same_evaluation_gives_the_same_file_but_for_the_time(tmp_path: Path, run: Run) -> None:
    scores = made_scores(made_images(tmp_path, 30))
    first, second = (write_report(tmp_path / name, scores, run=run).read_text(encoding="utf-8") for name in ("one.html", "two.html"))
    timeless = re.compile(r"<time .*?</time>")
    assert timeless.sub("", first) == timeless.sub("", second)


def test_only_evaluations_of_the_same_pictures_can_be_put_beside_one_another(tmp_path: Path) -> None:
    images = made_images(tmp_path, 4)
    with pytest.raises(InputError, match="Compare on the same pictures"):
        write_report(tmp_path / "report.html", made_scores(images), others=[made_scores(images[:3], name="older")])
    assert not (tmp_path / "report.html").exists()


def test_a_run_tells_its_training_and_its_recipe(tmp_path: Path, run: Run) -> None:
    text = write_report(tmp_path / "report.html", made_scores(made_images(tmp_path, 3)), run=run).read_text(encoding="utf-8")
    for told in ("Loss", "Score at validations", "Learning rate", "validation 1 (the best)", "2 min 30 s", "900 tokens a second", "select_by: cider"):
        assert told in text
    assert "an &lt;i&gt;apple&lt;/i&gt; at 100" in text
    assert "nan" not in re.findall(r'points="([^"]*)"', text)
    assert 'id="training"' not in write_report(tmp_path / "none.html", made_scores(made_images(tmp_path, 3))).read_text(encoding="utf-8")


def test_a_training_without_scores_or_validations_has_the_charts_that_it_can_have() -> None:
    lines = [{"step": step, "loss": 2.0, "lr": 1e-4} for step in range(1, 1001)]
    assert [chart.title for chart in read_training(lines).charts] == ["Loss", "Learning rate"]
    assert read_training(lines).charts[0].svg.count("<title>") <= 120
    by_loss = [*lines, {"step": 1000, "val_loss": 1.5, "best": True, "samples": []}]
    assert [chart.title for chart in read_training(by_loss).charts] == ["Loss", "Learning rate"]
    assert read_training([]).charts == ()


def test_axes_have_round_numbers() -> None:
    assert ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(30, 150) == [50, 100, 150]
    assert ticks(0.5, 0.5) == [0.5]
    assert [readable(value) for value in (0, 0.0005, 2e-5, 1.2345, 1500, 2_500_000)] == ["0", "0.0005", "2e-5", "1.23", "1,500", "2.5e6"]


@pytest.mark.parametrize("values", [[7], [3, 3, 3], [1, 200], list(range(50)), [-3, 8]])
def test_all_values_are_in_the_bars(values: list[int]) -> None:
    for whole in (True, False):
        svg = histogram("Words", ("captions", values), ("", []), x="words", whole=whole).svg
        assert sum(float(share) for share in re.findall(r"captions ([\d.e+-]+) %</title>", svg)) == pytest.approx(100, abs=0.6)


def _noise(folder: Path, count: int) -> list[Image]:
    """Pictures that are the hardest to compress; four files stand for all."""
    generator, files = np.random.default_rng(0), []
    for image in made_images(folder, 4):
        assert image.path is not None
        Pillow.fromarray(generator.integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(image.path)
        files.append(replace(image, image_id=image_id_of(image.path.read_bytes()), captions=("a man in a red shirt climbs a rock by the sea",) * 5))
    return [replace(files[number % 4], name=f"{number}.jpg") for number in range(count)]


def test_the_more_pictures_the_smaller_each(tmp_path: Path) -> None:
    each = 10 * MEGABYTE // 5000
    small = thumbnails(_noise(tmp_path, 20), characters=20 * each)
    assert all(0.3 * each < len(uri) <= each for uri in small)


def test_texts_of_thousands_of_pictures_leave_room_for_their_thumbnails(tmp_path: Path) -> None:
    images = [replace(image, path=None) for image in _noise(tmp_path, 5000)]
    page = write_report(tmp_path / "report.html", made_scores(images), others=[made_scores(images, name="older", seed=1)])
    assert page.stat().st_size < 4 * MEGABYTE


@pytest.mark.slow
def test_thousands_of_pictures_stay_below_fifteen_megabytes(tmp_path: Path) -> None:
    page = write_report(tmp_path / "report.html", made_scores(_noise(tmp_path, 5000)))
    assert 5 * MEGABYTE < page.stat().st_size < 15 * MEGABYTE
    assert all(page_parts(page).thumbnails)


def test_few_pictures_are_shown_larger(tmp_path: Path) -> None:
    images = made_images(tmp_path, 1, size=(1000, 500))
    assert _opened(thumbnails(images)[0]).size == (320, 160)
    assert max(_opened(thumbnails(images, characters=1000)[0]).size) < 120
    assert thumbnails(images, characters=10) == [""]


def _opened(uri: str) -> Pillow.Image:
    assert uri.startswith("data:image/")
    return Pillow.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
