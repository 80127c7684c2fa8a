"""How fast captions are scored, against the COCO evaluation with its Java tokeniser, with the same scores.

    pip install --no-deps pycocoevalcap pycocotools                  # and a Java runtime
    python benchmarks/metrics.py Flickr8k.token.txt [--pictures 5000] [--rounds 3]

Both sides tokenise, and compute BLEU-1 to 4, ROUGE-L and CIDEr-D (clipcap CIDEr, too), from captions as they were written: five references a picture, and the
caption of another picture as the candidate. All of ours is on one core; Java takes what it wants. Both sides take turns in every round.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import contextlib
import io
from collections import defaultdict
from pathlib import Path

from shapes import machine, seconds, spread_of, table

from clipcap_cli.evaluation.intervals import SAMPLES, intervals
from clipcap_cli.evaluation.metrics.corpus import make_corpus
from clipcap_cli.evaluation.metrics.overlap import overlap_metrics
from clipcap_cli.evaluation.metrics.tokenizer import tokenize

Captions = dict[str, list[str]]


def read_captions(path: Path, pictures: int) -> Captions:
    """Of a file in Flickr8k's form, those pictures that have five captions."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, caption = line.partition("\t")
        found[name.partition("#")[0]].append(caption)
    chosen = {name: captions for name, captions in found.items() if len(captions) == 5}
    return dict(list(chosen.items())[:pictures])


def ours(references: Captions, candidates: dict[str, str]) -> dict[str, float]:
    return {metric.name: metric.score for metric in overlap_metrics(make_corpus(references, candidates))}


def theirs(references: Captions, candidates: dict[str, str]) -> dict[str, float]:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    with contextlib.redirect_stdout(io.StringIO()):
        tokenizer = PTBTokenizer()
        told = tokenizer.tokenize({name: [{"caption": caption} for caption in captions] for name, captions in references.items()})
        said = tokenizer.tokenize({name: [{"caption": caption}] for name, caption in candidates.items()})
        bleu, _ = Bleu(4).compute_score(told, said, verbose=0)
        rouge, _ = Rouge().compute_score(told, said)
        cider, _ = Cider().compute_score(told, said)
    return {**{f"BLEU-{n}": score for n, score in enumerate(bleu, 1)}, "ROUGE-L": float(rouge), "CIDEr-D": float(cider)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captions", type=Path)
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    references = read_captions(asked.captions, asked.pictures)
    names = list(references)
    candidates = {name: references[names[place - 1]][0] for place, name in enumerate(names)}
    print(machine())
    print(f"{len(references):,} pictures, {sum(map(len, references.values())):,} references\n")

    scores, expected = ours(references, candidates), theirs(references, candidates)
    assert all(abs(scores[name] - score) < 1e-6 for name, score in expected.items()), (scores, expected)
    metrics = overlap_metrics(make_corpus(references, candidates))
    flat = [caption for captions in references.values() for caption in captions] + list(candidates.values())
    mine, java, bootstrap, cutting = [], [], [], []
    for _ in range(asked.rounds):
        java.append(seconds(lambda: theirs(references, candidates)))
        mine.append(seconds(lambda: ours(references, candidates)))
        bootstrap.append(seconds(lambda: intervals(metrics)))
        cutting.append(seconds(lambda: tokenize(flat)))
    table(
        ("work", "s", "bar"),
        [
            ("reference: Java tokeniser, BLEU, ROUGE-L, CIDEr-D", spread_of(java, 2), ""),
            ("clipcap: tokens, BLEU, ROUGE-L, CIDEr, CIDEr-D, one core", spread_of(mine, 2), "3"),
            ("of these, tokens", spread_of(cutting, 2), ""),
            (f"{SAMPLES:,} bootstrap samples of all seven scores", spread_of(bootstrap, 2), "5"),
            ("reference / clipcap", spread_of([slow / fast for slow, fast in zip(java, mine, strict=True)], 1), "10"),
        ],
    )


if __name__ == "__main__":
    main()
