"""A captioner: what is done to embeddings, the mapper, the language model, and how captions are written by default."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from clipcap_cli.captioner.decoding import continue_prefixes, stop_token
from clipcap_cli.captioner.decoding.base import Hypothesis
from clipcap_cli.captioner.decoding.settings import change_decoding
from clipcap_cli.captioner.language_models import LanguageModel
from clipcap_cli.captioner.mappers import Mapper, Preparation
from clipcap_cli.encoders.devices import telling_device
from clipcap_cli.errors import ClipcapError, InputError
from clipcap_cli.events import Advanced, Finished, Listener, Started, silent
from clipcap_cli.recipe.schema import Decode
from clipcap_cli.storage.home import Home

if TYPE_CHECKING:
    import PIL.Image

    from clipcap_cli.encoders.base import ImageEncoder

    Picture = str | os.PathLike[str] | PIL.Image.Image | np.ndarray


@dataclass(frozen=True)
class Candidate:
    """A caption that was considered.

    Attributes:
        score: sum of the log-probabilities of its tokens / number of tokens ** length_penalty; by default their average.
    """

    text: str
    score: float


@dataclass(frozen=True)
class Caption:
    """The caption of a picture.

    Attributes:
        text: the best candidate's.
        score: the best candidate's.
        candidates: all that were kept, best first; beam search gives as many as it is wide.
        tokens: ids of the text, without the language model's end token.
        source: the picture's path; None where it had none.
    """

    text: str
    score: float
    candidates: tuple[Candidate, ...]
    tokens: tuple[int, ...]
    source: str | None = None


@dataclass(frozen=True)
class InsideEncoder:
    """The encoder that a bundle brings with it: what `load_encoder` takes, and the fingerprint that it has then."""

    spec: str
    fingerprint: str


@dataclass(eq=False)
class Captioner:
    """Encoder, mapper and language model as one; the encoder is loaded when the first picture comes.

    Attributes:
        encoder_spec: such as "openai:ViT-B/32".
        encoder_fingerprint: of the encoder that it was trained with.
        preparation, mapper, language_model: all on one device.
        decode: how captions are written unless something else is asked for.
        info: what is worth keeping about its making (dataset, training); plain JSON values.
        home: where the encoder's weights lie; None for the default store.
        inside: the encoder of the bundle that it was loaded from, where that has one; it is taken then.
        copies: of it on other devices; `caption` shares pictures between all of them.
    """

    encoder_spec: str
    encoder_fingerprint: str
    preparation: Preparation
    mapper: Mapper
    language_model: LanguageModel
    decode: Decode
    info: dict[str, Any] = field(default_factory=dict)
    home: Home | None = None
    inside: InsideEncoder | None = None
    copies: tuple[Captioner, ...] = ()
    _encoder: ImageEncoder | None = field(default=None, init=False, repr=False)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.mapper.parameters()).device

    @torch.no_grad()
    def prefix(self, embeddings: np.ndarray | Tensor) -> Tensor:
        """The prefixes [n, prefix_length, lm_width] of raw embeddings, float32 [n, embedding_size].

        Raises:
            InputError: the embeddings are not of that size.
        """
        if isinstance(embeddings, np.ndarray):
            embeddings = torch.from_numpy(np.array(embeddings, np.float32))  # a copy: it may be a read-only map of a file
        vectors = embeddings.to(self.device, torch.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.mapper.embedding_size:
            raise InputError(
                f"embeddings of shape {tuple(vectors.shape)} are not [pictures, {self.mapper.embedding_size}]",
                hint=f"This captioner needs those of the encoder {self.encoder_spec}.",
            )
        prefix: Tensor = self.mapper(self.preparation(vectors))
        return prefix

    def caption_embeddings(
        self,
        embeddings: np.ndarray | Tensor,
        decode: Decode | None = None,
        *,
        numbers: Sequence[int] | None = None,
        batch_size: int = 32,
        seed: int = 0,
        events: Listener = silent,
    ) -> list[Caption]:
        """The captions of pictures whose embeddings are at hand.

        Args:
            embeddings: raw, float32 [n, embedding_size].
            decode: how to write them; None for the captioner's own way.
            numbers: of the pictures, where these are a part of more; None for their rows.
            batch_size: pictures written at once.
            seed: of what is drawn by sampling; a picture's draws depend on it and on the picture's number alone.

        Raises:
            InputError: wrong shape, a stop text that is not one token, or more tokens than the language model has places for.
        """
        captions: list[Caption] = []
        numbers = range(len(embeddings)) if numbers is None else numbers
        events(Started("caption", len(embeddings), "pictures"))
        try:
            for start in range(0, len(embeddings), batch_size):
                batch = embeddings[start : start + batch_size]
                captions += self._write(batch, decode or self.decode, numbers[start : start + len(batch)], seed)
                events(Advanced("caption", len(batch)))
        finally:
            events(Finished("caption"))
        return captions

    def caption(
        self,
        pictures: Sequence[Picture],
        *,
        batch_size: int = 32,
        workers: int | None = None,
        seed: int = 0,
        events: Listener = silent,
        on_error: Literal["raise", "yield"] = "raise",
        **decode: Any,
    ) -> Iterator[Caption | ClipcapError]:
        """The captions of pictures, one by one, in their order.

        Args:
            pictures: paths, PIL images or arrays [height, width, 3] (uint8 RGB).
            batch_size: pictures encoded and written at once.
            workers: threads that read and decode pictures; None for one a core.
            events: hear at the end what limited, where it took a while.
            seed: of what is drawn by sampling.
            on_error: "yield" gives the error of a picture that cannot be read in the place of its caption, "raise" ends with it.
            decode: what to do otherwise than by default, as in the recipe: `beams=3`, `strategy="sample"`.

        Raises:
            InputError: a setting is wrong, a picture cannot be read, or a device has too little memory.
            MissingError: the encoder's weights are not here and cannot be downloaded.
        """
        if isinstance(pictures, str | os.PathLike):
            raise InputError(f"pictures come as a list, and {os.fspath(pictures)!r} is one path", hint="Put it into brackets.")
        settings = change_decoding(self.decode, decode)
        stop_token(self.language_model, settings.stop)  # a wrong one is told before any picture is encoded
        sources = [Path(picture) if isinstance(picture, str | os.PathLike) else picture for picture in pictures]
        from clipcap_cli.captioner.pictures import caption_alone, caption_together

        write = caption_together if self.copies else caption_alone
        return write(self, sources, settings, batch_size=batch_size, workers=workers, seed=seed, events=events, on_error=on_error)

    def _write(self, embeddings: np.ndarray | Tensor, decode: Decode, numbers: Sequence[int], seed: int) -> list[Caption]:
        """One batch; `numbers` are the rows' places in the whole call."""
        stop = stop_token(self.language_model, decode.stop)
        ends = stop == self.language_model.end_token
        with telling_device(str(self.device), len(numbers)), evaluating(self.mapper, self.language_model):
            found = continue_prefixes(
                self.language_model,
                self.prefix(embeddings),
                decode,
                stop=stop,
                min_tokens=decode.min_tokens + ends,  # the end token is no part of the caption, a stop text is
                numbers=numbers,
                seed=seed,
            )
        return [self._caption_of(hypotheses, ends) for hypotheses in found]

    def _caption_of(self, hypotheses: list[Hypothesis], ends: bool) -> Caption:
        if not hypotheses:
            raise InputError("what is banned leaves nothing that a caption could be", where="decode.banned", hint="Ban less.")
        if not all(math.isfinite(hypothesis.score) for hypothesis in hypotheses):
            raise InputError("this captioner's weights give no probabilities: its training went wrong", hint="Train again with a lower train.lr.")
        tokens = [hypothesis.tokens[:-1] if ends and hypothesis.stopped else hypothesis.tokens for hypothesis in hypotheses]
        candidates = tuple(Candidate(self.language_model.detokenize(ids).strip(), hypothesis.score) for ids, hypothesis in zip(tokens, hypotheses, strict=True))
        return Caption(candidates[0].text, candidates[0].score, candidates, tokens[0])

    def load_encoder(self, events: Listener = silent, *, precision: str = "auto") -> ImageEncoder:
        """The encoder that it was trained with; loaded once.

        Args:
            precision: that it is loaded in.

        Raises:
            InputError: the one that is here is another.
            MissingError: its weights are not here and cannot be downloaded.
        """
        if self._encoder is None:
            from clipcap_cli.encoders.registry import load_encoder

            source = self.inside or InsideEncoder(self.encoder_spec, self.encoder_fingerprint)
            encoder = load_encoder(source.spec, home=self.home, device=str(self.device), precision=precision, events=events)
            check_encoder(encoder, source.fingerprint)
            self._encoder = encoder
        return self._encoder


def check_encoder(encoder: ImageEncoder, fingerprint: str) -> None:
    """Whether an encoder is the one that a captioner was trained with.

    Raises:
        InputError: it is another one.
    """
    if encoder.fingerprint != fingerprint:
        raise InputError(
            f"the encoder {encoder.spec} here ({encoder.fingerprint:.12}) is not the one that this captioner was trained with ({fingerprint:.12}): "
            "its captions would mean nothing",
            hint="Bring back the weights that it was trained with, or train again.",
        )


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Without dropout; afterwards each module is in the mode that it was in."""
    training = [module.training for module in modules]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module, was in zip(modules, training, strict=True):
            module.train(was)
