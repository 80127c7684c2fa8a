"""The checkpoints that the authors of ClipCap published: what is known of each, where it lies, and how it gets here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clipcap_cli.errors import MissingError
from clipcap_cli.events import Listener, Note, silent
from clipcap_cli.storage.downloads import fetch, is_offline
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.names import unknown

_DRIVE = "https://drive.usercontent.google.com/download?id={}&export=download&confirm=t"
_HUB = "https://huggingface.co/akhaliq/CLIP-prefix-captioning-{}/resolve/main/{}"
_PAGE = b"<"  # how a web page begins, which a server may send in the place of the file


@dataclass(frozen=True)
class Published:
    """A published checkpoint.

    Attributes:
        files: names, without their ending, under which it goes round.
        form, prefix_length, embedding_size: what it must turn out to be.
        encoder, normalize: what its embeddings were made with; the file does not say.
        addresses: where it can be had, the first one tried first.
        size: for people; about.
    """

    name: str
    files: tuple[str, ...]
    form: str
    prefix_length: int
    embedding_size: int
    encoder: str
    normalize: bool
    addresses: tuple[str, ...]
    size: str
    language_model: str = "gpt2"


# Sizes follow from the shapes. Nobody published the SHA-256 of these files: what can be checked is that they are what the table says.
PUBLISHED = {
    published.name: published
    for published in (
        Published(
            "coco-mlp",
            ("coco-mlp", "coco_weights"),
            "mlp",
            10,
            512,
            "openai:ViT-B/32",
            False,
            (_HUB.format("COCO-weights", "coco_weights.pt"), _DRIVE.format("1IdaBtMSvtyzF0ByVaBHtvM0JYSXRExRX")),
            "about 640 MB",
        ),
        Published(
            "conceptual-mlp",
            ("conceptual-mlp", "conceptual_weights"),
            "mlp",
            10,
            512,
            "openai:ViT-B/32",
            False,
            (_HUB.format("conceptual-weights", "conceptual_weights.pt"), _DRIVE.format("14pXWwB4Zm82rsDdvbGguLfx9F8aM7ovT")),
            "about 640 MB",
        ),
        Published(
            "coco-transformer",
            ("coco-transformer", "transformer_weights"),
            "transformer",
            40,
            640,
            "openai:RN50x4",
            True,
            (_DRIVE.format("1GYPToCqFREwi285wPLhuVExlz7DDUDfJ"),),
            "about 740 MB",
        ),
    )
}


def known(path: Path) -> Published | None:
    """The published checkpoint that goes by the name of this file."""
    return next((published for published in PUBLISHED.values() if path.stem in published.files), None)


def own_file(name: str, home: Home) -> Path:
    """Where a published checkpoint lies in the store, once it is here."""
    return home.weights / "published" / f"{name}.pt"


def fetch_published(name: str, home: Home, events: Listener = silent) -> Path:
    """The file of a published checkpoint, downloaded if it is not here.

    Raises:
        InputError: there is none of that name.
        MissingError: offline, or no address gave the file.
        StoreError: it cannot be written.
    """
    if name not in PUBLISHED:
        raise unknown("published checkpoint", name, PUBLISHED, listing="clipcap model pull --help")
    published, path = PUBLISHED[name], own_file(name, home)
    for number, address in enumerate(published.addresses, 1):
        try:
            fetch(address, path, sha256=None, what=f"the checkpoint {name}", size=published.size, events=events)
        except MissingError as error:
            if number == len(published.addresses) or is_offline():
                raise
            events(Note(f"{error.message}; another address is tried", "warning"))
            continue
        with path.open("rb") as stream:
            if stream.read(len(_PAGE)) != _PAGE:
                return path
        path.unlink()
        events(Note(f"{address} gave a web page, not the file", "warning"))
    raise MissingError(
        f"no address gave the checkpoint {name}",
        where=published.addresses[-1],
        hint=f"Open it in a browser, put the file at {path}, and type this again.",
    )
