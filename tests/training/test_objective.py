from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.nn import functional as F

from clipcap_cli.captioner.lm_loading import load_language_model
from clipcap_cli.captioner.mappers import Preparation, build_mapper
from clipcap_cli.datasets.pairs import Pairs
from clipcap_cli.training.batches import make_batch
from clipcap_cli.training.objective import caption_loss
from clipcap_cli.training.samples import collect_samples

CAPTIONS = ["two apples on a plate", "a dog", "a man rides a brown horse along the beach at sunset"]


@pytest.fixture(scope="module")
def nano():
    return load_language_model("builtin:nano")


@pytest.fixture(scope="module")
def samples(nano):
    embeddings = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
    return collect_samples(Pairs(np.arange(3).astype("S32"), pa.array(CAPTIONS), np.arange(3)), embeddings, nano, 4)


def make_mapper(nano):
    torch.manual_seed(0)
    return build_mapper("mlp", embedding_size=16, lm_width=nano.width, prefix_length=4)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_batch_costs_what_its_captions_cost_one_at_a_time(nano, samples, smoothing):
    mapper, preparation = make_mapper(nano), Preparation(normalize=True)
    batch = make_batch(samples, np.arange(3), 4)
    loss = caption_loss(batch, preparation, mapper, nano, label_smoothing=smoothing)

    costs, count = torch.zeros(()), 0
    for number in range(3):
        tokens = torch.tensor(samples.tokens(np.array([number]))[0])
        prefix = mapper(F.normalize(torch.from_numpy(samples.embeddings[number : number + 1])))
        vectors = torch.cat([prefix, nano.embed(tokens)[None]], dim=1)
        logits = nano.model(inputs_embeds=vectors).logits[0, 3:-1]  # the last prefix vector predicts the first token
        costs = costs + F.cross_entropy(logits, tokens, reduction="sum", label_smoothing=smoothing)
        count += len(tokens)

    torch.testing.assert_close(loss, costs / count, atol=1e-5, rtol=1e-5)


def test_a_frozen_language_model_gets_no_gradient_and_the_mapper_does(nano, samples):
    mapper = make_mapper(nano)
    caption_loss(make_batch(samples, np.arange(3), 4), Preparation(normalize=False), mapper, nano).backward()

    assert all(parameter.grad is None for parameter in nano.parameters())
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in mapper.parameters())


def test_noise_is_added_to_the_prepared_embeddings(nano, samples):
    mapper, preparation = make_mapper(nano), Preparation(normalize=True)
    batch = make_batch(samples, np.arange(3), 4)
    noise = 0.5 * torch.randn(batch.embeddings.shape, generator=torch.Generator().manual_seed(1))
    moved = replace(batch, embeddings=preparation(batch.embeddings) + noise)

    with_noise = caption_loss(batch, preparation, mapper, nano, noise=noise).item()
    assert with_noise == caption_loss(moved, Preparation(normalize=False), mapper, nano).item()
    assert with_noise != caption_loss(batch, preparation, mapper, nano).item()
