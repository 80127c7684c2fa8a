import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipcap_cli.encoders.lanes import on_every_core


def batch_of(count):
    return np.random.default_rng(count).integers(0, 256, (count, 2, 2, 3), dtype=np.uint8)


def sums(batch):
    return batch.sum((1, 2, 3), dtype=np.float32)[:, None]


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@given(st.integers(1, 70))
def test_the_whole_batch_comes_back_in_its_order(count):
    assert np.array_equal(on_every_core(sums, batch_of(count)), sums(batch_of(count)))


def test_each_forward_has_a_thread_of_its_own_and_the_others_keep_theirs(two_threads):
    seen = set()

    def forward(batch):
        seen.add((threading.current_thread().name.split("_")[0], torch.get_num_threads()))
        return sums(batch)

    assert np.array_equal(on_every_core(forward, batch_of(33)), sums(batch_of(33)))
    assert seen == {("clipcap-forward", 1)}
    assert torch.get_num_threads() == 2
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [2]


def test_a_single_picture_is_encoded_where_it_is_with_all_threads(two_threads):
    seen = []
    on_every_core(lambda batch: (seen.append(torch.get_num_threads()), sums(batch))[1], batch_of(1))
    assert seen == [2]


def test_an_error_in_a_forward_is_the_callers(two_threads):
    def fail(batch):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        on_every_core(fail, batch_of(20))
