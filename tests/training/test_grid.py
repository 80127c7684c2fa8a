"""What is typed behind `clipcap sweep` becomes trials; whatever is wrong is said before the first one begins."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcap_cli.errors import InputError
from clipcap_cli.training.grid import Draw, plan_trials

NUMBERS = ("epochs", "batch_size", "steps", "accumulate", "patience", "validate_every")


def values_of(*settings, draw=None):
    return [dict(trial.values) for trial in plan_trials("quickstart", settings, draw).trials]


def test_a_grid_is_all_combinations_and_the_last_key_changes_fastest():
    assert values_of("train.lr=1e-5,3e-5", "mapper.kind=mlp,transformer,linear", "train.epochs=3") == [
        {"train.lr": lr, "mapper.kind": kind} for lr in (1e-5, 3e-5) for kind in ("mlp", "transformer", "linear")
    ]
    assert {trial.recipe.train.epochs for trial in plan_trials("quickstart", ["train.lr=1,2", "train.epochs=3"]).trials} == {3}


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("train.trackers=[tensorboard,wandb],[]", [["tensorboard", "wandb"], []]),
        ("decode.banned=['a, b'],[c]", [["a, b"], ["c"]]),
        ("decode.stop='.',null", [".", None]),
        ("encoder.normalize=true,false", [True, False]),
        ('decode.stop="a,b",c', ["a,b", "c"]),
    ],
)
def test_lists_quotes_and_null_are_as_in_yaml(written, values):
    key = written.partition("=")[0]
    assert values_of(written) == [{key: value} for value in values]


def test_one_value_in_brackets_is_one_value():
    plan = plan_trials("quickstart", ["decode.banned=[a,b]", "seed=1,2"])
    assert [trial.recipe.decode.banned for trial in plan.trials] == [("a", "b")] * 2
    assert plan.axes == ("seed (2 values)",)


def test_draws_are_different_come_again_with_their_seed_and_stay_when_more_are_asked_for():
    axes = ("train.lr=1e-5..1e-3", "train.dropout=0.1..0.4", "mapper.kind=mlp,linear", "train.epochs=2..5")
    drawn = values_of(*axes, draw=Draw(8, seed=1))
    assert drawn == values_of(*axes, draw=Draw(8, seed=1))
    assert drawn == values_of(*axes, draw=Draw(20, seed=1))[:8]
    assert drawn != values_of(*axes, draw=Draw(8, seed=2))
    assert len({str(values) for values in drawn}) == 8


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_drawn_numbers_lie_between_their_ends_and_whole_ones_stay_whole(seed):
    for values in values_of("train.lr=1e-5..1e-3", "mapper.prefix_length=1..20", "train.epochs=2..5", draw=Draw(3, seed)):
        assert 1e-5 <= values["train.lr"] <= 1e-3
        assert 1 <= values["mapper.prefix_length"] <= 20
        assert values["train.epochs"] in (2, 3, 4, 5)


def test_wide_ranges_are_drawn_by_their_logarithm_and_narrow_ones_evenly():
    wide = sorted(values["train.lr"] for values in values_of("train.lr=1e-5..1e-1", draw=Draw(200)))
    narrow = sorted(values["train.lr"] for values in values_of("train.lr=0.2..1", draw=Draw(200)))
    assert 3e-4 < wide[100] < 3e-3
    assert 0.5 < narrow[100] < 0.7


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ((), "nothing varies"),
        (("train.lr=1e-5",), "nothing varies"),
        (("train.learning_rat=1e-5",), "unknown key 'train.learning_rat'"),
        (("train.lr=1,2", "train.lr=3,4"), "'train.lr' is there twice"),
        (("train.lr",), "'train.lr' does not set a key"),
        (("train.lr=1,2,",), "a value of 'train.lr' is missing"),
        (("train.lr=,1",), "are not YAML"),
        (("train.lr=[1,2",), "are not YAML"),
        (("train.lr=2001-13-45,2",), "are not YAML"),
        (("train.lr=" + "[" * 5000 + ",2",), "are not YAML"),
        (("name=a,b",), "runs are named after their sweep"),
        (("train.learning_rat=1,2",), "unknown key 'train.learning_rat'"),
        (("trian.lr=1,2",), "did you mean 'train'"),
        (("train.lr=1,1.0",), "trials 1 and 2 are the same"),
        (("dataset.name=a,b",), "'dataset.name' cannot vary"),
        (("train.select_by=loss,cider",), "'train.select_by' cannot vary"),
        (("train.lr=1e-5..1e-3",), "is a range, and a grid needs single values"),
        (
            tuple(f"train.{key}={','.join(map(str, range(1, 33)))}" for key in ("epochs", "batch_size", "steps", "accumulate", "patience", "validate_every")),
            "1,073,741,824",
        ),
    ],
)
def test_a_mistake_in_an_axis_is_told(typed, told):
    with pytest.raises(InputError, match=told):
        plan_trials("quickstart", typed)


@pytest.mark.parametrize(
    ("written", "trials", "told"),
    [
        ("train.lr=1e-3..1e-5", 3, "has nothing between its ends"),
        ("train.lr=1.2.3..4", 3, "is no range of numbers"),
        ("train.lr=1e-5..1e-3,1", 3, "has a range beside other values"),
        ("train.lr=-1..1", 3, "train.lr: input should be greater than 0, not -1"),
        ("train.epochs=1..3", 4, "only 3 were found"),
        ("train.kind=1..2", 4, "unknown key 'train.kind'"),
        ("train.lr=1,2,3", 4, "only 3 were found"),
        ("train.lr=1e-5..1e-3", 501, "501 trials"),
    ],
)
def test_a_mistake_in_what_is_drawn_is_told(written, trials, told):
    with pytest.raises(InputError, match=told):
        plan_trials("quickstart", [written], Draw(trials))


def test_mistakes_of_all_trials_are_told_together_and_each_once():
    with pytest.raises(InputError) as caught:
        plan_trials("quickstart", ["train.lr=1e-5,-3", "mapper.kind=mlp,trafo", "train.epochs=1,2,3"])
    assert caught.value.message.count("\n") == 2
    assert "train.lr: input should be greater than 0, not -3" in caught.value.message
    assert "mapper.kind: input should be 'mlp', 'transformer' or 'linear', not 'trafo'" in caught.value.message


def test_values_that_are_wrong_only_together_are_told():
    with pytest.raises(InputError, match="min_tokens 9 is more than max_tokens 5"):
        plan_trials("quickstart", ["decode.min_tokens=1,9", "decode.max_tokens=5,20"])
