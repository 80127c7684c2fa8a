"""Scores are those of the COCO caption evaluation, on every corpus and for every picture."""

import json
import math
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcap_cli.errors import InputError
from clipcap_cli.evaluation.metrics.corpus import corpus_of_tokens, make_corpus
from clipcap_cli.evaluation.metrics.overlap import overlap_metrics, scorer

# CLIPCAP_METRICS names a folder with more files of the same form (docs/development.md).
FOLDERS = [Path(__file__).parent / "data/scores", *map(Path, filter(None, [os.environ.get("CLIPCAP_METRICS")]))]
FILES = [path for folder in FOLDERS for path in sorted(folder.glob("*.json"))]
WORDS = ["a", "dog", "cat", "runs", "sits", "on", "grass"]
CAPTIONS = st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scores_are_those_of_the_reference(path):
    data = json.loads(path.read_text(encoding="utf-8"))
    metrics = {metric.name: metric for metric in overlap_metrics(make_corpus(data["references"], data["candidates"]))}

    assert {name: metrics[name].score for name in data["corpus"]} == pytest.approx(data["corpus"], abs=1e-6)
    for place, image in enumerate(data["references"]):
        expected = data["per_image"][image]
        assert {name: metrics[name].per_image[place] for name in expected} == pytest.approx(expected, abs=1e-6), image


@given(st.lists(st.tuples(CAPTIONS, st.lists(CAPTIONS, min_size=1, max_size=4)), min_size=1, max_size=6))
def test_every_metric_is_what_its_definition_says(pictures):
    references, candidates = [texts for _, texts in pictures], [text for text, _ in pictures]
    flat = [text for texts in references for text in texts]
    corpus = corpus_of_tokens(tuple(map(str, range(len(pictures)))), list(map(len, references)), [*flat, *candidates])
    metrics = {metric.name: metric for metric in overlap_metrics(corpus)}

    expected = spelled_cider(references, candidates, clipped=False), spelled_cider(references, candidates, clipped=True)
    assert metrics["CIDEr"].per_image == pytest.approx(expected[0], abs=1e-9)
    assert metrics["CIDEr-D"].per_image == pytest.approx(expected[1], abs=1e-9)
    assert metrics["ROUGE-L"].per_image == pytest.approx([spelled_rouge(*pair) for pair in zip(candidates, references, strict=True)])
    assert [metrics[f"BLEU-{n}"].score for n in (1, 4)] == pytest.approx([spelled_bleu(references, candidates, n) for n in (1, 4)], abs=1e-9)


@given(st.lists(st.tuples(CAPTIONS, st.lists(CAPTIONS, min_size=1, max_size=3)), min_size=2, max_size=6), st.randoms())
def test_the_order_of_pictures_does_not_matter(pictures, random):
    named = [(str(number), text, texts) for number, (text, texts) in enumerate(pictures)]
    shuffled = random.sample(named, len(named))
    first, second = (
        overlap_metrics(make_corpus({name: texts for name, _, texts in order}, {name: text for name, text, _ in order})) for order in (named, shuffled)
    )
    assert [metric.score for metric in first] == pytest.approx([metric.score for metric in second])


def test_a_caption_that_says_what_all_references_say_is_as_good_as_can_be():
    references = {"a": ["a red square", "a red square"], "b": ["two blue circles", "two blue circles"]}
    metrics = {metric.name: metric.score for metric in overlap_metrics(make_corpus(references, {"a": "A red square.", "b": "Two blue circles."}))}

    # No caption here has four words, so the fourth precision is 0/0: the reference makes 1e-15 / 1e-9 of it.
    assert metrics["BLEU-3"] == pytest.approx(1)
    assert metrics["ROUGE-L"] == 1
    assert metrics["CIDEr"] == metrics["CIDEr-D"] == pytest.approx(7.5)


def test_pictures_that_do_not_fit_are_named():
    with pytest.raises(InputError, match="no picture has references"):
        make_corpus({}, {})
    with pytest.raises(InputError, match="no caption for 1 of the pictures, such as 'b'"):
        make_corpus({"a": ["x"], "b": ["y"]}, {"a": "x"})
    with pytest.raises(InputError, match="no references for 1 of the pictures, such as 'c'"):
        make_corpus({"a": ["x"]}, {"a": "x", "c": "y"})
    with pytest.raises(InputError, match="no references for 1 of the pictures, such as 'a'"):
        make_corpus({"a": []}, {"a": "x"})


def test_a_training_can_choose_by_any_of_these_scores():
    references = {"a": ["a red square on a table"], "b": ["two blue circles on a table"]}
    captions = {"a": "a red square on a table", "b": "two red circles on a table"}
    by_name = {metric.name.lower(): metric.score for metric in overlap_metrics(make_corpus(references, captions))}

    for name in ("cider", "cider-d", "bleu-4", "rouge-l"):
        assert scorer(references, name)(captions) == by_name[name]


def grams(text, order):
    words = text.split()
    return Counter(tuple(words[start : start + order]) for start in range(len(words) - order + 1))


def spelled_cider(references, candidates, clipped):
    """Vedantam et al. 2015, equations 2 to 5, written out for one picture after another."""
    scores = []
    for candidate, texts in zip(candidates, references, strict=True):
        total = 0.0
        for order in range(1, 5):
            frequency = Counter(gram for captions in references for gram in {gram for text in captions for gram in grams(text, order)})

            def weights(text, order=order, frequency=frequency):
                return {gram: count * math.log(len(references) / max(1, frequency[gram])) for gram, count in grams(text, order).items()}

            mine = weights(candidate)
            for text in texts:
                theirs = weights(text)
                product = sum((min(mine[gram], theirs[gram]) if clipped else mine[gram]) * theirs[gram] for gram in mine.keys() & theirs.keys())
                norms = math.sqrt(sum(value**2 for value in mine.values()) * sum(value**2 for value in theirs.values()))
                longer = max(0, len(candidate.split()) - 1) - max(0, len(text.split()) - 1)
                total += (product / norms if norms else 0.0) * (math.exp(-(longer**2) / 72) if clipped else 1)
        scores.append(10 * total / 4 / len(texts))
    return scores


def spelled_rouge(candidate, references):
    def common(one, other):
        table = np.zeros((len(one) + 1, len(other) + 1), int)
        for row, word in enumerate(one):
            for column, second in enumerate(other):
                table[row + 1, column + 1] = table[row, column] + 1 if word == second else max(table[row, column + 1], table[row + 1, column])
        return table[-1, -1]

    mine = candidate.split(" ")
    shared = [(common(mine, text.split(" ")), len(text.split(" "))) for text in references]
    precision, recall = max(count for count, _ in shared) / len(mine), max(count / length for count, length in shared)
    return (1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision) if precision else 0.0


def spelled_bleu(references, candidates, order):
    product = 1.0
    for n in range(1, order + 1):
        correct = sum(
            min(count, max(grams(text, n)[gram] for text in texts))
            for candidate, texts in zip(candidates, references, strict=True)
            for gram, count in grams(candidate, n).items()
        )
        guessed = sum(max(0, len(candidate.split()) - n + 1) for candidate in candidates)
        product *= (correct + 1e-15) / (guessed + 1e-9)
    length = sum(len(candidate.split()) for candidate in candidates)
    nearest = sum(
        min((abs(len(text.split()) - len(candidate.split())), len(text.split())) for text in texts)[1]
        for candidate, texts in zip(candidates, references, strict=True)
    )
    ratio = (length + 1e-15) / (nearest + 1e-9)
    return product ** (1 / order) * (math.exp(1 - 1 / ratio) if ratio < 1 else 1)
