"""How the best of a training's validations is chosen: by a score of its captions, or by the loss."""

import json

import pytest
import torch
from colours import SETTINGS, settings

import clipcap_cli
from clipcap_cli.captioner.bundle import load_bundle
from clipcap_cli.events import Note, Started, Validated
from clipcap_cli.training.runs import open_run
from clipcap_cli.training.train import train
from clipcap_cli.training.validation import evenly


class Judge:
    """A scorer whose scores are known beforehand; remembers what it was shown."""

    def __init__(self, *scores):
        self.scores, self.seen = iter(scores), []

    def __call__(self, references, name):
        self.references, self.name = references, name
        return self.score

    def score(self, captions):
        self.seen.append(captions)
        return next(self.scores)


def notes(heard):
    return "\n".join(event.text for event in heard if isinstance(event, Note))


def validations(run):
    return [line for line in run.metrics() if "val_loss" in line]


def test_the_best_is_the_one_with_the_highest_score(colours, home):
    run = train("quickstart", SETTINGS, home=home, scorer=Judge(0.1, 0.9, 0.5))

    info, lines = run.info, validations(run)
    assert (info.best_step, info.best_score, info.select_by) == (12, 0.9, "cider")
    assert info.best_loss == pytest.approx(lines[1]["val_loss"], abs=1e-4)
    assert [(line["step"], line["score"], line["best"]) for line in lines] == [(6, 0.1, True), (12, 0.9, True), (18, 0.5, False)]
    assert all(line["select_by"] == "cider" and line["seconds"] >= 0 for line in lines)
    kept = load_bundle(run.best, home=home, device="cpu").info["training"]
    assert (kept["step"], kept["select_by"], kept["score"]) == (12, "cider", 0.9)


def test_as_many_pictures_as_asked_for_are_captioned_once_and_some_of_them_shown(colours, home):
    heard, judge = [], Judge(*range(9))
    run = train("quickstart", settings(train__select_pictures=2, train__select_by="rouge-l"), home=home, events=heard.append, scorer=judge)

    assert judge.name == "rouge-l"
    assert judge.references == {"blue3.png": ("a blue picture",), "grey3.png": ("a grey picture",)}
    assert [event.total for event in heard if isinstance(event, Started) and event.task == "caption"] == [2, 2, 2]
    assert [set(captions) for captions in judge.seen] == [set(judge.references)] * 3
    found = [event for event in heard if isinstance(event, Validated)]
    assert [dict(event.samples) for event in found] == judge.seen
    assert [list(event.values) for event in found] == [["rouge-l", "validation loss"]] * 3
    assert "the best is chosen by rouge-l: 2 pictures of val are captioned at each validation" in notes(heard)
    assert run.info.select_by == "rouge-l"


def test_training_ends_early_when_the_score_gets_no_better_though_the_loss_does(colours, home):
    run = train("quickstart", settings(train__patience=2, train__validate_every=2), home=home, scorer=Judge(0.5, 0.5, 0.5))

    losses = [line["val_loss"] for line in validations(run)]
    assert losses == sorted(losses, reverse=True)
    assert (run.info.steps, run.info.best_step, run.info.ended_because) == (6, 2, "no better cider in 2 validations")


@pytest.mark.parametrize(
    ("changes", "judge", "words"),
    [
        ({}, None, "the best is chosen by the validation loss: there is nothing to work out cider with"),
        ({"train__select_by": "loss"}, Judge(), "the best is chosen by the validation loss"),
        ({"dataset__val": None}, Judge(), "the best is chosen by the training loss: there is nothing to validate on"),
    ],
)
def test_where_there_is_no_score_the_loss_chooses_and_that_is_said(changes, judge, words, colours, home):
    heard = []
    run = train("quickstart", settings(train__epochs=2, **changes), home=home, events=heard.append, scorer=judge)

    assert words in notes(heard).splitlines()
    assert (run.info.select_by, run.info.best_score) == ("loss", None)
    assert [line["score"] for line in validations(run)] == [None]
    assert run.info.best_loss is not None


def test_what_a_validation_draws_does_not_change_the_training(colours, home):
    drawn = settings(decode__strategy="sample", train__dropout=0.1)
    scored = train("quickstart", drawn, home=home, scorer=Judge(1, 2, 3))
    by_loss = train("quickstart", {**drawn, "train.validate_every": 1000}, home=home)

    first, second = (load_bundle(run.path / "last", home=home, device="cpu").language_model.state_dict() for run in (scored, by_loss))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_python_face_scores_the_captions(colours, home):
    run = clipcap_cli.train("quickstart", settings(train__epochs=30, train__validate_every=30), home=home)

    assert run.info.select_by == "cider"
    assert run.info.best_score == pytest.approx(max(line["score"] for line in validations(run)), abs=1e-4)
    assert run.info.best_score > 0.5


def test_a_run_of_before_there_were_scores_is_still_read(colours, home):
    run = train("quickstart", settings(train__epochs=1), home=home)
    record = json.loads((run.path / "run.json").read_text())
    del record["best_score"], record["select_by"]
    (run.path / "run.json").write_text(json.dumps(record))

    assert (open_run("quickstart", home=home).info.select_by, run.info.best_score) == ("loss", None)


def test_pictures_are_taken_at_equal_distances():
    assert evenly(range(100), 3) == [0, 33, 66]
    assert evenly(range(2), 3) == [0, 1]
    assert evenly([], 3) == []
