"""What captions must and must not contain, tried on random language models with five tokens against brute force, and on a real tokenizer."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_decoding_laws import PENALTIES, SEEDS, STOP, VOCABULARY, TinyLM, every_sequence, prefixes, tokens_of

from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.decoding.base import Ask, Hypothesis
from clipcap_cli.captioner.decoding.beam import beam_search
from clipcap_cli.captioner.decoding.contrastive import contrastive_search
from clipcap_cli.captioner.decoding.required import Phrase, Required, required_search
from clipcap_cli.captioner.decoding.rules import Rules, has_word
from clipcap_cli.captioner.decoding.sampling import sample
from clipcap_cli.captioner.decoding.settings import change_decoding
from clipcap_cli.captioner.lm_loading import load_language_model
from clipcap_cli.errors import InputError
from clipcap_cli.recipe.schema import Decode

PHRASES = st.lists(st.sampled_from([t for t in range(VOCABULARY) if t != STOP]), min_size=1, max_size=2).map(tuple)


def best(found: list[list[Hypothesis]]) -> tuple[int, ...]:
    return found[0][0].tokens


def score(lm: TinyLM, prefix: torch.Tensor, tokens: tuple[int, ...], penalty: float) -> float:
    return sum(lm.log_probs(prefix, tokens)) / len(tokens) ** penalty


def repeats(tokens: tuple[int, ...], length: int) -> bool:
    runs = [tokens[start : start + length] for start in range(len(tokens) - length + 1)]
    return len(runs) != len(set(runs))


def contains(tokens: tuple[int, ...], phrase: tuple[int, ...]) -> bool:
    return any(tokens[start : start + len(phrase)] == phrase for start in range(len(tokens)))


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, length=st.integers(1, 3), penalty=PENALTIES)
def test_without_repeated_runs_a_wide_beam_finds_the_best_of_what_is_left(seed: int, length: int, penalty: float) -> None:
    lm, prefix = TinyLM(seed), prefixes(seed, 1)
    ask = Ask(3, STOP, length_penalty=penalty, rules=Rules(no_repeat_ngram=length))
    allowed = [tokens for tokens in every_sequence(3) if not repeats(tokens, length)]
    [found] = beam_search(lm, prefix, ask, beams=200)
    assert {hypothesis.tokens for hypothesis in found} == set(allowed)
    assert found[0].score == pytest.approx(max(score(lm, prefix[0], tokens, penalty) for tokens in allowed), abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, length=st.integers(1, 3), beams=st.integers(1, 4))
def test_no_way_of_decoding_repeats_a_run_that_must_not_be_repeated(seed: int, length: int, beams: int) -> None:
    lm, prefix, ask = TinyLM(seed), prefixes(seed), Ask(4, STOP, rules=Rules(no_repeat_ngram=length))
    for found in (
        beam_search(lm, prefix, ask, beams=beams),
        sample(lm, prefix, ask, top_p=1.0, numbers=range(3), seed=seed, samples=2),
        contrastive_search(lm, prefix, ask, top_k=VOCABULARY, contrast=0.5),
    ):
        assert not any(repeats(hypothesis.tokens, length) for hypotheses in found for hypothesis in hypotheses)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, penalty=st.floats(1.1, 5.0))
def test_a_repetition_penalty_divides_what_was_made(seed: int, penalty: float) -> None:
    lm, prefix = TinyLM(seed), prefixes(seed, 1)
    expected: tuple[int, ...] = ()
    while len(expected) < 6 and STOP not in expected:
        logits = lm.step(torch.cat([prefix[0], lm.embed(torch.tensor(expected, dtype=torch.long))])[None], None)[0][0]
        for token in set(expected):
            logits[token] = logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
        expected = (*expected, int(logits.argmax()))
    assert best(beam_search(lm, prefix, Ask(6, STOP, rules=Rules(repetition_penalty=penalty)), beams=1)) == expected


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, phrases=st.lists(PHRASES, min_size=1, max_size=2), penalty=PENALTIES)
def test_with_required_words_a_wide_beam_finds_the_best_caption_that_has_them(seed: int, phrases: list[tuple[int, ...]], penalty: float) -> None:
    lm, prefix = TinyLM(seed), prefixes(seed, 1)
    required = Required(tuple(Phrase((phrase,)) for phrase in phrases))
    if sum(map(len, phrases)) > 4 or len({token for phrase in phrases for token in set(phrase)}) < sum(len(set(phrase)) for phrase in phrases):
        return  # words that share tokens may be written with fewer than both take, which the search does not count on
    allowed = [tokens for tokens in every_sequence(4) if all(contains(tokens, phrase) for phrase in phrases)]
    [found] = required_search(lm, prefix, Ask(4, STOP, length_penalty=penalty), required, beams=1000)
    assert all(hypothesis.tokens in allowed for hypothesis in found)
    assert found[0].score == pytest.approx(max(score(lm, prefix[0], tokens, penalty) for tokens in allowed), abs=1e-4)
    assert found[0].score == pytest.approx(score(lm, prefix[0], found[0].tokens, penalty), abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, phrases=st.lists(PHRASES, min_size=1, max_size=3), beams=st.integers(1, 4), spare=st.integers(0, 4))
def test_every_caption_contains_every_required_word_however_narrow_the_search(seed: int, phrases: list[tuple[int, ...]], beams: int, spare: int) -> None:
    lm, prefix = TinyLM(seed), prefixes(seed)
    required = Required(tuple(Phrase((phrase,)) for phrase in phrases))
    longest = sum(map(len, phrases)) + spare
    for hypotheses in required_search(lm, prefix, Ask(longest, STOP), required, beams=beams):
        assert 1 <= len(hypotheses) <= beams
        for hypothesis in hypotheses:
            assert all(contains(hypothesis.tokens, phrase) for phrase in phrases)
            assert len(hypothesis.tokens) <= longest
            assert hypothesis.stopped == (hypothesis.tokens[-1] == STOP)


def test_required_words_that_do_not_fit_are_refused_with_what_would() -> None:
    with pytest.raises(InputError, match="the required words take 3 tokens, and a caption has 2") as caught:
        required_search(TinyLM(0), prefixes(0), Ask(2, STOP), Required((Phrase(((0, 1, 3),)),)), beams=2)
    assert caught.value.hint == "Set it to 3 or more."


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, top_k=st.integers(1, VOCABULARY), contrast=st.floats(0.0, 1.0))
def test_contrastive_search_does_what_the_formula_says(seed: int, top_k: int, contrast: float) -> None:
    lm, prefix = TinyLM(seed), prefixes(seed, 2)
    for picture, found in zip(prefix, contrastive_search(lm, prefix, Ask(5, STOP), top_k=top_k, contrast=contrast), strict=True):
        tokens: tuple[int, ...] = ()
        while len(tokens) < 5 and STOP not in tokens:
            logits, states, _ = lm.step_hidden(torch.cat([picture, lm.embed(torch.tensor(tokens, dtype=torch.long))])[None], None)
            probabilities = logits[0].softmax(0)
            marks = {}
            for token in probabilities.topk(top_k).indices.tolist():
                _, after, _ = lm.step_hidden(torch.cat([picture, lm.embed(torch.tensor((*tokens, token)))])[None], None)
                likeness = torch.cosine_similarity(after[0, -1:], states[0]).max().item()
                marks[token] = (1 - contrast) * probabilities[token].item() - contrast * likeness
            ordered = sorted(marks.values(), reverse=True)
            if len(ordered) > 1 and ordered[0] - ordered[1] < 1e-5:
                return  # a tie that rounding decides
            tokens = (*tokens, max(marks, key=lambda token: marks[token]))
        assert found[0].tokens == tokens
        assert found[0].score == pytest.approx(score(lm, picture, tokens, 1.0), abs=1e-4)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, top_k=st.integers(1, VOCABULARY))
def test_top_k_draws_from_the_likeliest_only(seed: int, top_k: int) -> None:
    lm, prefix = TinyLM(seed), prefixes(seed, 4)
    for row, [hypothesis] in zip(prefix, sample(lm, prefix, Ask(5, STOP), top_p=1.0, top_k=top_k, numbers=range(4), seed=seed), strict=True):
        for place, token in enumerate(hypothesis.tokens):
            logits, _ = lm.step(torch.cat([row, lm.embed(torch.tensor(hypothesis.tokens[:place], dtype=torch.long))])[None], None)
            assert (logits[0] > logits[0, token]).sum() < top_k


def test_several_samples_of_a_picture_differ_come_best_first_and_do_not_depend_on_the_batch() -> None:
    lm, prefix = TinyLM(7), prefixes(7, 3)
    together = sample(lm, prefix, Ask(8, STOP), top_p=1.0, numbers=range(3), seed=1, samples=6)
    alone = [sample(lm, prefix[number : number + 1], Ask(8, STOP), top_p=1.0, numbers=[number], seed=1, samples=6)[0] for number in range(3)]
    assert tokens_of(together) == tokens_of(alone)
    for hypotheses in together:
        assert len(hypotheses) == 6
        assert len({hypothesis.tokens for hypothesis in hypotheses}) > 1
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_a_batch_gives_what_one_by_one_gives_with_rules_too(seed: int) -> None:
    lm, prefix = TinyLM(seed), prefixes(seed, 4)
    ask = Ask(6, STOP, min_tokens=2, temperature=1.3, rules=Rules(repetition_penalty=1.5, no_repeat_ngram=2))
    ways: list[Callable[[torch.Tensor], Any]] = [
        lambda rows: beam_search(lm, rows, ask, beams=3),
        lambda rows: contrastive_search(lm, rows, ask, top_k=3, contrast=0.6),
        lambda rows: required_search(lm, rows, ask, Required((Phrase(((0, 1),)),)), beams=2),
    ]
    for way in ways:
        assert tokens_of(way(prefix)) == [tokens_of(way(row[None]))[0] for row in prefix]


def test_words_are_found_as_words() -> None:
    assert has_word("A bowl of Ramen.", "ramen")
    assert has_word("two  ice\ncreams and an ICE cream", "ice cream")
    assert not has_word("Bananas and bands", "ban")


# With a real tokenizer: whatever random weights want to say.


def captions(captioner: Captioner, count: int = 12, **decode: Any) -> list[str]:
    embeddings = np.random.default_rng(0).normal(size=(count, 6)).astype(np.float32)
    found = captioner.caption_embeddings(embeddings, change_decoding(captioner.decode, decode))
    return [candidate.text for caption in found for candidate in caption.candidates]


WAYS: list[dict[str, Any]] = [{"beams": 4}, {"strategy": "greedy"}, {"samples": 4}, {"contrast": 0.5}]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_banned_word_is_in_no_caption(way: dict[str, Any], make_captioner: Callable[..., Captioner]) -> None:
    captioner = make_captioner(max_tokens=12, temperature=4.0)
    said = captions(captioner, **way)
    words = {word for text in said for word in re.findall(r"[a-z]+", text.lower())}
    often = max(words, key=lambda word: (sum(has_word(text, word) for text in said), word))
    assert sum(has_word(text, often) for text in said) > 1
    assert not any(has_word(text, often) for text in captions(captioner, **way, banned=(often.upper(),)))


@pytest.mark.parametrize("words", [("dog",), ("ramen",), ("Two red apples", "wave"), ("crème brûlée",)], ids=str)
def test_a_required_word_is_in_every_caption(words: tuple[str, ...], make_captioner: Callable[..., Captioner]) -> None:
    said = captions(make_captioner(max_tokens=40), required=words, beams=3)
    assert len(said) == 36
    assert all(has_word(text, word) for text in said for word in words)


def test_pieces_are_what_tokens_add_to_a_text(gpt2_folder: Path) -> None:
    language_model = load_language_model(str(gpt2_folder))
    text = "A dog runs on the grass. Two red apples!"
    [ids] = language_model.tokenize([text])
    assert "".join(language_model.pieces[token] for token in ids) == text
    assert language_model.pieces[language_model.end_token] == ""
    assert len(language_model.pieces) == language_model.vocabulary


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"banned": ("ramen",), "required": ("a bowl of Ramen",)}, "'a bowl of Ramen' is required and 'ramen' is banned"),
        ({"banned": ("...",)}, "'...' is no word that could be banned"),
        ({"required": (" ",)}, "' ' is no word that could be required"),
        ({"required": ("dog",), "strategy": "greedy"}, "required words need the strategy beam, not greedy"),
        ({"samples": 3, "strategy": "beam"}, "several samples need the strategy sample, not beam"),
    ],
)
def test_what_cannot_be_asked_for_is_told(settings: dict[str, Any], message: str, make_captioner: Callable[..., Captioner]) -> None:
    with pytest.raises(InputError) as caught:
        captions(make_captioner(), **settings)
    assert message in str(caught.value)


def test_a_setting_brings_its_strategy_and_leaves_what_belonged_to_the_other() -> None:
    drawn = change_decoding(Decode(), {"samples": 3})
    assert (drawn.strategy, drawn.samples) == ("sample", 3)
    again = change_decoding(drawn, {"beams": 2, "top_k": 4})
    assert (again.strategy, again.samples) == ("beam", 1)
    assert change_decoding(drawn, {"contrast": 0.3, "top_k": 4}).strategy == "contrastive"
    assert change_decoding(Decode.model_validate({"required": ["a"]}), {"strategy": "greedy"}).required == ()
    assert math.isclose(Decode.model_validate({"strategy": "nucleus"}).top_p, 0.9)
    assert Decode.model_validate({"strategy": "nucleus"}).strategy == "sample"  # what it was called before
