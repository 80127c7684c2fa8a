from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mean_colour import ColourEncoder, draw_colours

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.evaluation import subject
from clipcap_cli.storage.home import Home
from clipcap_cli.training import train as train_module

Clipcap = Callable[..., Any]
COMMON = (
    *("sweep", "quickstart", "--dataset", "colours", "--device", "cpu", "language_model.tune=frozen", "mapper.prefix_length=2", "train.epochs=1"),
    *("train.batch_size=4", "decode.beams=1", "decode.max_tokens=4", "train.clip_grad=null"),
)


@pytest.fixture
def colours(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen pictures of one colour each, half of them to validate on; their encoder is the mean colour."""
    for module in (train_module, subject):
        monkeypatch.setattr(module, "load_encoder", lambda *_, **__: ColourEncoder())
    add_dataset(draw_colours(tmp_path / "colours", to_validate=2), name="colours", home=home)


def test_a_sweep_ends_with_one_sorted_table_and_shows_it_again(clipcap: Clipcap, colours: None) -> None:
    said = clipcap(*COMMON, "--name", "rates", "train.lr=1e-3,3e-2", "mapper.kind=mlp,linear", "train.select_by=cider")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0] == "rates: 4 trials by CIDEr on colours v1, split val (8 pictures)"
    assert lines[2].split("  ")[0] == "run"
    for word in ("train.lr", "mapper.kind", "CIDEr", "95 % interval", "behind the best"):
        assert word in lines[2]
    assert sorted(line.split()[0] for line in lines[3:7]) == ["rates-01", "rates-02", "rates-03", "rates-04"]
    scores = [float(line.split()[3]) for line in lines[3:7]]
    assert scores == sorted(scores, reverse=True)
    assert "is optimistic" in said.out
    assert "rates: 4 trials of quickstart on colours v1" in said.err
    assert said.err.splitlines()[-1] == f"Next: clipcap eval {lines[3].split()[0]}"

    again = clipcap("sweep", "rates")
    assert (again.code, again.out) == (0, said.out)
    assert "0 to do (4 finished before)" in again.err
    shown = json.loads(clipcap("sweep", "rates", "--json").out)
    assert [trial["run"] for trial in shown["trials"]] == [line.split()[0] for line in lines[3:7]]
    assert shown["trials"][0]["low"] <= shown["trials"][0]["score"] <= shown["trials"][0]["high"]
    assert {trial["run"]: trial["values"] for trial in shown["trials"]}["rates-02"] == {"train.lr": 0.001, "mapper.kind": "linear"}

    listed = clipcap("runs", "list").out.splitlines()
    assert listed[0].endswith("differs in")
    assert next(line for line in listed if line.startswith("rates-04")).endswith("mapper.kind=linear, train.lr=0.03")
    assert "sweep          rates (train.lr=0.03, mapper.kind=linear)" in clipcap("runs", "show", "rates-04").out
    assert json.loads(clipcap("runs", "show", "rates-04", "--json").out)["sweep"] == "rates"
    first = json.loads(clipcap("runs", "list", "--json").out)[0]
    assert (first["sweep"], set(first["differs_in"])) == ("rates", {"train.lr", "mapper.kind"})


def test_a_sweep_is_removed_with_its_runs_and_its_data_stays(clipcap: Clipcap, colours: None, home: Home) -> None:
    assert clipcap(*COMMON, "--name", "rates", "train.lr=1e-3,3e-3", "--quiet").code == 0
    asked = clipcap("runs", "remove", "rates")
    assert (asked.code, sorted(path.name for path in home.runs.iterdir())) == (3, ["rates-01", "rates-02"])
    said = clipcap("runs", "remove", "rates", "--yes")
    assert (said.code, said.out) == (0, "The sweep rates is removed, with 2 runs.\n")
    assert not [*home.runs.iterdir(), *home.sweeps.iterdir()]
    assert "colours" in clipcap("dataset", "list").out
    assert clipcap("runs", "remove", "rates", "--yes").code == 3


@pytest.mark.parametrize("asked", [("train.epochs=2",), ("train.lr=1,2",), ("--random", "3"), ("--name", "other")])
def test_a_sweep_that_goes_on_keeps_its_values(asked: tuple[str, ...], clipcap: Clipcap, home: Home) -> None:
    (home.sweeps / "rates").mkdir(parents=True)
    (home.sweeps / "rates" / "sweep.json").write_text("{}")
    said = clipcap("sweep", "rates", *asked)
    assert (said.code, said.err.splitlines()[0]) == (3, "Error: rates: a sweep that goes on keeps its values and its name")
    assert "`clipcap sweep rates`" in said.err


def test_a_trial_that_fails_is_listed_with_its_reason_and_the_others_stand(clipcap: Clipcap, colours: None) -> None:
    said = clipcap(*COMMON, "train.lr=1e-3,1e30", "--quiet")
    assert said.code == 5
    assert "quickstart-sweep-01" in said.out
    assert "quickstart-sweep-02: this captioner's weights give no probabilities" in said.err
    assert "clipcap sweep quickstart-sweep --retry-failed" in said.err
    again = clipcap("sweep", "quickstart-sweep", "--json")
    assert (again.code, [failed["run"] for failed in json.loads(again.out)["failed"]]) == (5, ["quickstart-sweep-02"])


def test_drawn_trials_are_a_sweep_too(clipcap: Clipcap, colours: None) -> None:
    line = (*COMMON, "--random", "2", "--seed", "3", "train.lr=1e-4..1e-2", "train.label_smoothing=0..0.2")
    shown = json.loads(clipcap(*line, "--json").out)
    assert len({trial["values"]["train.lr"] for trial in shown["trials"]}) == 2
    assert "drawn with seed 3 of train.lr 0.0001..0.01, by logarithm and train.label_smoothing 0.0..0.2; 0 to do" in clipcap(*line).err


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        (("train.lr=1,2", "--seed", "3"), 2, "--random"),
        (("train.lr=1,2", "--random", "0"), 2, "--random"),
        ((), 3, "nothing varies"),
        (("train.lr=1", "train.kind=2"), 3, "unknown key 'train.kind'"),
        (("train.kind=1..2", "--random", "3"), 3, "unknown key 'train.kind'"),
        (("train.lr",), 2, "'train.lr' does not set a key"),
        (("train.lr=1,-2",), 3, "train.lr: input should be greater than 0, not -2"),
        (("train.epoch=1,2",), 3, "did you mean 'epochs'?"),
        (("train.lr=1,2", "--dataset", "nothere"), 3, "there is no dataset named 'nothere'"),
        (("train.lr=1,2", "--name", "a/b"), 3, "'a/b' cannot name a sweep"),
    ],
)
def test_what_is_wrong_is_said_before_anything_begins(clipcap: Clipcap, home: Home, line: tuple[str, ...], code: int, told: str) -> None:
    said = clipcap("sweep", "quickstart", *line)
    assert (said.code, told in said.err) == (code, True), said.err
    assert not home.sweeps.exists()
    assert not home.runs.exists() or not any(home.runs.iterdir())
