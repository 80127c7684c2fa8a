"""Options of a request: how its captions are written, within bounds that keep one request from taking the server for itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from clipcap_cli.captioner.decoding.settings import change_decoding
from clipcap_cli.errors import InputError
from clipcap_cli.recipe.schema import Decode

Phrase = Annotated[str, StringConstraints(min_length=1, max_length=40, strip_whitespace=True)]

# The strategies that a setting means something to; all others know every strategy.
_ONLY_FOR = {
    "beams": ("beam",),
    "samples": ("sample",),
    "top_p": ("sample",),
    "top_k": ("sample", "contrastive"),
    "contrast": ("contrastive",),
    "required": ("beam",),
    "candidates": ("beam", "sample"),
}


class Options(BaseModel):
    """The query of POST /v1/caption. What is not given is as the model has it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(None, description="Name of a model of GET /v1/models.")
    strategy: Literal["greedy", "beam", "sample", "contrastive"] | None = Field(None, description="How words are chosen.")
    beams: int | None = Field(None, ge=1, le=16, description="`beam` only: width of the search.")
    candidates: int = Field(1, ge=1, le=16, description="`beam` and `sample`: captions for each picture, best first. A beam search is at least as wide.")
    samples: int | None = Field(None, ge=1, le=16, description="`sample` only: captions drawn for each picture, best first.")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="`sample` only: another seed, another caption.")
    max_tokens: int | None = Field(None, ge=1, le=128, description="Longest caption, in tokens.")
    min_tokens: int | None = Field(None, ge=1, le=128, description="Shortest caption, in tokens.")
    length_penalty: float | None = Field(None, ge=0.0, le=5.0, description="Captions are ranked by log-probability / length ** this.")
    temperature: float | None = Field(None, ge=0.05, le=5.0, description="Logits are divided by this.")
    top_p: float | None = Field(None, ge=0.01, le=1.0, description="`sample` only: probability of the tokens that are drawn from.")
    top_k: int | None = Field(None, ge=1, le=1000, description="`sample` and `contrastive`: how many tokens are looked at.")
    contrast: float | None = Field(None, ge=0.0, le=1.0, description="`contrastive` only: weight of being unlike, against being likely.")
    no_repeat_ngram: int | None = Field(None, ge=1, le=20, description="No run of this many tokens comes twice.")
    repetition_penalty: float | None = Field(None, ge=1.0, le=10.0, description="Tokens that the caption has already are made less likely; 1 changes nothing.")
    banned: list[Phrase] = Field([], max_length=8, description="A word or phrase that no caption contains; may be repeated.")
    required: list[Phrase] = Field([], max_length=4, description="`beam` only: a word or phrase that every caption contains; may be repeated.")


@dataclass(frozen=True)
class Asked:
    """What a request asks for: how to write, the seed of what is drawn, and how many captions are sent back for each picture."""

    decode: Decode
    seed: int
    candidates: int


def asked_of(options: Options, own: Decode) -> Asked:
    """What is asked for, by the rules of `clipcap caption`.

    Args:
        own: how the model writes by itself.

    Raises:
        InputError: settings do not go together.
    """
    changes = {name: value for name, value in options.model_dump(exclude={"model", "seed", "candidates"}).items() if value not in (None, [])}
    candidates = options.candidates
    strategy = changes.get("strategy")
    if strategy == "sample" and "samples" not in changes and candidates > 1:
        changes["samples"] = candidates
    if "samples" in changes:
        candidates = max(candidates, changes["samples"])
    elif candidates > 1 and strategy in (None, "beam"):  # a beam search has as many as it is wide
        changes |= {"strategy": "beam", "beams": max(candidates, changes.get("beams", own.beams))}
    decode = change_decoding(own, changes)
    for name, strategies in _ONLY_FOR.items():
        if decode.strategy not in strategies and (options.candidates > 1 if name == "candidates" else name in changes):
            raise InputError(f"{name} needs strategy={' or strategy='.join(strategies)}, and this would be strategy={decode.strategy}")
    return Asked(decode, options.seed if decode.strategy == "sample" else 0, candidates)


def bounds() -> dict[str, list[float]]:
    """The least and the greatest value of each number that may be asked for."""
    found: dict[str, list[float]] = {}
    for name, field in Options.model_fields.items():
        limits = {key: getattr(rule, key) for rule in field.metadata for key in ("ge", "le") if hasattr(rule, key)}
        if limits:
            found[name] = [limits["ge"], limits["le"]]
    return found
