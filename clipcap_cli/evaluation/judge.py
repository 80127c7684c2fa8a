"""Which metrics are asked for, and all of them for one set of captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clipcap_cli.embeddings.store import EmbeddingStore
from clipcap_cli.embeddings.texts import embed_texts, text_ids
from clipcap_cli.encoders.base import ImageEncoder
from clipcap_cli.errors import InputError
from clipcap_cli.evaluation.intervals import intervals
from clipcap_cli.evaluation.metrics import coco_package
from clipcap_cli.evaluation.metrics.cider import DocumentFrequencies
from clipcap_cli.evaluation.metrics.clipscore import PROMPT, clip_scores, retrieval
from clipcap_cli.evaluation.metrics.corpus import make_corpus
from clipcap_cli.evaluation.metrics.metric import Floats
from clipcap_cli.evaluation.metrics.overlap import OVERLAP, overlap_metrics
from clipcap_cli.evaluation.scores import System
from clipcap_cli.events import Listener, silent
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.names import nearest

CLIP = ("clipscore", "retrieval")
FAMILIES = (*OVERLAP, *coco_package.FAMILIES, *CLIP)
# Names of scores, for their families.
_ALIASES = {
    **dict.fromkeys(("bleu-1", "bleu-2", "bleu-3", "bleu-4"), "bleu"),
    **{"cider-d": "cider", "rouge": "rouge-l", "rougel": "rouge-l", "refclipscore": "clipscore"},
    **dict.fromkeys(("r@1", "r@5", "r@10"), "retrieval"),
}


@dataclass(frozen=True)
class ClipView:
    """Pictures as an encoder with a text tower sees them.

    Attributes:
        store: their embeddings.
        image_ids: by picture's name.
    """

    encoder: ImageEncoder
    store: EmbeddingStore
    image_ids: Mapping[str, str]
    home: Home
    events: Listener = silent

    def pictures(self, names: Sequence[str]) -> Floats:
        """[len(names), embedding_size]."""
        return self.store.gather([self.image_ids[name] for name in names]).astype(np.float64)

    def texts(self, captions: Sequence[str]) -> Floats:
        """[len(captions), embedding_size]."""
        prompted = [f"{PROMPT} {caption}" for caption in captions]
        return embed_texts(prompted, self.encoder, self.home, self.events).gather(text_ids(prompted).astype(str).tolist()).astype(np.float64)


@dataclass(frozen=True)
class Judge:
    """The metrics that are asked for.

    Attributes:
        families: names out of `FAMILIES`.
        frequencies: for CIDEr; None for those of the evaluated references.
        clip: for CLIPScore and retrieval.
    """

    families: tuple[str, ...]
    frequencies: DocumentFrequencies | None = None
    clip: ClipView | None = None

    def system(self, name: str, references: Mapping[str, Sequence[str]], captions: Mapping[str, str]) -> System:
        """Captions of pictures with all their scores and intervals.

        Args:
            references: by picture.
            captions: by picture; the same pictures.
        """
        corpus = make_corpus(references, captions)
        metrics = overlap_metrics(corpus, self.frequencies, self.families)
        if "meteor" in self.families:
            metrics.append(coco_package.meteor(corpus))
        if "spice" in self.families:
            metrics.append(coco_package.spice(corpus))
        if self.clip is not None:
            names = list(references)
            pictures, texts = self.clip.pictures(names), self.clip.texts([captions[name] for name in names])
            if "clipscore" in self.families:
                metrics += clip_scores(pictures, texts, self.clip.texts([text for name in names for text in references[name]]), corpus.picture)
            if "retrieval" in self.families:
                metrics += retrieval(pictures, texts)
        return System(name, {name: captions[name] for name in references}, tuple(metrics), tuple(intervals(metrics)))


def check_families(asked: Sequence[str]) -> tuple[str, ...]:
    """The families of metrics that are asked for, each once. What needs a program that is not here is told at once.

    Args:
        asked: names of families or of scores, in any case; one text may have several, separated by commas.

    Raises:
        InputError: there is no such metric.
        MissingError: it cannot be computed here.
    """
    families = [_ALIASES.get(name, name) for text in asked for name in text.lower().replace(" ", "").split(",")]
    for name in families:
        if name not in FAMILIES:
            meant = nearest(name, FAMILIES)
            raise InputError(f"there is no metric {name!r}" + (f"; did you mean {meant!r}?" if meant else ""), hint=f"There are: {', '.join(FAMILIES)}.")
        if name in coco_package.FAMILIES:
            coco_package.check_available(name)
    return tuple(dict.fromkeys(families)) or OVERLAP
