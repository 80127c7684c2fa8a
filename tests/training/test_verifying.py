"""Making a run again, and knowing beforehand and afterwards whether it is the same."""

import json

import pytest
from colours import settings
from mean_colour import ColourEncoder

from clipcap_cli.datasets.dataset import remove_dataset
from clipcap_cli.errors import InputError
from clipcap_cli.events import Note
from clipcap_cli.training import surroundings, verifying
from clipcap_cli.training.determinism import unordered_operations
from clipcap_cli.training.sameness import sameness
from clipcap_cli.training.train import train
from clipcap_cli.training.verifying import train_again, verify_run


@pytest.fixture
def run(colours, home):
    return train("quickstart", settings(encoder__noise=0.1, train__dropout=0.1, train__epochs=2), home=home)


def said(heard):
    return [event.text for event in heard if isinstance(event, Note)]


def test_a_run_is_made_again_to_the_bit_and_that_is_said(run):
    heard = []
    again, alike = train_again(run, events=heard.append)

    assert alike.is_exact
    assert again.name == "quickstart-2"
    assert "data, weights, packages and machine are those of quickstart" in said(heard)
    assert any("quickstart-2 and quickstart: the same to the bit" in text for text in said(heard))
    found = verify_run(run)
    assert (found.differences, found.lost, list(found.made_again)) == ((), (), ["quickstart-2"])
    assert found.can_be_made_again


def test_a_run_is_made_again_from_its_own_version_of_the_data(run, colours, home):
    table = colours.source / "metadata.csv"
    table.write_text(table.read_text().replace("a red picture", "a crimson picture"))
    from clipcap_cli.datasets.adding import add_dataset

    assert add_dataset(colours.source, name="colours", home=home).version == 2
    assert verify_run(run).differences == ()
    again, alike = train_again(run)
    assert again.info.dataset_version == 1
    assert alike.is_exact


def test_another_package_or_machine_may_change_the_last_digits(run, monkeypatch):
    monkeypatch.setattr(surroundings, "packages", lambda: {"torch": "1.0"})
    found = verify_run(run)
    assert found.can_be_made_again
    assert ("torch", "1.0", False) in {(it.what, it.now, it.decides) for it in found.differences}


def test_another_encoder_decides(run, monkeypatch):
    class Another(ColourEncoder):
        fingerprint = "0ther" * 8

    monkeypatch.setattr(verifying, "load_encoder", lambda *_, **__: Another())
    found = verify_run(run)
    assert not found.can_be_made_again
    assert next(it for it in found.differences if it.decides).what == "encoder's fingerprint"


def test_data_that_is_gone_is_lost(run, home):
    remove_dataset(home, "colours")
    found = verify_run(run)
    assert not found.can_be_made_again
    assert "there is no dataset named 'colours'" in found.lost[0]


def test_data_that_is_damaged_is_called_so_and_the_encoder_is_not_blamed(run, colours):
    table = colours.folder / "captions.parquet"
    table.write_bytes(table.read_bytes()[:-8])
    [sentence] = verify_run(run).lost
    assert sentence.startswith(f"the data is damaged: {table}")


def test_a_run_that_came_out_otherwise_is_named_with_its_first_step(run, home):
    other = train("quickstart", settings(encoder__noise=0.1, train__dropout=0.1, train__epochs=2, seed=1), home=home)
    alike = sameness(run, other)
    assert not alike.is_exact
    assert alike.first_other_step == 6
    assert alike.loss_difference > 0
    assert 0 < len(alike.other_tensors) <= alike.tensors
    assert 0 < alike.weight_difference < 10
    assert "from step 6 on losses differ" in str(alike)


def test_a_tensor_that_is_missing_on_one_side_is_another(run, home):
    other = train("quickstart", settings(language_model__tune="frozen", train__epochs=2), home=home)
    alike = sameness(run, other)
    assert any("lm/model.safetensors" in name for name in alike.other_tensors)
    assert alike.weight_difference == float("inf")


def test_a_run_without_a_lock_cannot_be_verified(run):
    (run.path / "lock.json").unlink()
    with pytest.raises(InputError, match="has no lock"):
        verify_run(run)


def test_the_command_says_what_differs_and_ends_with_five_where_that_decides(run, home, clipcap, monkeypatch):
    said = clipcap("runs", "verify", "quickstart", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out) == {"run": "quickstart", "can_be_made_again": True, "differences": [], "lost": [], "made_again": {}}
    said = clipcap("runs", "verify", "runs/quickstart").out
    assert "are what they were" in said
    assert "their files were not read: `clipcap cache verify pictures` reads them" in said
    remove_dataset(home, "colours")
    said = clipcap("runs", "verify", "quickstart")
    assert said.code == 5
    assert "the data is gone" in said.out
    assert "cannot be made again" in said.out


def test_operations_without_a_fixed_order_are_named():
    unordered = "{} does not have a deterministic implementation, but you set …"
    messages = [unordered.format("foo_cuda"), "something else", unordered.format("bar_cuda"), unordered.format("foo_cuda")]
    assert unordered_operations(messages) == ["bar_cuda", "foo_cuda"]
