"""The baselines of an evaluation: what a captioner has to beat, scored as it is."""

from __future__ import annotations

from collections.abc import Sequence

from clipcap_cli.datasets.dataset import Image
from clipcap_cli.encoders.base import ImageEncoder
from clipcap_cli.evaluation.baselines import FREQUENT, HUMAN, NEAREST, RANDOM, human_captions, most_frequent, nearest_consensus, random_captions
from clipcap_cli.evaluation.comparison import Difference, compare
from clipcap_cli.evaluation.judge import Judge
from clipcap_cli.evaluation.pictures import Learned, Pictures, embedded
from clipcap_cli.evaluation.scores import System, main_metric
from clipcap_cli.events import Listener, Note
from clipcap_cli.words import count

_GALLERY = 50_000  # training pictures at most that neighbours are looked for among, evenly taken


def rivals_of(
    judge: Judge, images: Sequence[Image], pictures: Pictures, learned: Learned | None, encoder: ImageEncoder | None, events: Listener
) -> tuple[System, ...]:
    """People, nearest neighbours, any caption, the commonest one: those that can be had.

    Args:
        images: those that are scored.
        learned: the training pictures; None where they are not known.
        encoder: of the nearest neighbours; None where there is none.
    """
    references = {image.name: image.captions for image in images}
    found = []
    if people := {name: captions for name, captions in references.items() if len(captions) > 1}:
        chosen = dict(zip(people, human_captions(list(people.values())), strict=True))
        found.append(judge.system(HUMAN, {name: others for name, (_, others) in chosen.items()}, {name: text for name, (text, _) in chosen.items()}))
    if learned is None or not learned.images:
        return tuple(found)
    names = list(references)
    if encoder is None and pictures.dataset is not None:
        events(Note(f"{NEAREST} are left out: they need an encoder (--encoder SPEC)"))
    if encoder is not None and pictures.dataset is not None and learned.split != pictures.split and len(learned.images) > 1:
        neighbours = _neighbours(images, pictures, learned, encoder, events)
        if neighbours:
            found.append(judge.system(NEAREST, references, dict(zip(names, neighbours, strict=True))))
    for name, captions in ((RANDOM, random_captions(learned.captions, len(names))), (FREQUENT, most_frequent(learned.captions, len(names)))):
        found.append(judge.system(name, references, dict(zip(names, captions, strict=True))))
    return tuple(found)


def _neighbours(images: Sequence[Image], pictures: Pictures, learned: Learned, encoder: ImageEncoder, events: Listener) -> list[str]:
    """What the nearest training pictures say of each; nothing where embeddings are missing."""
    assert pictures.dataset is not None
    store = embedded(learned.dataset, learned.split, encoder, events)
    embedded(pictures.dataset, pictures.split, encoder, events)
    some = learned.images[:: -(-len(learned.images) // _GALLERY)]
    there = store.places([image.image_id for image in some]) >= 0
    gallery = [image for image, has_one in zip(some, there, strict=True) if has_one]
    asked = [image.image_id for image in images]
    if len(gallery) < 2 or (store.places(asked) < 0).any():
        events(Note(f"{NEAREST} are left out: not all pictures could be embedded", "warning"))
        return []
    captions, neighbours = nearest_consensus(store.gather(asked), store.gather([image.image_id for image in gallery]), [image.captions for image in gallery])
    events(Note(f"{NEAREST}: each picture asks its {count(neighbours, 'nearest one')} of {len(learned.images):,} training pictures"))
    return captions


def verdict_on(system: System, rivals: Sequence[System]) -> Difference | None:
    """How much better than its nearest neighbours it is."""
    nearest = next((rival for rival in rivals if rival.name == NEAREST), None)
    if nearest is None:
        return None
    name = main_metric(system)
    return compare([nearest.metric(name)], [system.metric(name)])[0]
