"""A sweep goes on wherever it was stopped, leaves ordinary runs, and one trial that fails does not end it."""

import json

import pytest
from colours import SETTINGS

from clipcap_cli.errors import InputError, StoreError
from clipcap_cli.evaluation.metrics.overlap import scorer
from clipcap_cli.events import Advanced, Note
from clipcap_cli.training import train as train_module
from clipcap_cli.training.runs import Run, list_checkpoints, list_runs, remove_run
from clipcap_cli.training.sameness import sameness
from clipcap_cli.training.sweep import find_sweep, run_sweep
from clipcap_cli.training.sweeps import open_sweep
from clipcap_cli.training.train import train
from clipcap_cli.training.varying import what_varies

# Noise is drawn: a trial that is gone on with must end to the bit as one that was not stopped. A frozen language model makes bundles small.
COMMON = {**SETTINGS, "train.epochs": 2, "train.validate_every": 4, "encoder.noise": 0.1, "language_model.tune": "frozen"}
AXES = ("train.lr=1e-3,3e-3", "mapper.kind=mlp,linear")
BROKEN = "train.lr=1e-3,1e30"  # with the second all weights become NaN


def sweep_of(home, *settings, name=None, **changes):
    common = {**COMMON, **changes}
    varied = {setting.partition("=")[0] for setting in settings}
    return find_sweep("quickstart", [*(f"{key}={value}" for key, value in common.items() if key not in varied), *settings], sweep_name=name, home=home)


def carried_out(sweep, events=None, **options):
    heard = []
    stopped = run_sweep(sweep, events=events or heard.append, scorer=scorer, device="cpu", **options)
    return stopped, [event.text for event in heard if isinstance(event, Note)]


def statuses(home):
    return {run.name: run.info.status for run in list_runs(home)}


def after_steps(steps, then):
    """A listener that does something when so many steps of training have been made, over all trials."""

    def listen(event):
        if isinstance(event, Advanced) and event.task == "train":
            listen.steps += 1
            if listen.steps == steps:
                then()

    listen.steps = 0
    return listen


def raising(error):
    def then(*_):
        raise error

    return then


def written(home):
    return {path: path.stat().st_mtime_ns for room in (home.runs, home.sweeps) for path in room.rglob("*")}


def test_a_grid_leaves_an_ordinary_run_for_each_combination(colours, home):
    stopped, said = carried_out(sweep_of(home, *AXES))

    assert stopped is None
    names = [f"quickstart-sweep-0{number}" for number in (1, 2, 3, 4)]
    assert statuses(home) == dict.fromkeys(names, "finished")
    recipes = [Run(home, name).recipe for name in names]
    assert [(recipe.train.lr, recipe.mapper.kind) for recipe in recipes] == [(1e-3, "mlp"), (1e-3, "linear"), (3e-3, "mlp"), (3e-3, "linear")]
    alone = train(recipes[1].model_copy(update={"name": "alone"}), home=home, scorer=scorer)
    assert sameness(alone, Run(home, names[1])).is_exact
    assert said[0] == "quickstart-sweep: 4 trials of quickstart on colours v1, all combinations of train.lr (2 values) and mapper.kind (2 values); 4 to do"
    assert "trial 2 of 4, quickstart-sweep-02: train.lr=0.001, mapper.kind=linear" in said
    assert sum("the 3 trials after it will need about" in text for text in said) == 1


def test_the_same_line_again_makes_nothing_again_but_a_trial_that_was_removed(colours, home):
    carried_out(sweep_of(home, AXES[0]))
    before = written(home)
    assert carried_out(sweep_of(home, AXES[0])) == (
        None,
        ["quickstart-sweep: 2 trials of quickstart on colours v1, all combinations of train.lr (2 values); 0 to do (2 finished before)"],
    )
    assert written(home) == before

    remove_run(home, "quickstart-sweep-01")
    carried_out(open_sweep("quickstart-sweep", home))
    assert statuses(home) == dict.fromkeys(("quickstart-sweep-01", "quickstart-sweep-02"), "finished")


