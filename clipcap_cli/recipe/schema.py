"""Every key of a recipe: its type, range, default and one line of help. The reference in docs/ is made from this file."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from clipcap_cli.errors import InputError
from clipcap_cli.recipe.presets import PRESETS
from clipcap_cli.storage.names import check_name
from clipcap_cli.words import sentences

Share = Annotated[float, Field(ge=0.0, le=1.0)]

_MANY = 10**9  # more than anybody means


class Part(BaseModel):
    """A section of a recipe: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True, allow_inf_nan=False)


class DatasetPart(Part):
    """Which pictures and captions are learned from."""

    name: str | None = Field(None, description="Name of a dataset (`clipcap dataset list`).")
    version: int | None = Field(
        None, ge=1, le=_MANY, description="Version of the dataset; null for the current one. A run's own recipe names the one it was made with."
    )
    train: str = Field("train", min_length=1, description="Split to learn from.")
    val: str | None = Field("val", description="Split to validate on; null to train without validation.")
    texts: str | None = Field(
        None,
        description="Learn from text alone (CapDec): a file with a caption a line, or `captions` for those of the split `train`. "
        "Needs an encoder with a text tower; set encoder.noise too.",
    )


class EncoderPart(Part):
    """What turns a picture into a vector. It is never trained."""

    name: str = Field(
        "openai:ViT-B/32", min_length=1, description="`openai:MODEL`, `hf:ID_OR_FOLDER` or `efficientnet-lite0`; `clipcap doctor` lists what can be used."
    )
    normalize: bool = Field(True, description="Divide each embedding by its length (L2).")
    standardize: bool = Field(
        False,
        description="Then shift and scale each dimension to mean 0, deviation 1 over the training pictures; for features that were not made to be compared.",
    )
    noise: float = Field(0.0, ge=0.0, description="Deviation of the Gaussian noise added to each prepared embedding while training (CapDec).")


class MapperPart(Part):
    """The network that turns an embedding into the prefix."""

    preset: Literal["auto", "small", "medium", "large"] | None = Field(
        None, description="Sets the keys below that are not written out; `auto` chooses by the number of training captions."
    )
    kind: Literal["mlp", "transformer", "linear"] = Field("mlp", description="ClipCap's `mlp` or `transformer`, or one `linear` layer.")
    prefix_length: int = Field(10, ge=1, le=512, description="Vectors that the language model gets instead of words (K).")
    clip_length: int = Field(10, ge=1, le=512, description="`transformer` only: vectors that the embedding is spread over (C).")
    layers: int = Field(8, ge=1, le=64, description="`transformer` only: layers.")
    heads: int = Field(8, ge=1, le=128, description="`transformer` only: attention heads; must divide the language model's width.")

    @model_validator(mode="before")
    @classmethod
    def _preset_fills_the_rest(cls, values: Any) -> Any:
        preset = PRESETS.get(str(values.get("preset"))) if isinstance(values, dict) else None
        return {**preset, **values} if preset else values


class LanguageModelPart(Part):
    """What continues the prefix with a caption."""

    name: str = Field("gpt2", min_length=1, description="`builtin:nano`, a hub id, or a folder with any causal language model of transformers.")
    tune: Literal["frozen", "lora", "full"] = Field(
        "full", description="`full` trains it together with the mapper, `lora` small adapters in its place (extra `lora`); `frozen` trains the mapper alone."
    )
    lora_rank: int = Field(8, ge=1, le=512, description="`lora` only: rank of each adapter.")
    lora_alpha: float = Field(16.0, gt=0.0, description="`lora` only: what an adapter adds is multiplied by this / rank.")
    lora_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.0, description="`lora` only: dropout in front of each adapter.")


# What the published training code does, where a recipe with its objective says nothing else.
_ORIGINAL = {"optimizer": "hfadamw", "weight_decay": 0.0, "clip_grad": None}
_ORIGINAL_WARMUP_STEPS = 5000


