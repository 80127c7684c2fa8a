import json
import os
import signal

import numpy as np
import pytest
import torch
from colours import SETTINGS, settings, weights_of
from mean_colour import ColourEncoder

from clipcap_cli.captioner.bundle import load_bundle
from clipcap_cli.errors import InputError, StoreError
from clipcap_cli.events import Advanced, Note
from clipcap_cli.recipe import load_recipe
from clipcap_cli.training import train as train_module
from clipcap_cli.training.runs import list_runs, open_run, remove_run
from clipcap_cli.training.train import train


def test_a_run_learns_and_leaves_a_captioner_its_recipe_and_its_metrics(colours, home):
    heard = []
    run = train("quickstart", settings(train__epochs=30), home=home, events=heard.append)

    info = run.info
    validations = [line for line in run.metrics() if "val_loss" in line]
    assert (info.status, info.steps, info.planned_steps) == ("finished", 90, 90)
    assert validations[-1]["val_loss"] < 0.5 < validations[0]["val_loss"]
    assert info.best_loss == pytest.approx(min(line["val_loss"] for line in validations), abs=1e-4)
    assert sum(isinstance(event, Advanced) and event.task == "train" for event in heard) == 90
    assert any(isinstance(event, Note) and event.text.startswith("plan: 90 steps of 4 captions, 30 epochs") for event in heard)
    assert run.recipe == load_recipe("quickstart", settings(train__epochs=30, dataset__version=1))

    captioner = load_bundle(run.best, home=home, device="cpu")
    captions = captioner.caption_embeddings(np.array([[1, 0, 0], [0, 0, 1]], np.float32))
    assert [caption.text for caption in captions] == ["a red picture", "a blue picture"]


def test_the_same_recipe_gives_the_same_bits(colours, home):
    first, second = (weights_of(train("quickstart", settings(encoder__noise=0.1, train__dropout=0.1), home=home)) for _ in range(2))

    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [run.name for run in list_runs(home)] == ["quickstart-2", "quickstart"]


def test_what_the_encoder_draws_while_it_embeds_does_not_change_the_run(colours, home, monkeypatch):
    class DrawingEncoder(ColourEncoder):
        def encode(self, batch):
            torch.rand(7)  # as building a network does
            return super().encode(batch)

    monkeypatch.setattr(train_module, "load_encoder", lambda *_, **__: DrawingEncoder())
    first, second = (weights_of(train("quickstart", settings(train__epochs=1), home=home)) for _ in range(2))  # the second finds all embeddings there

    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_frozen_language_model_stays_as_it_was(colours, home):
    run = train("quickstart", settings(language_model__tune="frozen", train__epochs=1), home=home)

    assert not (run.best / "lm").exists()
    stock = train_module.load_language_model("builtin:nano").state_dict()
    kept = load_bundle(run.best, home=home, device="cpu").language_model.state_dict()
    assert all(torch.equal(stock[name], kept[name]) for name in stock)


def test_ctrl_c_ends_after_the_step_in_hand_and_keeps_what_was_reached(colours, home):
    def interrupt(event):
        if isinstance(event, Advanced) and event.task == "train":
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    run = train("quickstart", SETTINGS, home=home, events=interrupt)

    assert (run.info.status, run.info.steps) == ("stopped", 1)
    assert load_bundle(run.best, home=home, device="cpu").mapper.prefix_length == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_training_ends_early_when_validation_gets_no_better(colours, home):
    run = train("quickstart", settings(train__lr=1e-12, train__lm_lr=1e-12, train__patience=1, train__validate_every=1, encoder__noise=0.0), home=home)

    assert run.info.steps < run.info.planned_steps
    assert run.info.ended_because == "no better validation loss in 1 validations"


def test_training_ends_when_its_minutes_are_up(colours, home):
    run = train("quickstart", settings(train__max_minutes=1e-6), home=home)

    assert (run.info.steps, run.info.status) == (1, "finished")
    assert run.info.ended_because == "1e-06 minutes were up"


def test_gradients_of_two_small_batches_are_those_of_one_large_one(colours, home):
    plain = settings(train__epochs=1, train__warmup=0.0, encoder__noise=0.0, language_model__tune="frozen", train__label_smoothing=0.0)
    whole = weights_of(train("quickstart", {**plain, "train.batch_size": 12}, home=home))
    parts = weights_of(train("quickstart", {**plain, "train.batch_size": 6, "train.accumulate": 2}, home=home))

    for name in whole:
        torch.testing.assert_close(whole[name], parts[name], atol=2e-3, rtol=0)


def test_a_run_can_start_from_another(colours, home):
    first = train("quickstart", settings(train__epochs=20), home=home)
    second = train("quickstart", settings(train__epochs=1, train__lr=1e-9, train__lm_lr=1e-9, init=first.name), home=home)

    assert second.info.best_loss == pytest.approx(first.info.best_loss, abs=0.01)


def test_a_start_of_another_shape_is_refused_before_anything_is_made(colours, home):
    train("quickstart", settings(train__epochs=1), home=home)
    with pytest.raises(InputError, match="the mapper of 'quickstart' is another than this recipe's: prefix_length 2 there, 3 here"):
        train("quickstart", settings(init="quickstart", mapper__prefix_length=3), home=home)
    assert len(list_runs(home)) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset.name": None}, "the recipe names no dataset"),
        ({"dataset.name": "colors"}, "Did you mean 'colours'"),
        ({"dataset.train": "test"}, "dataset 'colours' has no split 'test'"),
        ({"mapper.kind": "transformer", "mapper.heads": 7}, "7"),
    ],
)
def test_what_the_recipe_asks_in_vain_is_said_and_no_run_is_left(colours, home, changes, words):
    with pytest.raises(InputError) as caught:
        train("quickstart", {**SETTINGS, **changes}, home=home)
    assert words in str(caught.value)
    assert list_runs(home) == []


def test_a_validation_split_that_is_not_there_is_done_without(colours, home):
    run = train("quickstart", settings(dataset__val=None, train__epochs=1), home=home)
    assert run.info.status == "finished"
    assert run.best.is_dir()


def test_a_run_whose_process_is_gone_is_not_running(colours, home):
    run = train("quickstart", settings(train__epochs=1), home=home)
    record = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**record, "status": "running"}))

    assert open_run("quickstart", home=home).info.status == "broken off"


def test_a_damaged_record_is_named_and_the_run_can_be_removed(colours, home):
    run = train("quickstart", settings(train__epochs=1), home=home)
    (run.path / "run.json").write_text("{")
    with pytest.raises(StoreError, match="the run's record cannot be read"):
        _ = run.info
    remove_run(home, "quickstart")
    assert list_runs(home) == []


def test_a_run_that_was_only_being_made_when_its_process_was_killed_is_none(colours, home):
    run = train("quickstart", settings(train__epochs=1), home=home)
    run.path.rename(home.runs / ".quickstart.999999-000000-00000000.part")

    assert list_runs(home) == []
    assert train("quickstart", settings(train__epochs=1), home=home).name == "quickstart"
