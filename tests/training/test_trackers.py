"""Who else is told how a training goes, and that no training ends because of them."""

import json
import sys

import pytest
from colours import settings

from clipcap_cli.errors import InputError, MissingError
from clipcap_cli.events import Note
from clipcap_cli.training.runs import list_runs
from clipcap_cli.training.trackers import registry
from clipcap_cli.training.train import train


class Notebook:
    """A tracker of another package: writes down what it is told."""

    told: list  # of the newest one

    def __init__(self):
        Notebook.told = []

    def start(self, run, folder, recipe, step):
        self.told.append(("start", run, folder, recipe["train"]["batch_size"]))

    def log(self, step, values):
        self.told.append((step, dict(values)))

    def finish(self):
        self.told.append(("finish",))


class Failing(Notebook):
    def log(self, step, values):
        raise RuntimeError("the line is dead")


class Point:
    """An entry point of an installed package."""

    def __init__(self, name, factory):
        self.name, self.value, self.factory = name, f"package:{name}", factory

    def load(self):
        return self.factory() if self.name == "broken" else self.factory


def break_loading():
    raise ImportError("no module named paper")


@pytest.fixture
def installed(monkeypatch):
    points = [Point("notebook", Notebook), Point("failing", Failing), Point("broken", break_loading)]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == "clipcap.trackers" else [])


def test_a_tracker_is_told_the_recipe_the_figures_the_scores_and_the_end(colours, home, installed):
    changes = settings(train__epochs=4, train__trackers=["notebook"])
    run = train("quickstart", changes, home=home, scorer=lambda references, name: lambda captions: 0.25)

    first, *figures, last = Notebook.told
    assert (first, last) == (("start", run.name, run.path, 4), ("finish",))
    logged = [line for line in run.metrics() if "val_loss" not in line]
    assert [(step, values) for step, values in figures if "lr" in values] == [(line.pop("step"), line) for line in logged]
    assert [(step, values["cider"]) for step, values in figures if "val_loss" in values] == [(6, 0.25), (12, 0.25)]


def test_a_tracker_that_fails_is_warned_of_once_and_the_training_goes_on(colours, home, installed):
    heard = []
    run = train("quickstart", settings(train__trackers=["failing"]), home=home, events=heard.append)

    assert run.info.status == "finished"
    warnings = [event.text for event in heard if isinstance(event, Note) and event.level == "warning"]
    assert warnings == ["the tracker failing failed and is told nothing more; the training goes on: the line is dead"]
    assert ("finish",) not in Notebook.told


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("tensorbord", InputError, "there is no tracker named 'tensorbord' Did you mean 'tensorboard'?"),
        ("x", InputError, "There are: broken, failing, notebook, tensorboard, trackio, wandb."),
        ("broken", MissingError, "the tracker 'broken' cannot be loaded: no module named paper"),
    ],
)
def test_a_tracker_that_cannot_be_had_is_told_before_anything_is_made(name, error, words, colours, home, installed):
    with pytest.raises(error) as caught:
        train("quickstart", settings(train__trackers=[name]), home=home)
    assert words in str(caught.value)
    assert list_runs(home) == []


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "trackio"])
def test_a_package_that_is_not_installed_is_named_with_what_installs_it(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingError, match=f"the tracker {name} needs the package {name}, which cannot be imported") as caught:
        registry.load_trackers([name])
    assert caught.value.hint == f'pip install "clipcap-cli[{name}]"'


def test_tensorboard_finds_every_figure_in_the_run(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    trackers = registry.Trackers(registry.load_trackers(["tensorboard"]), pytest.fail)
    with trackers.following("food", tmp_path / "run", {"seed": 0}):
        trackers.log(10, {"loss": 2.5, "lr": 0.001})
        trackers.log(20, {"loss": 2.25})
    read = accumulators.EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [(point.step, point.value) for point in read.Scalars("loss")] == [(10, 2.5), (20, 2.25)]
    assert [point.step for point in read.Scalars("lr")] == [10]


class FakeWandb:
    """Remembers how it was begun."""

    def Settings(self, **settings):
        return settings

    def init(self, **asked):
        self.asked = asked
        return self


@pytest.mark.parametrize(("said", "mode"), [(None, "offline"), ("online", "online")])
def test_wandb_is_offline_unless_the_user_says_otherwise(said, mode, tmp_path, monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "")  # so that what is set is unset afterwards
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if said:
        monkeypatch.setenv("WANDB_MODE", said)
    [tracker] = registry.load_trackers(["wandb"]).values()
    tracker.start("food", tmp_path, {"seed": 0}, 0)

    assert (fake.asked["mode"], fake.asked["dir"], fake.asked["name"]) == (mode, str(tmp_path), "food")
    assert json.dumps(fake.asked["config"]) == '{"seed": 0}'
