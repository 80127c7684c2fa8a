"""Processes that train together: shares that make up the whole, and what is left when one is gone. Real processes are in tests/journeys/test_devices.py."""

import numpy as np
import pytest
import torch
from colours import settings
from hypothesis import given
from hypothesis import strategies as st
from spelled import samples_of

from clipcap_cli.errors import InputError, UnreachableError
from clipcap_cli.training.batches import make_batch
from clipcap_cli.training.launching import may_speak, processes_for, speaks, started_together
from clipcap_cli.training.peers import ALONE, Peers
from clipcap_cli.training.runs import Run, list_checkpoints
from clipcap_cli.training.sameness import sameness
from clipcap_cli.training.train import resume, train

TOKENS = st.lists(st.integers(1, 9), min_size=1, max_size=12)
# Without dropout: several processes draw its numbers anew at each step (`Learner`), one does not, and there is one here.
DRAWING = {"encoder__noise": 0.1, "train__dropout": 0, "train__epochs": 4, "train__validate_every": 5}


def peers(rank, count):
    return Peers(rank, count, torch.device("cpu"))


@given(st.lists(TOKENS, min_size=1, max_size=20), st.integers(1, 5))
def test_the_shares_of_a_batch_make_up_the_batch(captions, count):
    samples, members = samples_of(captions), np.arange(len(captions))
    whole = make_batch(samples, members, 2)
    shares = [make_batch(samples, members, 2, peers(rank, count).own) for rank in range(count)]

    assert sum(share.count for share in shares) == whole.count
    assert sum(len(share.embeddings) for share in shares) == len(captions)
    assert {share.whole for share in shares} == {len(captions)}
    assert sorted(torch.cat([share.embeddings for share in shares]).flatten().tolist()) == whole.embeddings.flatten().tolist()


@given(st.lists(st.integers(1, 40), min_size=8, max_size=64), st.integers(2, 8))
def test_shares_of_a_batch_of_like_lengths_are_of_like_length(lengths, count):
    captions = [[1] * length for length in sorted(lengths)]
    shares = [make_batch(samples_of(captions), np.arange(len(captions)), 2, peers(rank, count).own) for rank in range(count)]

    # Neighbours in length go to different processes: no two shares differ by more than the longest caption.
    assert max(share.count for share in shares) - min(share.count for share in shares) <= max(lengths)


def test_a_share_of_nothing_is_an_empty_batch():
    share = make_batch(samples_of([[1, 2]]), np.arange(1), 2, peers(3, 4).own)
    assert (share.count, share.whole, len(share.embeddings)) == (0, 1, 0)


def test_alone_nothing_is_exchanged():
    parameter = torch.nn.Parameter(torch.ones(2))
    ALONE.add_gradients([parameter])
    assert parameter.grad is None
    assert ALONE.total(1.5, 2) == [1.5, 2]
    assert ALONE.highest(True, 2.5) == [True, 2.5]
    assert ALONE.exchange({"a": [1, None]}) == [{"a": [1, None]}]
    assert ALONE.from_first(lambda: 3) == 3


@pytest.mark.parametrize(
    ("environment", "count", "first"),
    [
        ({}, 1, True),
        ({"RANK": "0", "WORLD_SIZE": "4"}, 4, True),
        ({"RANK": "3", "WORLD_SIZE": "4"}, 4, False),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, 2, False),
        ({"RANK": "many", "WORLD_SIZE": ""}, 1, True),
    ],
)
def test_the_environment_says_who_trains_together(monkeypatch, environment, count, first):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (started_together(), speaks()) == (count, first)


def test_as_many_processes_as_there_are_devices():
    assert processes_for("1", "cpu") == 1
    assert processes_for("auto", "cpu") == 1
    with pytest.raises(InputError, match="--devices 4096 is more than there is: this machine has"):
        processes_for("4096", "cpu")


def test_one_of_many_tells_what_is_wrong_and_the_launcher_what_became_of_a_peer(monkeypatch, tmp_path):
    monkeypatch.setenv("CLIPCAP_LAUNCHER", "1")
    monkeypatch.setenv("CLIPCAP_WORD", str(tmp_path / "word"))
    assert not may_speak(UnreachableError("a peer is gone", hint="It stands at step 3."))
    assert (tmp_path / "word").read_text() == "It stands at step 3."

    monkeypatch.setenv("CLIPCAP_WORD", str(tmp_path / "other"))
    assert may_speak(InputError("there is no such dataset"))
    assert not may_speak(InputError("there is no such dataset"))


@pytest.mark.parametrize("lost_in", ["add_gradients", "highest"], ids=["in a step", "before a validation"])
def test_a_peer_that_is_lost_leaves_a_checkpoint_from_which_all_comes_out_the_same(colours, home, monkeypatch, lost_in):
    undisturbed = train("quickstart", settings(**DRAWING), home=home)
    asked = 0

    def fail_at_the_fifth(self, *values):
        nonlocal asked
        asked += 1
        if asked == 5:
            raise UnreachableError("another process of this training is gone")
        return list(values)

    with monkeypatch.context() as patch:
        patch.setattr(Peers, lost_in, fail_at_the_fifth)
        with pytest.raises(UnreachableError) as caught:
            train("quickstart", settings(**DRAWING), home=home)
    run = Run(home, "quickstart-2")
    step = 4 if lost_in == "add_gradients" else 5
    assert caught.value.hint == f"Run 'quickstart-2' is kept as it was at step {step}; to go on: clipcap train quickstart-2 --resume"
    assert (run.info.status, run.info.ended_because) == ("failed", "another process of this training is gone")
    assert [checkpoint.step for checkpoint in list_checkpoints(run)] == [step]

    alike = sameness(undisturbed, resume(run))
    assert alike.is_exact, str(alike)


def test_a_peer_that_is_lost_before_the_first_step_leaves_nothing_to_go_on_from(colours, home, monkeypatch):
    def fail(self, *_):
        raise UnreachableError("another process of this training is gone")

    monkeypatch.setattr(Peers, "add_gradients", fail)
    with pytest.raises(UnreachableError, match="at step 0"):
        train("quickstart", settings(), home=home)
    assert list_checkpoints(Run(home, "quickstart")) == []