class TrainPart(Part):
    """How it is learned."""

    objective: Literal["standard", "original"] = Field(
        "standard",
        description="`standard` ends captions with the end token; `original` is the published code's: no end token, token 0 never learned, long captions cut, "
        "incomplete batches dropped. It also sets optimizer, weight_decay, clip_grad and warmup_steps as there, where they are not written out.",
    )
    optimizer: Literal["adamw", "hfadamw"] = Field("adamw", description="`hfadamw` is the AdamW that transformers once had, which the published code used.")
    epochs: int = Field(10, ge=1, le=_MANY, description="Passes over the training captions.")
    steps: int | None = Field(None, ge=1, le=_MANY, description="Steps of the optimiser in the place of `epochs`, as many epochs as that takes.")
    batch_size: int = Field(40, ge=1, le=_MANY, description="Captions in one batch.")
    lr: float = Field(2.0e-5, gt=0.0, description="Peak learning rate (AdamW).")
    lm_lr: float | None = Field(None, gt=0.0, description="Peak learning rate of the language model; null for the same as `lr`.")
    warmup: Share = Field(0.06, description="Share of the steps over which the rate rises from zero; then it falls linearly to zero.")
    warmup_steps: int | None = Field(None, ge=0, le=_MANY, description="Steps over which the rate rises, in the place of `warmup`.")
    weight_decay: float = Field(0.01, ge=0.0, description="Decay of weight matrices; norms and biases are left out.")
    clip_grad: float | None = Field(1.0, gt=0.0, description="Greatest norm of the gradient; null for no limit.")
    accumulate: int = Field(1, ge=1, le=_MANY, description="Batches whose gradients are added up for one step.")
    label_smoothing: Share = Field(0.0, description="Share of the target probability spread over the vocabulary.")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.0, description="Dropout inside the language model while it is tuned.")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="`auto` is bf16 where this machine is faster with it.")
    validate_every: int = Field(500, ge=1, le=_MANY, description="Steps between validations; there is always one at the end.")
    select_by: Literal["cider", "cider-d", "bleu-4", "rouge-l", "loss"] = Field(
        "cider", description="What makes a validation the best one: a score of the captions that are written then, or the validation loss."
    )
    select_pictures: int = Field(
        200,
        ge=1,
        le=_MANY,
        description="Pictures of the validation split, evenly taken, that are captioned and scored at each validation; all where it has fewer.",
    )
    patience: int | None = Field(5, ge=1, description="Validations in a row that are no better by `select_by` before training stops early; null for never.")
    max_minutes: float | None = Field(None, gt=0.0, description="Stop after this many minutes of training; the learning rate is not planned by it.")
    trackers: tuple[str, ...] = Field(
        (), description="Who else gets losses and scores: `tensorboard`, `wandb`, `trackio` (each an extra), or what another package adds; offline."
    )

    @model_validator(mode="before")
    @classmethod
    def _original_is_original(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("objective") != "original":
            return values
        warmup = {} if "warmup" in values else {"warmup_steps": _ORIGINAL_WARMUP_STEPS}
        return {**_ORIGINAL, **warmup, **values}


class CheckpointPart(Part):
    """When a training is written down so that it can be gone on with, and what of that is kept. Bits do not depend on it."""

    every_steps: int | None = Field(None, ge=1, description="Steps between checkpoints; null to go by time alone. One is always made when a run is stopped.")
    every_minutes: float | None = Field(10.0, gt=0.0, description="Minutes between checkpoints; null to go by steps alone.")
    keep_last: int = Field(1, ge=1, le=1000, description="Newest checkpoints that are kept while a run is not finished.")
    keep_best: int = Field(0, ge=0, le=1000, description="Checkpoints of the best validations that are kept for good, beside the bundle `best`.")
    keep_every: int | None = Field(None, ge=1, description="The checkpoint of each multiple of this many steps is made and kept for good.")
    keep_optimizer: bool = Field(False, description="Keep the optimiser's state (twice the size of what is trained) when a run has finished.")


class Decode(Part):
    """How captions are written, by default; `clipcap caption` has an option for each."""

    strategy: Annotated[Literal["greedy", "beam", "sample", "contrastive"], BeforeValidator(lambda value: "sample" if value == "nucleus" else value)] = Field(
        "beam", description="`beam` search, `greedy` choice, `sample` to draw, or `contrastive` search."
    )
    beams: int = Field(5, ge=1, le=100, description="Width of the beam search.")
    max_tokens: int = Field(40, ge=1, le=1024, description="Longest caption, in tokens.")
    min_tokens: int = Field(1, ge=1, le=1024, description="Shortest caption, in tokens.")
    stop: str | None = Field(None, description='Text that ends a caption (one token, as "."); null for the language model\'s end token.')
    length_penalty: float = Field(
        1.0, ge=0.0, le=5.0, description="Beams are ranked by sum of log-probabilities / length ** this; 1 is their average, as published."
    )
    temperature: float = Field(1.0, gt=0.0, le=100.0, description="Logits are divided by this.")
    top_p: float = Field(0.9, gt=0.0, le=1.0, description="`sample` only: probability of the smallest set of tokens that is drawn from.")
    top_k: int | None = Field(
        None, ge=1, le=10_000, description="`sample`: draw from this many of the likeliest tokens at most. `contrastive`: choose among this many (null for 4)."
    )
    samples: int = Field(1, ge=1, le=100, description="`sample` only: captions drawn for each picture; the likeliest one comes first.")
    contrast: Share = Field(0.6, description="`contrastive` only: weight of being unlike what was written before, against being likely.")
    no_repeat_ngram: int | None = Field(None, ge=1, le=20, description="No run of this many tokens comes twice in a caption.")
    repetition_penalty: float = Field(
        1.0, ge=1.0, le=10.0, description="Logits of tokens that the caption has already are divided by this (multiplied where negative); 1 changes nothing."
    )
    banned: tuple[str, ...] = Field((), description="Words or phrases that no caption contains.")
    required: tuple[str, ...] = Field((), description='Words or phrases that every caption contains, as "ramen"; `beam` only.')

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        if self.min_tokens > self.max_tokens:
            raise ValueError(f"min_tokens {self.min_tokens} is more than max_tokens {self.max_tokens}")
        if self.required and self.strategy != "beam":
            raise ValueError(f"required words need the strategy beam, not {self.strategy}")
        if self.samples > 1 and self.strategy != "sample":
            raise ValueError(f"several samples need the strategy sample, not {self.strategy}")
        return self


class Recipe(Part):
    """Everything that a run depends on, with a default for each key but the dataset's name."""

    name: str = Field("captioner", description="Name of the run; a number is added when it is taken.")
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of everything that is drawn: weights, order, noise, dropout.")
    dataset: DatasetPart = Field(default_factory=lambda: DatasetPart.model_validate({}), description="Which pictures and captions are learned from.")
    encoder: EncoderPart = Field(default_factory=lambda: EncoderPart.model_validate({}), description="What turns a picture into a vector.")
    mapper: MapperPart = Field(default_factory=lambda: MapperPart.model_validate({}), description="The network that turns an embedding into the prefix.")
    language_model: LanguageModelPart = Field(
        default_factory=lambda: LanguageModelPart.model_validate({}), description="What continues the prefix with a caption."
    )
    init: str | None = Field(None, description="A model, run or bundle to start from: its mapper and language model, of the same shapes.")
    train: TrainPart = Field(default_factory=lambda: TrainPart.model_validate({}), description="How it is learned.")
    checkpoints: CheckpointPart = Field(
        default_factory=lambda: CheckpointPart.model_validate({}), description="When a training is written down, to be gone on with."
    )
    decode: Decode = Field(default_factory=lambda: Decode.model_validate({}), description="How captions are written, by default.")

    @field_validator("name")
    @classmethod
    def _can_name_a_folder(cls, name: str) -> str:
        try:
            return check_name(name, "run")
        except InputError as error:
            raise ValueError(sentences(error.message, error.hint or "")) from error
