"""A run that is gone on with ends as one that was never stopped: weights, losses, captions, to the bit."""

import json
from dataclasses import replace

import numpy as np
import pytest
from colours import settings
from hypothesis import given
from hypothesis import strategies as st
from mean_colour import ColourEncoder

import clipcap_cli.face as face
from clipcap_cli.errors import InputError, StoreError
from clipcap_cli.events import Advanced, Note
from clipcap_cli.training import train as train_module
from clipcap_cli.training.batches import order_of, pooled_order
from clipcap_cli.training.runs import Run, list_checkpoints, run_lock
from clipcap_cli.training.sameness import sameness
from clipcap_cli.training.train import resume, train

# Whatever draws numbers is switched on: a stream that is not put back where it was would show.
DRAWING = {"encoder__noise": 0.1, "train__dropout": 0.1, "train__epochs": 4, "train__validate_every": 5}


def stopped_and_resumed(home, recipe, stops):
    run = train("quickstart", recipe, home=home, stop_after=stops[0])
    for stop in [*stops[1:], None]:
        assert run.info.status == "stopped"
        run = resume(run, stop_after=stop)
    return run


def whole_and_interrupted(home, recipe, stops):
    whole = train("quickstart", recipe, home=home)
    return whole, stopped_and_resumed(home, recipe, stops)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"language_model__tune": "frozen", "mapper__kind": "transformer", "mapper__layers": 1, "mapper__clip_length": 2},
        {"language_model__tune": "lora", "language_model__lora_rank": 2, "language_model__lora_dropout": 0.1},
        {"train__objective": "original", "train__warmup_steps": 3},
        {"train__accumulate": 2, "train__batch_size": 3, "train__validate_every": 3},
        {"train__precision": "bf16"},
    ],
    ids=["tuned", "frozen", "adapters", "original", "accumulated", "bf16"],
)
def test_a_stopped_run_ends_as_one_that_was_not(colours, home, changes):
    whole, interrupted = whole_and_interrupted(home, settings(**{**DRAWING, **changes}), [1, 4])

    alike = sameness(whole, interrupted)
    assert alike.is_exact, str(alike)
    assert interrupted.info == replace(whole.info, name=interrupted.name, started=interrupted.info.started, minutes=interrupted.info.minutes)


def test_an_adapter_on_a_tuned_language_model_is_gone_on_with_too(colours, home):
    train("quickstart", settings(name="tuned", train__epochs=1), home=home)
    recipe = settings(**DRAWING, init="tuned", language_model__tune="lora", language_model__lora_rank=2)

    assert sameness(*whole_and_interrupted(home, recipe, [5])).is_exact


def test_metrics_have_no_gap_and_no_repeat_however_it_ended(colours, home):
    recipe = settings(**DRAWING, checkpoints__every_steps=4)
    whole = train("quickstart", recipe, home=home)

    def crash(event):
        if isinstance(event, Advanced) and event.task == "train" and event.values.get("epoch") == 4:  # steps 10 to 12: behind a line that nobody kept
            raise RuntimeError("the power is gone")

    with pytest.raises(RuntimeError, match="power"):
        train("quickstart", recipe, home=home, events=crash)
    broken = Run(home, "quickstart-2")
    assert broken.info.status == "failed"
    assert [checkpoint.step for checkpoint in list_checkpoints(broken)] == [8]
    run = resume(broken)

    assert sameness(whole, run).is_exact
    assert [line["step"] for line in run.metrics()] == [line["step"] for line in whole.metrics()] == [5, 10, 10, 12, 12]


def test_a_run_without_a_checkpoint_begins_again_under_its_name(colours, home):
    def crash(event):
        if isinstance(event, Advanced) and event.task == "train" and "loss" in event.values and crash.steps > 6:
            raise RuntimeError("the power is gone")
        crash.steps += isinstance(event, Advanced) and event.task == "train"

    crash.steps = 0
    with pytest.raises(RuntimeError):
        train("quickstart", settings(**DRAWING), home=home, events=crash)
    run = resume(Run(home, "quickstart"))

    assert run.info.status == "finished"
    assert sameness(train("quickstart", settings(**DRAWING), home=home), run).is_exact


