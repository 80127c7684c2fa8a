"""Every key of a recipe: its type, range, default and one line of help. The reference in docs/ is made from this file."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Part(BaseModel):
    """A section of a recipe: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True, allow_inf_nan=False)


class DatasetPart(Part):
    """Which pictures and captions are learned from."""

    name: str | None = Field(None, description="Name of a dataset (`clipcap dataset list`).")
    train: str = Field("train", min_length=1, description="Split to learn from.")
    val: str | None = Field("val", description="Split to validate on; null to train without validation.")


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

    kind: Literal["mlp", "transformer", "linear"] = Field("mlp", description="ClipCap's `mlp` or `transformer`, or one `linear` layer.")
    prefix_length: int = Field(10, ge=1, le=512, description="Vectors that the language model gets instead of words (K).")
    clip_length: int = Field(10, ge=1, le=512, description="`transformer` only: vectors that the embedding is spread over (C).")
    layers: int = Field(8, ge=1, le=64, description="`transformer` only: layers.")
    heads: int = Field(8, ge=1, le=128, description="`transformer` only: attention heads; must divide the language model's width.")


class LanguageModelPart(Part):
    """What continues the prefix with a caption."""

    name: str = Field("gpt2", min_length=1, description="`builtin:nano`, a hub id, or a folder with any causal language model of transformers.")
    tune: Literal["frozen", "full"] = Field("full", description="`full` trains it together with the mapper; `frozen` trains the mapper alone.")


class TrainPart(Part):
    """How it is learned."""

    epochs: int = Field(10, ge=1, description="Passes over the training captions.")
    batch_size: int = Field(40, ge=1, description="Captions in one batch.")
    lr: float = Field(2.0e-5, gt=0.0, description="Peak learning rate (AdamW).")
    lm_lr: float | None = Field(None, gt=0.0, description="Peak learning rate of the language model; null for the same as `lr`.")
    warmup: Share = Field(0.06, description="Share of the steps over which the rate rises from zero; then it falls linearly to zero.")
    weight_decay: float = Field(0.01, ge=0.0, description="Decay of weight matrices; norms and biases are left out.")
    clip_grad: float | None = Field(1.0, gt=0.0, description="Greatest norm of the gradient; null for no limit.")
    accumulate: int = Field(1, ge=1, description="Batches whose gradients are added up for one step.")
    label_smoothing: Share = Field(0.0, description="Share of the target probability spread over the vocabulary.")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.0, description="Dropout inside the language model while it is tuned.")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="`auto` is bf16 where this machine is faster with it.")
    validate_every: int = Field(500, ge=1, description="Steps between validations; there is always one at the end.")
    patience: int | None = Field(5, ge=1, description="Validations without a better loss before training stops early; null for never.")
    max_minutes: float | None = Field(None, gt=0.0, description="Stop after this many minutes of training; the learning rate is not planned by it.")


class Decode(Part):
    """How captions are written, by default; `clipcap caption` has an option for each."""

    strategy: Literal["greedy", "beam", "nucleus"] = Field("beam", description="`beam` search, `greedy` choice, or `nucleus` sampling.")
    beams: int = Field(5, ge=1, le=100, description="Width of the beam search.")
    max_tokens: int = Field(40, ge=1, le=1024, description="Longest caption, in tokens.")
    min_tokens: int = Field(1, ge=1, le=1024, description="Shortest caption, in tokens.")
    stop: str | None = Field(None, description='Text that ends a caption (one token, as "."); null for the language model\'s end token.')
    length_penalty: float = Field(
        1.0, ge=0.0, le=5.0, description="Beams are ranked by sum of log-probabilities / length ** this; 1 is their average, as published."
    )
    temperature: float = Field(1.0, gt=0.0, le=100.0, description="Logits are divided by this.")
    top_p: float = Field(0.9, gt=0.0, le=1.0, description="`nucleus` only: probability of the smallest set of tokens that is drawn from.")

    @model_validator(mode="after")
    def _shortest_is_not_longest(self) -> Self:
        if self.min_tokens > self.max_tokens:
            raise ValueError(f"min_tokens {self.min_tokens} is more than max_tokens {self.max_tokens}")
        return self


class Recipe(Part):
    """Everything that a run depends on, with a default for each key but the dataset's name."""

    name: str = Field("captioner", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="Name of the run; a number is added when it is taken.")
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of everything that is drawn: weights, order, noise, dropout.")
    dataset: DatasetPart = Field(default_factory=lambda: DatasetPart.model_validate({}), description="Which pictures and captions are learned from.")
    encoder: EncoderPart = Field(default_factory=lambda: EncoderPart.model_validate({}), description="What turns a picture into a vector.")
    mapper: MapperPart = Field(default_factory=lambda: MapperPart.model_validate({}), description="The network that turns an embedding into the prefix.")
    language_model: LanguageModelPart = Field(
        default_factory=lambda: LanguageModelPart.model_validate({}), description="What continues the prefix with a caption."
    )
    init: str | None = Field(None, description="A model, run or bundle to start from: its mapper and language model, of the same shapes.")
    train: TrainPart = Field(default_factory=lambda: TrainPart.model_validate({}), description="How it is learned.")
    decode: Decode = Field(default_factory=lambda: Decode.model_validate({}), description="How captions are written, by default.")
