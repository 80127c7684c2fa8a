"""Which checkpoints there are, and what is in them."""

import math

import numpy as np
import pytest
from colours import settings
from hypothesis import given
from hypothesis import strategies as st

from clipcap_cli.captioner.bundle import load_bundle
from clipcap_cli.recipe.schema import CheckpointPart
from clipcap_cli.training.checkpoints import steps_to_keep
from clipcap_cli.training.loop import Found
from clipcap_cli.training.runs import list_checkpoints
from clipcap_cli.training.train import train

STEPS = st.lists(st.integers(1, 12), unique=True)
LOSSES = st.sampled_from([0.5, 1.0, 2.0, 2.5, math.nan])


def rule(**values):
    return CheckpointPart.model_validate(values)


@given(steps=STEPS, losses=st.lists(LOSSES, min_size=12, max_size=12), last=st.integers(1, 5), best=st.integers(0, 5), every=st.integers(1, 9) | st.none())
def test_what_is_kept_follows_the_rule(steps, losses, last, best, every):
    found = {step: Found(losses[step - 1]) for step in steps if step % 2}
    kept = steps_to_keep(steps, found, rule(keep_last=last, keep_best=best, keep_every=every))
    at_end = steps_to_keep(steps, found, rule(keep_last=last, keep_best=best, keep_every=every), finished=True)

    assert at_end <= kept <= set(steps)
    assert set(sorted(steps)[-last:]) <= kept
    assert {step for step in steps if every and step % every == 0} <= at_end
    good = sorted((it.loss, step) for step, it in found.items() if math.isfinite(it.loss))
    assert {step for _, step in good[:best]} <= at_end
    assert len(at_end) <= best + (len([step for step in steps if every and step % every == 0]))


def test_the_score_decides_what_is_best_where_there_is_one():
    found = {1: Found(0.5, 0.1), 2: Found(0.7, 0.9), 3: Found(0.6, 0.9)}
    assert steps_to_keep([1, 2, 3], found, rule(keep_best=1), finished=True) == {2}  # of equals the earlier one


def test_a_finished_run_keeps_what_was_asked_for_without_the_optimiser(colours, home):
    recipe = settings(train__epochs=4, train__validate_every=3, checkpoints__every_steps=5, checkpoints__keep_best=2, checkpoints__keep_every=4)
    run = train("quickstart", recipe, home=home)

    there = list_checkpoints(run)
    losses = {line["step"]: line["val_loss"] for line in run.metrics() if "val_loss" in line}
    assert {checkpoint.step for checkpoint in there} == {4, 8, 12} | set(sorted(losses, key=losses.get)[:2])
    assert not any(checkpoint.can_resume for checkpoint in there)
    for checkpoint in there:
        captioner = load_bundle(checkpoint.path, home=home, device="cpu")
        assert captioner.caption_embeddings(np.array([[1, 0, 0]], np.float32))[0].text
        assert captioner.info["training"]["step"] == checkpoint.step


def test_a_finished_run_can_keep_its_optimiser(colours, home):
    run = train("quickstart", settings(train__epochs=1, checkpoints__keep_optimizer=True), home=home)
    [checkpoint] = list_checkpoints(run)
    assert (checkpoint.step, checkpoint.can_resume) == (3, True)


@pytest.mark.parametrize("tune", ["full", "frozen"])
def test_a_checkpoint_is_no_larger_than_what_is_trained_and_its_moments(colours, home, tune):
    run = train("quickstart", settings(language_model__tune=tune), home=home, stop_after=1)
    [checkpoint] = list_checkpoints(run)
    files = {path.relative_to(checkpoint.path).as_posix(): path.stat().st_size for path in checkpoint.path.rglob("*.safetensors")}
    weights = sum(size for name, size in files.items() if not name.startswith("resume"))
    assert (checkpoint.path / "lm").exists() == (tune == "full")
    assert files["resume/tensors.safetensors"] < 2 * weights + 100_000  # two moments, and streams
    assert weights < (1 if tune == "frozen" else 30) * 2**20


def test_nothing_is_left_of_checkpoints_that_nobody_asked_for(colours, home):
    run = train("quickstart", settings(checkpoints__every_steps=1), home=home)
    assert list_checkpoints(run) == []
    assert sorted(path.name for path in run.path.iterdir()) == ["best", "last", "lock.json", "metrics.jsonl", "recipe.yaml", "run.json"]
