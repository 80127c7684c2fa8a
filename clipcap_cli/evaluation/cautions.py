"""What to think of before an evaluation's numbers are believed."""

from __future__ import annotations

from clipcap_cli.captioner.manifest import read_manifest
from clipcap_cli.captioner.models import Found
from clipcap_cli.evaluation.judge import Judge
from clipcap_cli.evaluation.pictures import Learned, Pictures
from clipcap_cli.evaluation.predictions import listed
from clipcap_cli.evaluation.scores import Scores
from clipcap_cli.words import count

_FEW = 100  # pictures


def cautions(scores: Scores, pictures: Pictures, learned: Learned | None, found: Found | None, judge: Judge) -> list[str]:
    """Sentences; none where there is nothing to be said."""
    told = []
    if len(scores.images) < _FEW:
        told.append(f"{count(len(scores.images), 'picture')}: under {_FEW}, scores of the same captioner differ widely from one set of pictures to the next")
    if sum(len(image.captions) == 1 for image in scores.images) > len(scores.images) / 2:
        told.append("most pictures have one reference: a good caption in other words scores as a wrong one")
    if learned and found and pictures.dataset:
        told += _leaks(scores, pictures, learned)
    part = scores.recipe.dataset if scores.recipe else None
    if part and (part.name, part.val) == (scores.dataset, scores.split):
        told.append(f"its best step was chosen on these pictures (split {scores.split}): they flatter it a little")
    if judge.clip and found and judge.clip.encoder.fingerprint == read_manifest(found.path).encoder.fingerprint:
        told.append(f"{judge.clip.encoder.spec} is the encoder that this captioner was trained on: it judges its own work, and CLIPScore and R@k come out high")
    if scores.language.collapse:
        told.append(f"mode collapse: {scores.language.collapse}")
    return told


def _leaks(scores: Scores, pictures: Pictures, learned: Learned) -> list[str]:
    if pictures.dataset and learned.dataset.name == pictures.dataset.name and learned.split == pictures.split:
        return [f"these pictures are those that it learned from (split {learned.split}): the scores say nothing about other pictures"]
    seen = {image.image_id for image in learned.images}
    shared = [image.name for image in scores.images if image.image_id in seen]
    return [f"pictures that it learned from are among these, {listed(shared)}"] if shared else []
