"""The table of a sweep: sorted, with intervals, and honest about what is sure."""

import json
from dataclasses import replace

import numpy as np
import pytest
from made_scores import made_images, made_scores
from mean_colour import COLOURS, ColourEncoder
from PIL import Image

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.evaluation import ranking as ranking_module
from clipcap_cli.evaluation.intervals import intervals
from clipcap_cli.evaluation.metrics.metric import mean_metric
from clipcap_cli.evaluation.metrics.overlap import scorer
from clipcap_cli.evaluation.ranking import rank
from clipcap_cli.training import train as train_module
from clipcap_cli.training.sweep import find_sweep, run_sweep
from clipcap_cli.training.sweeps import open_sweep

COMMON = (
    *("dataset.name=colours", "language_model.tune=frozen", "mapper.prefix_length=2", "mapper.kind=linear", "train.epochs=1", "train.batch_size=4"),
    *("decode.beams=1", "decode.max_tokens=4"),
)
PICTURES = 60
EASE = np.random.default_rng(1).normal(1.0, 0.5, PICTURES)  # some pictures are easier than others, for everybody


@pytest.fixture
def swept(tmp_path, home, monkeypatch):
    """Make a sweep whose trials have been trained: `swept("seed=0,1", …)`."""
    monkeypatch.setattr(train_module, "load_encoder", lambda *_, **__: ColourEncoder())
    folder = tmp_path / "colours"
    rows = ["file_name,text,split"]
    for split in ("train", "val"):
        (folder / split).mkdir(parents=True)
        for size, (name, colour) in enumerate(COLOURS.items(), 8 if split == "train" else 16):
            Image.new("RGB", (size, 8), colour).save(folder / split / f"{name}.png")
            rows.append(f"{split}/{name}.png,a {name} picture,{split}")
    (folder / "metadata.csv").write_text("\n".join(rows))
    add_dataset(folder, name="colours", home=home)

    def make(*settings):
        sweep = find_sweep("quickstart", [*COMMON, *settings], home=home)
        run_sweep(sweep, device="cpu", scorer=scorer)
        return open_sweep(sweep.name, home)

    return make


@pytest.fixture
def scored(tmp_path, monkeypatch):
    """Say by how much each trial is better than the pictures are easy: `scored(0.0, 0.5)`."""
    (tmp_path / "scored").mkdir()
    images = made_images(tmp_path / "scored", PICTURES)

    def say(*shifts):
        def evaluate(run, *_, **__):
            place = int(run.name.rpartition("-")[2]) - 1
            noise = np.random.default_rng(place).normal(shifts[place], 0.1, PICTURES)
            scores = made_scores(images, name=run.name)
            metrics = (mean_metric("CIDEr", EASE + noise),)
            return replace(scores, system=replace(scores.system, metrics=metrics, intervals=tuple(intervals(metrics))))

        monkeypatch.setattr(ranking_module, "evaluate", evaluate)

    return say


def test_the_best_comes_first_with_intervals_and_what_is_sure(swept, scored):
    sweep = swept("train.lr=1e-3,2e-3,3e-3", "train.select_by=cider")
    scored(0.0, 0.5, 0.501)
    ranking = rank(sweep)

    assert [place.run for place in ranking.places] == ["quickstart-sweep-03", "quickstart-sweep-02", "quickstart-sweep-01"]
    assert (ranking.by, ranking.pictures, ranking.waiting, dict(ranking.failures)) == ("CIDEr", PICTURES, (), {})
    assert all(place.interval.low < place.score < place.interval.high for place in ranking.places)
    assert [place.behind and place.behind.is_real for place in ranking.places] == [None, False, True]
    assert ranking.places[2].behind.difference == pytest.approx(ranking.places[2].score - ranking.places[0].score)
    assert ranking.conclusions[0].startswith("quickstart-sweep-03 is not distinguishable from the next, quickstart-sweep-02")
    assert ranking.conclusions[1] == "Of the 2 others, these cannot be told from it: quickstart-sweep-02"
    assert any("the best of 3 is optimistic" in told for told in ranking.conclusions)
    json.dumps(ranking.as_dict(), allow_nan=False)


def test_a_best_that_is_really_better_is_called_so(swept, scored):
    sweep = swept("train.lr=1e-3,2e-3", "train.select_by=cider")
    scored(0.5, 0.0)
    assert rank(sweep).conclusions[0].startswith("quickstart-sweep-01 is better than the next, quickstart-sweep-02")


def test_no_seed_is_better_than_another(swept, scored):
    sweep = swept("seed=0,1", "train.select_by=cider")
    scored(0.5, 0.0)
    ranking = rank(sweep)
    assert ranking.places[1].behind.is_real is False
    assert "differ in nothing but their seed" in ranking.conclusions[0]


def test_where_the_loss_decides_the_lowest_is_first_and_there_are_no_intervals(swept):
    ranking = rank(swept("train.lr=1e-9,3e-2", "train.select_by=loss"))
    assert [place.run for place in ranking.places] == ["quickstart-sweep-02", "quickstart-sweep-01"]
    assert ranking.places[0].score < ranking.places[1].score
    assert (ranking.by, [place.interval for place in ranking.places]) == ("loss", [None, None])
    assert ranking.conclusions[0].startswith("No intervals")
    assert not any("captions that were learned" in told for told in ranking.conclusions)
    json.dumps(ranking.as_dict(), allow_nan=False)


def test_losses_of_training_are_called_that(swept):
    ranking = rank(swept("train.lr=1e-3,2e-3", "dataset.val=null"))
    assert any("captions that were learned" in told for told in ranking.conclusions)


def test_a_sweep_of_which_nothing_has_finished_has_no_table(swept, home):
    swept("train.lr=1e-3,2e-3")
    sweep = find_sweep("quickstart", [*COMMON, "train.lr=4e-3,5e-3"], home=home)
    ranking = rank(sweep)
    assert (ranking.places, ranking.waiting) == ((), ("quickstart-sweep-2-01", "quickstart-sweep-2-02"))
    assert ranking.conclusions == ("No trial has finished",)