@pytest.mark.parametrize(("changes", "steps"), [({}, 12), ({"train__lr": 1e-12, "train__lm_lr": 1e-12, "train__patience": 1, "train__validate_every": 1}, 2)])
def test_a_run_that_was_killed_behind_its_last_step_only_has_to_be_ended(colours, home, monkeypatch, changes, steps):
    recipe = settings(**{**DRAWING, "encoder__noise": 0.0, "checkpoints__every_steps": 1, **changes})
    whole = train("quickstart", recipe, home=home)
    save = train_module.save_bundle

    def crash(captioner, folder):
        if folder.name == "last":
            raise RuntimeError("the power is gone")
        save(captioner, folder)

    monkeypatch.setattr(train_module, "save_bundle", crash)
    with pytest.raises(RuntimeError, match="power"):
        train("quickstart", recipe, home=home)
    monkeypatch.setattr(train_module, "save_bundle", save)
    run = resume(Run(home, "quickstart-2"))

    assert (run.info.status, run.info.steps) == ("finished", steps)
    assert run.info.ended_because == whole.info.ended_because
    assert sameness(whole, run).is_exact


def test_an_older_checkpoint_can_be_chosen_and_later_ones_are_made_again(colours, home):
    recipe = settings(**DRAWING, checkpoints__every_steps=2, checkpoints__keep_last=10)
    run = train("quickstart", recipe, home=home, stop_after=9)
    assert [checkpoint.step for checkpoint in list_checkpoints(run)] == [2, 4, 6, 8, 9]
    with pytest.raises(InputError, match=r"no checkpoint of step 3.*2, 4, 6, 8, 9"):
        resume(run, from_step=3)

    resume(run, from_step=4, stop_after=1)
    assert [checkpoint.step for checkpoint in list_checkpoints(run)] == [2, 4, 5]
    assert sameness(train("quickstart", recipe, home=home), resume(run)).is_exact


def test_a_damaged_checkpoint_is_said_and_the_one_before_it_taken(colours, home):
    recipe = settings(**DRAWING, checkpoints__every_steps=2, checkpoints__keep_last=2)
    run = train("quickstart", recipe, home=home, stop_after=6)
    tensors = list_checkpoints(run)[-1].path / "resume" / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"\x55")
    heard = []
    resume(run, events=heard.append)

    said = [event.text for event in heard if isinstance(event, Note)]
    assert any("step 6 cannot be used" in text for text in said)
    assert any("goes on from step 4 of 12" in text for text in said)
    assert sameness(train("quickstart", recipe, home=home), run).is_exact


def test_what_was_changed_meanwhile_is_named_and_nothing_goes_on(colours, home, monkeypatch):
    class Another(ColourEncoder):
        fingerprint = "0ther" * 8

    run = train("quickstart", settings(), home=home, stop_after=2)
    before = run.info
    monkeypatch.setattr(train_module, "load_encoder", lambda *_, **__: Another())
    with pytest.raises(InputError, match=r"cannot be gone on with.*encoder's fingerprint"):
        resume(run)
    assert run.info == before


def test_a_machine_that_counts_otherwise_is_a_warning(colours, home, monkeypatch):
    run = train("quickstart", settings(), home=home, stop_after=2)
    monkeypatch.setattr("clipcap_cli.training.surroundings.packages", lambda: {"torch": "1.0"})
    heard = []
    assert resume(run, events=heard.append).info.status == "finished"
    [warning] = [event.text for event in heard if isinstance(event, Note) and event.level == "warning"]
    assert "can change its last digits" in warning
    assert "torch (" in warning


