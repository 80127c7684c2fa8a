"""What a validation looks at: the loss over the whole validation split, and captions of some of its pictures, with their score.

The score comes from above: whoever calls `train` hands in how captions are scored, so that this floor knows no metric.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import torch

from clipcap_cli.captioner.captioner import Captioner, evaluating
from clipcap_cli.datasets.dataset import Image
from clipcap_cli.embeddings.store import EmbeddingStore
from clipcap_cli.events import Listener
from clipcap_cli.recipe.schema import TrainPart
from clipcap_cli.training.batches import batches_of
from clipcap_cli.training.loop import Found
from clipcap_cli.training.objective import caption_loss, computing_in
from clipcap_cli.training.peers import ALONE, Peers
from clipcap_cli.training.samples import Samples

# From captions by picture to a score; the higher the better.
Scorer = Callable[[Mapping[str, str]], float]
# From the references of each picture and the name of a metric ("cider") to a scorer.
ScorerFactory = Callable[[Mapping[str, Sequence[str]], str], Scorer]

BY_LOSS = "loss"
_SHOWN_PICTURES = 3  # whose captions are shown, so that one sees it learn
_BATCH = 128

Item = TypeVar("Item")


class Validation:
    """Looks at the same pictures and captions each time it is called.

    Attributes:
        select_by: what the best is chosen by: a metric's name, or "loss".
        pictures: names of those that are captioned each time.
        shown: names of those among them whose captions are shown.
    """

    def __init__(
        self,
        samples: Samples,
        pictures: Sequence[Image],
        store: EmbeddingStore,
        settings: TrainPart,
        scorer: ScorerFactory | None,
    ) -> None:
        scored = [picture for picture in pictures if picture.captions]
        self.select_by = settings.select_by if scorer and scored else BY_LOSS
        chosen = evenly(pictures, _SHOWN_PICTURES) if self.select_by == BY_LOSS else evenly(scored, settings.select_pictures)
        self.pictures = [picture.name for picture in chosen]
        self.shown = evenly(self.pictures, _SHOWN_PICTURES)
        self._samples = samples
        self._embeddings = store.gather([picture.image_id for picture in chosen])
        references = {picture.name: picture.captions for picture in chosen}
        self._score = scorer(references, self.select_by) if scorer and self.select_by != BY_LOSS else None

    def __call__(self, captioner: Captioner, precision: str, events: Listener, peers: Peers = ALONE) -> Found:
        """How good a captioner is now. What is drawn on the way is drawn from streams of its own: training goes on as if nothing had been.

        Args:
            peers: those that share the work; all find the same.
        """
        began = time.monotonic()
        loss = validation_loss(captioner, self._samples, precision, peers)
        numbers = range(len(self.pictures))[peers.own]
        written = captioner.caption_embeddings(self._embeddings[peers.own], numbers=numbers, events=events)
        captions = dict.fromkeys(self.pictures, "")
        for shares in peers.exchange([[number, caption.text] for number, caption in zip(numbers, written, strict=True)]):
            captions |= {self.pictures[number]: text for number, text in shares}
        score = peers.from_first(partial(self._score, captions)) if self._score else None
        return Found(loss, score, captions, time.monotonic() - began)


@torch.no_grad()
def validation_loss(captioner: Captioner, samples: Samples, precision: str, peers: Peers = ALONE) -> float:
    """Mean loss of a token over all of `samples`, without noise, dropout and smoothing."""
    total, count = 0.0, 0.0
    with evaluating(captioner.mapper, captioner.language_model):
        for batch in batches_of(samples, _BATCH, captioner.mapper.prefix_length, peers.own):
            if not batch.count:
                continue
            with computing_in(precision, captioner.device):
                loss = caption_loss(batch.to(captioner.device), captioner.preparation, captioner.mapper, captioner.language_model)
            total += loss.item() * batch.count
            count += batch.count
    total, count = peers.total(total, count)
    return total / count


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """`count` of the items at equal distances, the first one among them; all where there are fewer."""
    count = min(count, len(items))
    return [items[number * len(items) // count] for number in range(count)]
