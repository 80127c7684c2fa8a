"""The metrics that need nothing but captions and references, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from clipcap_cli.evaluation.metrics.bleu import bleu
from clipcap_cli.evaluation.metrics.cider import DocumentFrequencies, cider
from clipcap_cli.evaluation.metrics.corpus import Corpus, make_corpus
from clipcap_cli.evaluation.metrics.metric import Metric
from clipcap_cli.evaluation.metrics.rouge import rouge_l

# What `--metric` names; each gives one score or more.
OVERLAP = ("bleu", "rouge-l", "cider")


def overlap_metrics(corpus: Corpus, frequencies: DocumentFrequencies | None = None, families: Sequence[str] = OVERLAP) -> list[Metric]:
    """BLEU-1 to BLEU-4, ROUGE-L, CIDEr and CIDEr-D, or those of some `families`.

    Args:
        frequencies: for CIDEr; None for those of the evaluated references.
    """
    found: list[Metric] = []
    if "bleu" in families:
        found += bleu(corpus)
    if "rouge-l" in families:
        found.append(rouge_l(corpus))
    if "cider" in families:
        found += cider(corpus, frequencies)
    return found


def scorer(references: Mapping[str, Sequence[str]], name: str) -> Callable[[Mapping[str, str]], float]:
    """A function from captions by picture to one score, for a training to choose its best by.

    Args:
        references: captions of each picture.
        name: "cider", "cider-d", "bleu-1" … "bleu-4", "rouge-l".
    """
    family = name if name == "rouge-l" else name.partition("-")[0]

    def score(candidates: Mapping[str, str]) -> float:
        metrics = overlap_metrics(make_corpus(references, candidates), families=(family,))
        return next(metric.score for metric in metrics if metric.name.lower() == name)

    return score
