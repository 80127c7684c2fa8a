import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from clipcap_cli.training import cross_entropy
from clipcap_cli.training.cross_entropy import IGNORED, linear_cross_entropy


@settings(max_examples=40, deadline=None)
@given(
    tokens=st.integers(1, 40),
    vocabulary=st.integers(2, 60),
    width=st.integers(1, 12),
    smoothing=st.sampled_from([0.0, 0.1, 0.7]),
    ignored=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 10_000),
)
def test_loss_and_gradients_equal_those_of_plain_cross_entropy(tokens, vocabulary, width, smoothing, ignored, seed):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(tokens, width, generator=generator, requires_grad=True)
    weight = torch.randn(vocabulary, width, generator=generator, requires_grad=True)
    targets = torch.randint(vocabulary, (tokens,), generator=generator)
    targets[1:][torch.rand(tokens - 1, generator=generator) < ignored] = IGNORED

    plain = F.cross_entropy(hidden @ weight.T, targets, ignore_index=IGNORED, label_smoothing=smoothing)
    wanted = torch.autograd.grad(plain * 3, (hidden, weight))
    ours = linear_cross_entropy(hidden, weight, targets, smoothing)
    found = torch.autograd.grad(ours * 3, (hidden, weight))

    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_blocks_of_rows_add_up_to_the_whole(monkeypatch):
    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(50, 8, requires_grad=True), torch.randn(30, 8, requires_grad=True), torch.randint(30, (50,))
    whole = torch.autograd.grad(linear_cross_entropy(hidden, weight, targets), (hidden, weight))
    monkeypatch.setattr(cross_entropy, "BLOCK_ELEMENTS", 30 * 7)  # seven rows at a time

    torch.testing.assert_close(torch.autograd.grad(linear_cross_entropy(hidden, weight, targets), (hidden, weight)), whole)


@pytest.mark.parametrize("frozen", ["hidden", "weight"])
def test_what_is_frozen_gets_no_gradient(frozen):
    torch.manual_seed(0)
    hidden = torch.randn(5, 4, requires_grad=frozen != "hidden")
    weight = torch.randn(9, 4, requires_grad=frozen != "weight")
    linear_cross_entropy(hidden, weight, torch.arange(5)).backward()

    assert (hidden.grad is None) == (frozen == "hidden")
    assert (weight.grad is None) == (frozen == "weight")


def test_a_gradient_that_was_handed_on_cannot_be_asked_for_again():
    hidden = torch.randn(5, 4, requires_grad=True)
    loss = linear_cross_entropy(hidden, torch.randn(9, 4), torch.arange(5))
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="twice"):
        loss.backward()
