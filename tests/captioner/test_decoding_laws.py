"""What holds for decoding whatever the language model: tried on random ones with five tokens, against brute force."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clipcap_cli.captioner.decoding.base import Ask, Hypothesis
from clipcap_cli.captioner.decoding.beam import beam_search
from clipcap_cli.captioner.decoding.sampling import sample
from clipcap_cli.errors import InputError

VOCABULARY, STOP = 5, 2
SEEDS = st.integers(0, 10_000)
PENALTIES = st.sampled_from([0.0, 0.5, 1.0, 2.0])


@dataclass
class TinyLM:
    """Five tokens, and logits that depend on all that went before; its cache is the sum of that, fading."""

    seed: int
    max_positions: int | None = None
    steps: int = 0

    def __post_init__(self) -> None:
        random = torch.Generator().manual_seed(self.seed)
        self.vectors = torch.randn(VOCABULARY, 4, generator=random)
        self.output = 1.5 * torch.randn(4, VOCABULARY, generator=random)

    def embed(self, tokens: Tensor) -> Tensor:
        return self.vectors[tokens]

    def step(self, embeddings: Tensor, cache: Tensor | None) -> tuple[Tensor, Tensor]:
        self.steps += 1
        state = torch.zeros(len(embeddings), 4) if cache is None else cache
        for place in range(embeddings.shape[1]):
            state = torch.tanh(0.7 * state.roll(1, dims=1) + embeddings[:, place])
        return state @ self.output, state

    def step_hidden(self, embeddings: Tensor, cache: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        states = []
        for place in range(embeddings.shape[1]):
            logits, cache = self.step(embeddings[:, place : place + 1], cache)
            states.append(cache)
        return logits, torch.stack(states, dim=1), cache

    def reorder(self, cache: Tensor, index: Tensor) -> Tensor:
        return cache[index]

    def log_probs(self, prefix: Tensor, tokens: tuple[int, ...]) -> list[float]:
        """Of each token of a continuation of `prefix` [prefix_length, width], without a cache."""
        found = []
        for place, token in enumerate(tokens):
            logits, _ = self.step(torch.cat([prefix, self.embed(torch.tensor(tokens[:place], dtype=torch.long))])[None], None)
            found.append(logits[0].log_softmax(dim=0)[token].item())
        return found


def prefixes(seed: int, count: int = 3) -> Tensor:
    return torch.randn(count, 2, 4, generator=torch.Generator().manual_seed(seed))


def every_sequence(longest: int, made: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    if made and (made[-1] == STOP or len(made) == longest):
        yield made
    else:
        for token in range(VOCABULARY):
            yield from every_sequence(longest, (*made, token))


def tokens_of(found: list[list[Hypothesis]]) -> list[list[tuple[int, ...]]]:
    return [[hypothesis.tokens for hypothesis in hypotheses] for hypotheses in found]


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, penalty=PENALTIES)
def test_a_beam_wide_enough_for_every_sequence_ranks_them_all(seed: int, penalty: float) -> None:
    lm, prefix = TinyLM(seed), prefixes(seed, 1)
    [found] = beam_search(lm, prefix, Ask(3, STOP, length_penalty=penalty), beams=100)
    scores = {tokens: sum(lm.log_probs(prefix[0], tokens)) / len(tokens) ** penalty for tokens in every_sequence(3)}
    assert {hypothesis.tokens for hypothesis in found} == scores.keys()
    assert [hypothesis.score for hypothesis in found] == pytest.approx(sorted(scores.values(), reverse=True), abs=1e-4)
    assert found[0].score == pytest.approx(scores[found[0].tokens], abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, beams=st.integers(1, 6), longest=st.integers(1, 8), shortest=st.integers(1, 8), penalty=PENALTIES)
def test_hypotheses_are_distinct_ranked_within_their_lengths_and_truly_scored(seed: int, beams: int, longest: int, shortest: int, penalty: float) -> None:
    lm, prefix = TinyLM(seed), prefixes(seed)
    found = beam_search(lm, prefix, Ask(longest, STOP, min_tokens=min(shortest, longest), length_penalty=penalty), beams=beams)
    for vectors, hypotheses in zip(prefix, found, strict=True):
        scores = [hypothesis.score for hypothesis in hypotheses]
        assert 1 <= len(hypotheses) <= beams
        assert len({hypothesis.tokens for hypothesis in hypotheses}) == len(hypotheses)
        assert scores == sorted(scores, reverse=True)
        for hypothesis in hypotheses:
            assert min(shortest, longest) <= len(hypothesis.tokens) <= longest
            assert STOP not in hypothesis.tokens[:-1]
            assert hypothesis.stopped == (hypothesis.tokens[-1] == STOP)
            assert hypothesis.stopped or len(hypothesis.tokens) == longest
            if shortest == 1:  # the stop token is never forbidden, which would change the probabilities
                expected = sum(lm.log_probs(vectors, hypothesis.tokens)) / len(hypothesis.tokens) ** penalty
                assert hypothesis.score == pytest.approx(expected, abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_a_beam_of_one_is_the_greedy_choice(seed: int) -> None:
    lm, prefix = TinyLM(seed), prefixes(seed, 1)
    greedy: tuple[int, ...] = ()
    while len(greedy) < 6 and STOP not in greedy:
        logits, _ = lm.step(torch.cat([prefix[0], lm.embed(torch.tensor(greedy, dtype=torch.long))])[None], None)
        greedy = (*greedy, int(logits.argmax()))
    assert tokens_of(beam_search(lm, prefix, Ask(6, STOP), beams=1)) == [[greedy]]


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, beams=st.integers(1, 4))
def test_a_batch_gives_what_one_by_one_gives(seed: int, beams: int) -> None:
    lm, prefix = TinyLM(seed), prefixes(seed, 5)
    together = beam_search(lm, prefix, Ask(7, STOP), beams=beams)
    alone = [beam_search(lm, row[None], Ask(7, STOP), beams=beams)[0] for row in prefix]
    assert tokens_of(together) == tokens_of(alone)
    drawn = sample(lm, prefix, Ask(7, STOP), top_p=0.9, numbers=range(5), seed=seed)
    drawn_alone = [sample(lm, row[None], Ask(7, STOP), top_p=0.9, numbers=[number], seed=seed)[0] for number, row in enumerate(prefix)]
    assert tokens_of(drawn) == tokens_of(drawn_alone)


def test_nothing_is_computed_after_the_last_picture_is_finished() -> None:
    lm = TinyLM(0)
    lm.vectors = lm.vectors.abs()
    lm.output = 50 * torch.eye(VOCABULARY)[STOP].expand(4, -1)  # every way leads to the stop token
    found = beam_search(lm, prefixes(0).abs(), Ask(40, STOP), beams=1)
    assert tokens_of(found) == [[(STOP,)]] * 3
    assert lm.steps == 1


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, top_p=st.floats(0.05, 1.0))
def test_nucleus_draws_only_from_the_fewest_tokens_that_reach_top_p(seed: int, top_p: float) -> None:
    lm, prefix = TinyLM(seed), prefixes(seed, 4)
    found = sample(lm, prefix, Ask(5, STOP), top_p=top_p, numbers=range(4), seed=seed)
    for row, [hypothesis] in zip(prefix, found, strict=True):
        for place in range(len(hypothesis.tokens)):
            logits, _ = lm.step(torch.cat([row, lm.embed(torch.tensor(hypothesis.tokens[:place], dtype=torch.long))])[None], None)
            probabilities = logits[0].softmax(dim=0)
            better = probabilities[probabilities > probabilities[hypothesis.tokens[place]]].sum().item()
            assert better < top_p + 1e-5
        assert hypothesis.score == pytest.approx(sum(lm.log_probs(row, hypothesis.tokens)) / len(hypothesis.tokens), abs=1e-4)


def test_nucleus_draws_as_often_as_the_probabilities_say() -> None:
    lm, prefix = TinyLM(3), prefixes(3, 1)
    probabilities = lm.step(prefix, None)[0][0].softmax(dim=0)
    count = 4000
    drawn = sample(lm, prefix.expand(count, -1, -1), Ask(1, STOP), top_p=1.0, numbers=range(count), seed=1)
    shares = torch.bincount(torch.tensor([hypotheses[0].tokens[0] for hypotheses in drawn]), minlength=VOCABULARY) / count
    torch.testing.assert_close(shares, probabilities, atol=0.03, rtol=0)


def test_nucleus_gives_the_same_for_a_seed_and_something_else_for_another() -> None:
    lm, prefix = TinyLM(4), prefixes(4, 8)

    def draw(seed: int) -> list[list[tuple[int, ...]]]:
        return tokens_of(sample(lm, prefix, Ask(8, STOP), top_p=0.95, numbers=range(8), seed=seed))

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_what_does_not_fit_into_the_positions_is_refused_with_what_does() -> None:
    assert len(beam_search(TinyLM(0, max_positions=6), prefixes(0), Ask(5, STOP, min_tokens=5), beams=2)[0][0].tokens) == 5
    with pytest.raises(InputError) as caught:
        beam_search(TinyLM(0, max_positions=6), prefixes(0), Ask(6, STOP), beams=2)
    assert caught.value.message == "a prefix of 2 and 6 tokens do not fit into the language model's 6 places"
    assert caught.value.hint == "Set max_tokens to 5 or less."


def test_no_pictures_give_no_captions() -> None:
    lm, none = TinyLM(0), prefixes(0)[:0]
    assert beam_search(lm, none, Ask(3, STOP), beams=2) == []
    assert sample(lm, none, Ask(3, STOP), top_p=0.9, numbers=[], seed=0) == []
