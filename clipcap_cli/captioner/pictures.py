"""From pictures to captions: by one captioner, or by copies of it on several devices, which share the pictures.

One captioner encodes the next batch while it writes the captions of this one. Of several, each does both for the batch that it took when it was free.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from clipcap_cli.captioner.captioner import Caption, Captioner
from clipcap_cli.embeddings.feeding import Lane, feed
from clipcap_cli.embeddings.limits import Effort
from clipcap_cli.embeddings.pipeline import encode_pictures
from clipcap_cli.embeddings.preparing import Source
from clipcap_cli.encoders.base import Pixels, Vectors
from clipcap_cli.errors import ClipcapError
from clipcap_cli.events import Advanced, Finished, Listener, Note, Started
from clipcap_cli.recipe.schema import Decode


def caption_alone(
    captioner: Captioner, sources: Sequence[Source], decode: Decode, *, batch_size: int, workers: int | None, seed: int, events: Listener, on_error: str
) -> Iterator[Caption | ClipcapError]:
    """The captions of pictures, in their order; see `Captioner.caption`."""
    encoder = captioner.load_encoder(events)
    effort = Effort(taker="the language model")
    events(Started("caption", len(sources), "pictures"))
    try:
        batch: dict[int, Vectors | ClipcapError] = {}
        for number, result in encode_pictures(sources, encoder, batch_size=batch_size, workers=workers, effort=effort):
            if isinstance(result, ClipcapError) and on_error == "raise":
                raise result
            batch[number] = result
            if len(batch) == batch_size or number == len(sources) - 1:
                yield from _written(captioner, batch, sources, decode, seed)
                events(Advanced("caption", len(batch)))
                batch = {}
    finally:
        events(Finished("caption"))
    _tell_limit(effort, events)


def _written(
    captioner: Captioner, batch: dict[int, Vectors | ClipcapError], sources: Sequence[Source], decode: Decode, seed: int
) -> Iterator[Caption | ClipcapError]:
    vectors = {number: result for number, result in batch.items() if not isinstance(result, ClipcapError)}
    written = captioner.caption_embeddings(np.stack([*vectors.values()]), decode, numbers=[*vectors], batch_size=len(vectors), seed=seed) if vectors else []
    captions = dict(zip(vectors, written, strict=True))
    for number, result in batch.items():
        yield result if isinstance(result, ClipcapError) else _of(sources[number], captions[number])


def caption_together(
    captioner: Captioner, sources: Sequence[Source], decode: Decode, *, batch_size: int, workers: int | None, seed: int, events: Listener, on_error: str
) -> Iterator[Caption | ClipcapError]:
    """The captions of pictures, in their order, as the captioner alone would write them; it and its copies share the pictures."""
    lanes = [_lane(one, decode, seed) for one in _with_encoders(captioner, events)]
    effort = Effort(model="the captioner", taker="writing captions down")
    events(Started("caption", len(sources), "pictures"))
    try:
        captions = feed(sources, lanes, batch_size=batch_size, workers=workers, effort=effort)
        with closing(captions):
            for number, result in captions:
                if isinstance(result, ClipcapError) and on_error == "raise":
                    raise result
                yield result if isinstance(result, ClipcapError) else _of(sources[number], result)
                events(Advanced("caption"))
    finally:
        events(Finished("caption"))
    _tell_limit(effort, events)


def _with_encoders(captioner: Captioner, events: Listener) -> list[Captioner]:
    """All copies, each with its encoder, in the precision of the first one's."""
    first = captioner.load_encoder(events)
    for one in captioner.copies:
        one.load_encoder(precision=first.precision)
    copies = [captioner, *captioner.copies]
    events(Note(f"pictures are shared between {', '.join(str(one.device) for one in copies)}"))
    return copies


def _lane(captioner: Captioner, decode: Decode, seed: int) -> Lane[Caption]:
    encoder = captioner.load_encoder()

    def write(pixels: Pixels, numbers: list[int]) -> list[Caption]:
        return captioner.caption_embeddings(encoder.encode(pixels), decode, numbers=numbers, batch_size=len(numbers), seed=seed)

    return Lane(encoder, write)


def _of(source: Source, caption: Caption) -> Caption:
    return replace(caption, source=str(source) if isinstance(source, Path) else None)


def _tell_limit(effort: Effort, events: Listener) -> None:
    if limit := effort.note():
        events(Note(limit))
