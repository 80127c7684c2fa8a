"""From prefixes to tokens: beam search, greedy choice, sampling, contrastive search, and what a caption must or must not contain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clipcap_cli.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from clipcap_cli.captioner.decoding.base import Hypothesis
    from clipcap_cli.captioner.language_models import LanguageModel
    from clipcap_cli.recipe.schema import Decode

_WORD = "a"  # some tokenizers write a token differently at the beginning of a text than after a word
_CONTRASTED = 4  # tokens that contrastive search compares, where nothing is said


def continue_prefixes(
    language_model: LanguageModel, prefix: Tensor, decode: Decode, *, stop: int, min_tokens: int, numbers: Sequence[int], seed: int
) -> list[list[Hypothesis]]:
    """Continuations of each prefix [n, prefix_length, lm_width], best first, by the strategy of `decode`.

    Args:
        stop: the token that ends a continuation.
        min_tokens: the stop token cannot be any of the tokens before this one.
        numbers: of each prefix, its number in the whole call (for what is drawn).
        seed: of what is drawn.

    Raises:
        InputError: prefix and tokens do not fit into the language model's positions, or words are banned or required that cannot be.
    """
    from clipcap_cli.captioner.decoding.base import Ask
    from clipcap_cli.captioner.decoding.beam import beam_search
    from clipcap_cli.captioner.decoding.contrastive import contrastive_search
    from clipcap_cli.captioner.decoding.required import required_of, required_search
    from clipcap_cli.captioner.decoding.rules import rules_of
    from clipcap_cli.captioner.decoding.sampling import sample

    ask = Ask(decode.max_tokens, stop, min_tokens, decode.temperature, decode.length_penalty, rules_of(decode, language_model))
    if decode.strategy == "sample":
        return sample(language_model, prefix, ask, top_p=decode.top_p, top_k=decode.top_k, samples=decode.samples, numbers=numbers, seed=seed)
    if decode.strategy == "contrastive":
        return contrastive_search(language_model, prefix, ask, top_k=decode.top_k or _CONTRASTED, contrast=decode.contrast)
    if decode.required:
        return required_search(language_model, prefix, ask, required_of(decode.required, language_model), beams=decode.beams)
    return beam_search(language_model, prefix, ask, beams=decode.beams if decode.strategy == "beam" else 1)


def stop_token(language_model: LanguageModel, stop: str | None) -> int:
    """The id of the text that ends a caption; the end token where there is none.

    Raises:
        InputError: it is not one token for this language model.
    """
    if stop is None:
        return language_model.end_token
    word, ended, alone = language_model.tokenize([_WORD, _WORD + stop, stop])
    if len(ended) == len(word) + 1 and ended[:-1] == word:
        return ended[-1]
    if len(alone) == 1:
        return alone[0]
    raise InputError(
        f"the stop text {stop!r} is {len(alone)} tokens for the language model {language_model.name!r}, and must be one",
        where="decode.stop",
        hint='Use a text such as ".", or leave it out to stop at the end token.',
    )
