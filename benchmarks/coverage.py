"""Whether a 95 % interval holds the true score in 95 of 100 cases.

    python benchmarks/coverage.py Flickr8k.token.txt [--pictures 100 300] [--draws 1000]

The population is every picture of the file that has five captions: four are its references, the fifth is what is scored. Sets of pictures are drawn from
it; the truth is the mean score of such sets, which for BLEU and ROUGE-L is also that of the population. CIDEr weighs words by how rare they are in the set
that is evaluated, so its scores are those of sets of one size: a set of 100 scores higher than one of 1,000 (see the last column), and an interval is about
sets as large as the one that was scored. The second table asks how often two captioners that are equally good are called different: of two people's captions
of a picture, each gets one by the toss of a coin.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
from pathlib import Path

import numpy as np
from metrics import Captions, read_captions
from shapes import machine, table

from clipcap_cli.evaluation.comparison import compare
from clipcap_cli.evaluation.intervals import intervals
from clipcap_cli.evaluation.metrics.corpus import Corpus, corpus_of_tokens
from clipcap_cli.evaluation.metrics.metric import Metric
from clipcap_cli.evaluation.metrics.overlap import overlap_metrics
from clipcap_cli.evaluation.metrics.tokenizer import tokenize

REFERENCES = 4
_COMPARED = 200  # draws for the second table, where each takes 10,000 exchanges


def metrics_of(captions: Captions, names: list[str], candidates: list[str]) -> list[Metric]:
    return overlap_metrics(corpus_of(captions, names, candidates))


def corpus_of(captions: Captions, names: list[str], candidates: list[str]) -> Corpus:
    references = [caption for name in names for caption in captions[name][:REFERENCES]]
    return corpus_of_tokens(tuple(names), [REFERENCES] * len(names), [*references, *candidates])


def coverage(captions: Captions, pictures: int, draws: int) -> None:
    """Print how often intervals hold the truth in sets of so many pictures."""
    generator = np.random.default_rng(pictures)
    names = list(captions)
    scores, found = [], []
    for draw in range(draws):
        drawn = [names[place] for place in generator.choice(len(names), pictures, replace=False)]
        metrics = metrics_of(captions, drawn, [captions[name][REFERENCES] for name in drawn])
        scores.append([metric.score for metric in metrics])
        found.append([(interval.low, interval.high) for interval in intervals(metrics, seed=draw)])
    everything = metrics_of(captions, names, [captions[name][REFERENCES] for name in names])
    spans = np.array(found)  # [draws, metrics, 2]
    truth = np.mean(scores, 0)
    holds = ((spans[..., 0] <= truth) & (truth <= spans[..., 1])).mean(0)
    rows = [
        (metric.name, f"{held:.1%}", f"{true:.4f}", f"{spread:.4f}", f"{width:.4f}", f"{metric.score:.4f}")
        for metric, held, true, spread, width in zip(
            everything, holds, truth, np.std(scores, 0), (spans[..., 1] - spans[..., 0]).mean(0) / (2 * 1.96), strict=True
        )
    ]
    print(f"\nsets of {pictures:,} pictures, {draws:,} draws\n")
    table(("metric", "intervals that hold the truth", "truth", "deviation of the scores", "as the intervals say", f"score of all {len(names):,}"), rows)


def false_alarms(captions: Captions, pictures: int, draws: int) -> None:
    """Print how often two equally good captioners are called different."""
    generator = np.random.default_rng([pictures, 1])
    names = list(captions)
    single, together = [], []
    for draw in range(draws):
        drawn = [names[place] for place in generator.choice(len(names), pictures, replace=False)]
        toss = generator.integers(0, 2, pictures)
        # Two people: the fourth and the fifth of a picture; the references are then the first three.
        people = [[captions[name][REFERENCES - 1 + int(side)] for name, side in zip(drawn, toss ^ flip, strict=True)] for flip in (0, 1)]
        references = [caption for name in drawn for caption in captions[name][: REFERENCES - 1]]
        one, other = (overlap_metrics(corpus_of_tokens(tuple(drawn), [REFERENCES - 1] * pictures, [*references, *said])) for said in people)
        differences = compare(one, other, samples=2000, seed=draw)
        single.append([difference.p <= 0.05 for difference in differences])
        together.append(any(difference.is_real for difference in differences))
    rows = [(difference.name, f"{share:.1%}") for difference, share in zip(differences, np.mean(single, 0), strict=True)]
    print(f"\ntwo captioners that are equally good, sets of {pictures:,} pictures, {draws:,} draws\n")
    table(("metric", "p at most 0.05"), [*rows, ("any of them called real", f"{np.mean(together):.1%}")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captions", type=Path)
    parser.add_argument("--pictures", type=int, nargs="+", default=[100, 300])
    parser.add_argument("--draws", type=int, default=1000)
    asked = parser.parse_args()
    print(machine())
    captions = {name: tokenize(texts) for name, texts in read_captions(asked.captions, 10**9).items()}
    for pictures in asked.pictures:
        coverage(captions, pictures, asked.draws)
    false_alarms(captions, max(asked.pictures), min(asked.draws, _COMPARED))


if __name__ == "__main__":
    main()
