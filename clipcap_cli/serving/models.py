"""The captioners that a server has loaded: each once, in memory, so that nothing is read again while it serves.

A model that is removed from the store or replaced there goes on as it was: its weights are in memory, or in files that stay open as long as they are mapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clipcap_cli.captioner.models import Found, find_captioner
from clipcap_cli.datasets.pictures import open_picture
from clipcap_cli.errors import ClipcapError, InputError, UsageError
from clipcap_cli.events import Listener, silent
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.names import nearest

if TYPE_CHECKING:
    from clipcap_cli.captioner.captioner import Caption, Captioner
    from clipcap_cli.encoders.base import ImageEncoder, Pixels, Vectors
    from clipcap_cli.recipe.schema import Decode

_SIDE = 64  # of the picture that is captioned once before anything is served


@dataclass(frozen=True, eq=False)
class Model:
    """A captioner under the name that clients know, with its encoder at hand."""

    name: str
    captioner: Captioner
    encoder: ImageEncoder

    def prepare(self, data: bytes, max_pixels: int) -> Pixels:
        """The pixels of a picture's file; from any thread.

        Raises:
            InputError: it is none, or has too many.
        """
        return self.encoder.preprocess(open_picture(data, "", max_pixels=max_pixels))

    def encode(self, pixels: Sequence[Pixels]) -> Vectors:
        """The embeddings of pictures [n, embedding_size]."""
        return self.encoder.encode(np.stack(pixels))

    def write(self, vectors: Vectors, decode: Decode, *, numbers: Sequence[int], seed: int) -> list[Caption]:
        """The captions of embeddings; `numbers` are the pictures' places in their requests.

        Raises:
            InputError: what is asked for cannot be with this language model.
        """
        return self.captioner.caption_embeddings(vectors, decode, numbers=numbers, batch_size=len(vectors), seed=seed)

    def describe(self) -> dict[str, Any]:
        """What is told about it."""
        return {
            "name": self.name,
            "encoder": self.captioner.encoder_spec,
            "language_model": self.captioner.language_model.name,
            "dataset": _dataset_of(self.captioner.info),
            "decode": self.captioner.decode.model_dump(mode="json"),
        }


@dataclass(frozen=True)
class Models:
    """The models of a server; the first is taken where none is named."""

    by_name: dict[str, Model]

    @property
    def default(self) -> Model:
        """The one that is taken where none is named."""
        return next(iter(self.by_name.values()))

    def named(self, name: str | None) -> Model:
        """The model that is meant.

        Raises:
            InputError: there is none of that name.
        """
        if name is None:
            return self.default
        if name not in self.by_name:
            meant = nearest(name, self.by_name)
            raise InputError(f"there is no model {name!r} here" + (f"; did you mean {meant!r}?" if meant else ""), hint="GET /v1/models lists them.")
        return self.by_name[name]

    def describe(self) -> list[dict[str, Any]]:
        """What is told about each."""
        return [{"default": model is self.default, **model.describe()} for model in self.by_name.values()]


def find_models(names: Sequence[str], home: Home) -> dict[str, Found]:
    """Where the captioners lie that are to be served, by the names that clients will use: of a bundle's folder, its last part.

    Args:
        names: as `find_captioner` takes them; none for the one in use.

    Raises:
        InputError: there is no such captioner.
        UsageError: two would have one name.
    """
    found: dict[str, Found] = {}
    for asked in names or (None,):
        captioner = find_captioner(asked, home)
        name = Path(captioner.name).name or captioner.name
        if name in found:
            raise UsageError(f"two models would be called {name!r}", where="--model", hint="Name each once; import a bundle under another name first.")
        found[name] = captioner
    return found


def load_models(found: dict[str, Found], home: Home, *, device: str = "auto", precision: str = "fp32", events: Listener = silent) -> Models:
    """The captioners, loaded and tried on a grey picture. Models of one encoder share it.

    Raises:
        ClipcapError: one cannot be loaded (see `load_bundle` and `Captioner.load_encoder`), or does not caption.
    """
    from clipcap_cli.captioner.bundle import load_bundle

    models: dict[str, Model] = {}
    encoders: dict[str, ImageEncoder] = {}
    for name, captioner_found in found.items():
        try:
            captioner = load_bundle(captioner_found.path, home=home, device=device, precision=precision)
            source = captioner.inside.fingerprint if captioner.inside else captioner.encoder_fingerprint
            if source not in encoders:
                encoders[source] = captioner.load_encoder(events)
            model = Model(name, captioner, encoders[source])
            grey = np.full((_SIDE, _SIDE, 3), 128, np.uint8)
            vectors = model.encode([_prepared(model, grey)])
            model.write(vectors, captioner.decode, numbers=[0], seed=0)
        except ClipcapError as error:
            error.where = error.where or f"model {name}"
            raise
        models[name] = model
    return Models(models)


def _prepared(model: Model, picture: np.ndarray) -> Pixels:
    from PIL import Image

    return model.encoder.preprocess(Image.fromarray(picture))


def _dataset_of(info: dict[str, Any]) -> str | None:
    dataset = info.get("dataset")
    name = dataset.get("name") if isinstance(dataset, dict) else dataset
    return name if isinstance(name, str) else None