def test_a_finished_run_stays_as_it_is_and_one_that_trains_is_left_alone(colours, home):
    run = train("quickstart", settings(train__epochs=1), home=home)
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    heard = []
    assert resume(run, events=heard.append) == run
    assert [event.text for event in heard] == ["quickstart has finished already (all epochs done)"]
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before
    with pytest.raises(InputError, match="no checkpoint of step 1"):
        resume(run, from_step=1)
    other = train("quickstart", settings(name="other"), home=home, stop_after=1)
    with run_lock(other), pytest.raises(StoreError, match="other"):
        resume(other)


def test_time_that_was_spent_before_counts(colours, home):
    run = train("quickstart", settings(train__max_minutes=60), home=home, stop_after=2)
    [checkpoint] = list_checkpoints(run)
    state = checkpoint.path / "resume" / "state.json"
    facts = json.loads(state.read_text())
    assert 0 < facts["position"]["seconds"] < 60
    facts["position"]["seconds"] = 3600.0
    state.write_text(json.dumps(facts))
    assert (resume(run).info.steps, run.info.ended_because) == (3, "60 minutes were up")


def test_the_same_line_with_resume_goes_on_or_begins(colours, home):
    recipe = settings(train__epochs=2)
    begun = face.train("quickstart", recipe, resume=True, stop_after=2, home=home)
    assert (begun.name, begun.info.steps) == ("quickstart", 2)
    other = face.train("quickstart", settings(train__epochs=3), resume=True, home=home)
    assert other.name == "quickstart-2"
    again = face.train("runs/quickstart", resume=True, home=home)
    assert (again.name, again.info.status) == ("quickstart", "finished")
    with pytest.raises(InputError, match="keeps its recipe"):
        face.train("runs/quickstart", {"seed": 1}, resume=True, home=home)


def test_a_finished_run_that_has_the_name_of_a_recipe_says_how_the_recipe_is_meant(colours, home, monkeypatch):
    face.train("quickstart", settings(train__epochs=1), home=home)
    for name, told in (("quickstart", True), ("runs/quickstart", False)):
        heard = []
        face.train(name, resume=True, home=home, events=heard.append)
        texts = [event.text for event in heard if isinstance(event, Note)]
        assert "quickstart has finished already (all epochs done)" in texts
        assert ("this is the run 'quickstart'; `clipcap train quickstart`, without --resume, trains the recipe of that name anew" in texts) is told


def test_a_recipe_that_is_begun_anew_while_a_run_of_it_waits_is_told_so(colours, home):
    recipe = settings(train__epochs=2)

    def notes_of(recipe):
        heard = []
        face.train("quickstart", recipe, home=home, events=heard.append)
        return [event.text for event in heard if isinstance(event, Note) and "waits at step" in event.text]

    waiting = face.train("quickstart", recipe, home=home, stop_after=2)
    waiting.write_info(replace(waiting.info, status="running"))  # as a kill leaves it
    assert notes_of({**recipe, "seed": 1}) == []
    assert notes_of(recipe) == ["the run 'quickstart' of this very recipe waits at step 2; to go on with it: clipcap train quickstart --resume"]
    assert notes_of(recipe) == []  # the newest one has finished


@given(captions=st.integers(1, 500), batch_size=st.integers(1, 4), skip=st.integers(0, 200), seed=st.integers(0, 9))
def test_batches_that_are_left_out_change_nothing_of_those_behind(captions, batch_size, skip, seed):
    class Unmeasured:
        def __len__(self):
            return captions

        def tokens(self, members):
            return [[0] * (1 + int(member) % 7) for member in members]

    def batches(skip):
        return [batch.tolist() for batch in pooled_order(Unmeasured(), batch_size, np.random.default_rng([seed, 1]), skip)]

    assert batches(skip) == batches(0)[skip:]
    assert sorted(member for batch in batches(0) for member in batch) == list(range(captions))
    assert len(batches(0)) == len(order_of(np.ones(captions), batch_size, np.random.default_rng(0)))