def test_a_sweep_that_broke_off_amid_a_trial_ends_as_one_that_did_not(colours, home):
    every = {"checkpoints.every_steps": 2}
    carried_out(sweep_of(home, *AXES, name="whole", **every))
    with pytest.raises(StoreError):  # as a full disk would: nothing is written down about it
        carried_out(sweep_of(home, *AXES, name="broken", **every), events=after_steps(10, raising(StoreError("the disk is full"))))
    assert statuses(home)["broken-02"] == "failed"
    assert "broken-03" not in statuses(home)
    assert open_sweep("broken", home).failures == {}

    assert carried_out(sweep_of(home, *AXES, name="broken", **every))[0] is None
    assert all(sameness(Run(home, f"whole-0{number}"), Run(home, f"broken-0{number}")).is_exact for number in (1, 2, 3, 4))


def test_what_a_kill_at_the_very_end_of_a_trial_left_is_cleared_away(colours, home, monkeypatch):
    sweep = sweep_of(home, AXES[0], **{"checkpoints.every_steps": 2})
    with monkeypatch.context() as patch:
        patch.setattr(train_module, "tidy", raising(StoreError("killed")))
        with pytest.raises(StoreError, match="killed"):
            carried_out(sweep)
    first = Run(home, "quickstart-sweep-01")
    assert first.info.status == "finished"
    assert list_checkpoints(first)

    carried_out(sweep)
    assert not list_checkpoints(first)


def test_a_stopped_trial_stops_the_sweep_and_is_gone_on_with(colours, home, monkeypatch):
    asked = []
    monkeypatch.setattr(train_module, "stop_requests", _Requests(asked))
    sweep = sweep_of(home, AXES[0])
    stopped, _ = carried_out(sweep, events=after_steps(9, lambda: asked.append("Ctrl-C")))
    assert (stopped.name, stopped.info.status, stopped.info.steps) == ("quickstart-sweep-02", "stopped", 3)

    asked.clear()
    assert carried_out(sweep)[0] is None
    assert statuses(home) == dict.fromkeys(("quickstart-sweep-01", "quickstart-sweep-02"), "finished")
    carried_out(sweep_of(home, AXES[0], name="whole"))
    assert sameness(Run(home, "whole-02"), stopped).is_exact


class _Requests:
    """Signals that come when they are wanted."""

    def __init__(self, asked):
        self.asked = asked

    def __call__(self):
        return self

    def __enter__(self):
        return lambda: bool(self.asked)

    def __exit__(self, *_):
        return None


def test_a_trial_that_fails_is_listed_and_only_tried_again_when_that_is_asked_for(colours, home):
    sweep = sweep_of(home, BROKEN, "seed=0,1", **{"train.clip_grad": "null"})
    stopped, said = carried_out(sweep)

    reason = "this captioner's weights give no probabilities: its training went wrong"
    assert stopped is None
    assert statuses(home) == {
        "quickstart-sweep-01": "finished",
        "quickstart-sweep-02": "finished",
        "quickstart-sweep-03": "failed",
        "quickstart-sweep-04": "failed",
    }
    assert open_sweep(sweep.name, home).failures == {"quickstart-sweep-03": reason, "quickstart-sweep-04": reason}
    assert f"quickstart-sweep-03 has failed: {reason}" in said
    before = written(home)
    assert carried_out(sweep)[1][0].endswith("0 to do (2 finished before, 2 failed before)")
    assert written(home) == before
    tried = [text for text in carried_out(sweep, retry_failed=True)[1] if text.startswith("trial ")]
    assert [text.split(",")[0] for text in tried] == ["trial 3 of 4", "trial 4 of 4"]
    assert list(open_sweep(sweep.name, home).failures.values()) == [reason, reason]


def test_a_value_that_does_not_fit_the_model_fails_its_trial_alone(colours, home):
    sweep = sweep_of(home, "mapper.heads=7,8", **{"mapper.kind": "transformer", "mapper.layers": 1, "mapper.clip_length": 2})
    carried_out(sweep)
    assert statuses(home) == {"quickstart-sweep-02": "finished"}
    assert "heads" in open_sweep(sweep.name, home).failures["quickstart-sweep-01"]


def test_a_sweep_stays_with_the_version_of_the_dataset_that_it_began_with(colours, home, tmp_path):
    from PIL import Image

    from clipcap_cli.datasets.adding import add_dataset

    sweep = sweep_of(home, AXES[0])
    with pytest.raises(StoreError):
        carried_out(sweep, events=after_steps(8, raising(StoreError("the disk is full"))))
    Image.new("RGB", (9, 9), (9, 9, 9)).save(tmp_path / "colours" / "black.png")
    with (tmp_path / "colours" / "metadata.csv").open("a") as table:
        table.write("\nblack.png,a black picture,train")
    add_dataset(tmp_path / "colours", name="colours", home=home)
    carried_out(sweep_of(home, AXES[0]))
    assert [run.info.dataset_version for run in list_runs(home)] == [1, 1]


