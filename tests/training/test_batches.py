import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import spelled
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcap_cli.training.batches import batches_of, batches_per_epoch, make_batch, order_of, pooled_order
from clipcap_cli.training.cross_entropy import IGNORED
from clipcap_cli.training.samples import Samples


def samples_of(captions: list[list[int]]) -> Samples:
    return dataclasses.replace(spelled.samples_of(captions), never_learned=None)


@settings(max_examples=50, deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=300), batch_size=st.integers(1, 50), seed=st.integers(0, 99))
def test_an_epoch_visits_every_caption_exactly_once(lengths, batch_size, seed):
    order = order_of(np.array(lengths), batch_size, np.random.default_rng(seed))

    assert sorted(np.concatenate(order)) == list(range(len(lengths)))
    assert len(order) == batches_per_epoch(len(lengths), batch_size)


@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=60), batch_size=st.integers(1, 7), seed=st.integers(0, 99))
def test_captions_that_were_not_measured_are_put_together_by_length_all_the_same(lengths, batch_size, seed):
    samples = samples_of([[1] * length for length in lengths])
    order = list(pooled_order(samples, batch_size, np.random.default_rng(seed)))

    assert sorted(np.concatenate(order)) == list(range(len(lengths)))
    assert len(order) == batches_per_epoch(len(lengths), batch_size)
    ranges = sorted((min(lengths[m] for m in members), max(lengths[m] for m in members)) for members in order)
    assert all(before[1] <= after[0] for before, after in pairwise(ranges))


def test_the_order_depends_on_the_seed_alone():
    lengths = np.random.default_rng(0).integers(5, 30, 500)
    first, again, other = (order_of(lengths, 32, np.random.default_rng(seed)) for seed in (1, 1, 2))

    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any(a.tolist() != b.tolist() for a, b in zip(first, other, strict=True))


def test_less_than_a_twentieth_of_the_tokens_is_padding():
    lengths = np.random.default_rng(0).gamma(20, 0.6, 20_000).astype(int) + 2  # as long as COCO's captions: 11.5 on average, 49 at most
    order = order_of(lengths, 40, np.random.default_rng(0))
    padded = sum(lengths[members].max() * len(members) for members in order)

    assert 1 - lengths.sum() / padded < 0.05


def test_each_target_is_predicted_from_the_place_before_it():
    prefix_length, captions = 3, [[11, 12, 13], [21, 22, 23, 24], [31]]
    batch = make_batch(samples_of(captions), np.array([0, 1, 2]), prefix_length)

    width = prefix_length + 3
    places = batch.places[: batch.count]
    found = [[] for _ in captions]
    for place, target in zip(places.tolist(), batch.targets.tolist(), strict=False):
        caption, column = divmod(place, width)
        found[caption].append(target)
        behind_prefix = column - prefix_length  # -1: the last prefix vector
        if behind_prefix >= 0:
            assert batch.tokens[caption, behind_prefix] == captions[caption][behind_prefix]
    assert found == captions
    assert (batch.targets[batch.count :] == IGNORED).all()
    assert batch.embeddings.flatten().tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_validation_reads_every_token_once(batch_size):
    captions = [[1] * (1 + number % 7) for number in range(23)]
    batches = list(batches_of(samples_of(captions), batch_size, 2))

    assert sum(batch.count for batch in batches) == sum(map(len, captions))
    assert torch.cat([batch.embeddings for batch in batches]).unique().numel() == 23


def test_very_many_captions_are_not_tokenised_before_the_first_step(monkeypatch):
    monkeypatch.setattr("clipcap_cli.training.samples._MEASURED_AT_MOST", 5)
    monkeypatch.setattr("clipcap_cli.training.samples._AT_ONCE", 2)
    counted = []

    class Counting(spelled.Reader):
        def tokenize(self, texts):
            counted.extend(texts)
            return super().tokenize(texts)

    samples = spelled.samples_of([[7] * (1 + n % 4) for n in range(40)], language_model=Counting(end_token=9), objective="standard")
    assert len(counted) <= 4
    assert not samples.measured
    assert samples.tokens(np.array([3])) == [[7, 7, 7, 7, 9]]
    assert samples.lengths[3] == len("7 7 7 7")
    assert 1 < samples.mean_tokens < 6