def test_a_name_is_one_sweeps_alone(colours, home):
    sweep_of(home, AXES[0], name="rates")
    assert sweep_of(home, AXES[0], name="rates").name == "rates"
    with pytest.raises(InputError, match=r"another sweep has the name 'rates': it has 2 trials, this line 4"):
        sweep_of(home, *AXES, name="rates")
    with pytest.raises(InputError, match=r"another sweep has the name 'rates': rates-02 differs in train.lr \(0.003 there, 0.004 here\)"):
        sweep_of(home, "train.lr=1e-3,4e-3", name="rates")
    with pytest.raises(InputError, match=r"'\.\./x' cannot name a sweep"):
        sweep_of(home, AXES[0], name="../x")
    assert [sweep_of(home, AXES[0]).name, sweep_of(home, *AXES).name, sweep_of(home, AXES[0]).name] == [
        "quickstart-sweep",
        "quickstart-sweep-2",
        "quickstart-sweep",
    ]


def test_runs_of_others_are_never_taken_for_trials(colours, home):
    train("quickstart", {**COMMON, "name": "mine-01"}, home=home)
    with pytest.raises(InputError, match="a run of the name 'mine-01' is there already"):
        sweep_of(home, AXES[0], name="mine")
    sweep = sweep_of(home, AXES[0], name="yours")
    train("quickstart", {**COMMON, "name": "yours-02"}, home=home)
    with pytest.raises(InputError, match="'yours-02' is not of the sweep 'yours'"):
        carried_out(sweep)
    assert "yours-01" not in statuses(home)
    remove_run(home, "yours-02")
    (home.runs / "yours-02").mkdir()
    with pytest.raises(InputError, match="is no run"):
        carried_out(sweep)


def test_a_sweep_that_another_process_carries_out_is_left_alone(colours, home):
    sweep = sweep_of(home, AXES[0])
    with sweep.lock(), pytest.raises(StoreError, match="the sweep 'quickstart-sweep'"):
        carried_out(sweep)
    assert statuses(home) == {}


def test_a_damaged_record_is_said(colours, home):
    path = sweep_of(home, AXES[0]).path / "sweep.json"
    facts = json.loads(path.read_text())
    for damaged in ("{", "[]", json.dumps({**facts, "trials": [{"run": "a"}]}), json.dumps({**facts, "format": 99})):
        path.write_text(damaged)
        with pytest.raises(StoreError, match=r"record cannot be read|newer than"):
            open_sweep("quickstart-sweep", home)


def test_a_recipe_without_values_to_try_and_a_sweep_that_is_not_there_are_told(home):
    with pytest.raises(InputError, match="nothing varies"):
        find_sweep("quickstart", home=home)
    with pytest.raises(InputError, match="there is no sweep named 'qickstart'"):
        find_sweep("qickstart", home=home)
    with pytest.raises(InputError, match="there is no dataset named 'colours'"):
        find_sweep("quickstart", ["dataset.name=colours", AXES[0]], home=home)
    assert not home.sweeps.exists()


def test_what_varies_is_known_of_trials_and_of_runs_of_one_name(colours, home):
    carried_out(sweep_of(home, *AXES[:1], name="rates", **{"train.epochs": 1}))
    for epochs in (1, 2):
        train("quickstart", {**COMMON, "train.epochs": epochs}, home=home)
    train("quickstart", {**COMMON, "name": "other", "train.epochs": 1}, home=home)
    runs = sorted(list_runs(home), key=lambda run: run.name)

    assert [(run.name, one.sweep, dict(one.values)) for run, one in zip(runs, what_varies(runs), strict=True)] == [
        ("other", None, {}),
        ("quickstart", None, {"train.epochs": 1}),
        ("quickstart-2", None, {"train.epochs": 2}),
        ("rates-01", "rates", {"train.lr": 1e-3}),
        ("rates-02", "rates", {"train.lr": 3e-3}),
    ]
    (runs[1].path / "recipe.yaml").unlink()
    assert [dict(one.values) for one in what_varies(runs)[1:3]] == [{}, {}]
