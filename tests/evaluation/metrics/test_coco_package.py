"""METEOR and SPICE: scores of their Java programs where those are here, else a sentence that says what is missing."""

import json
import shutil
import subprocess
import sys

import pytest

from clipcap_cli.errors import MissingError
from clipcap_cli.evaluation.evaluate import evaluate
from clipcap_cli.evaluation.metrics import coco_package
from clipcap_cli.evaluation.metrics.corpus import make_corpus


def test_without_java_a_line_says_so(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(MissingError, match="METEOR needs Java") as caught:
        coco_package.check_available("meteor")
    assert "Java runtime" in caught.value.hint


def test_without_the_package_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/java")
    monkeypatch.setattr(coco_package.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingError, match="SPICE needs the package pycocoevalcap") as caught:
        coco_package.check_available("spice")
    assert caught.value.hint.startswith('pip install "clipcap-cli[coco]"')
    assert "536 MB" in caught.value.hint


def test_without_its_jars_the_files_and_their_place_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/java")
    monkeypatch.setattr(coco_package.importlib.util, "find_spec", lambda _: type("Spec", (), {"submodule_search_locations": [str(tmp_path)]}))
    with pytest.raises(MissingError, match=r"spice/lib/stanford-corenlp-3.6.0-models.jar") as caught:
        coco_package.check_available("spice")
    assert str(tmp_path / "spice" / "lib") in caught.value.hint
    assert "536 MB" in caught.value.hint


def test_what_cannot_be_scored_is_told_before_captions_are_written(monkeypatch, home):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(MissingError, match="METEOR needs Java"):
        evaluate("no such run", metrics=["meteor"], home=home)


class Fakes:
    """A Java program that answers as METEOR's does: with so many words, of which so many match, and the share of them as the score."""

    def __init__(self):
        self.commands = []

    def __call__(self, command, *, input, **_):
        self.commands.append(command)
        answers = []
        for line in input.splitlines():
            first, *rest = line.split(" ||| ")
            if first == "SCORE":
                words = rest[-1].split()
                matched = sum(word in rest[0].split() for word in words)
                answers.append(" ".join(map(str, [float(len(words)), float(len(rest[0].split())), *[0.0] * 18, 1.0, float(matched), float(matched)])))
            else:
                numbers = [float(number) for number in rest[0].split()]
                answers += [str(numbers[21] / numbers[0])] * 2
        return subprocess.CompletedProcess(command, 0, "\n".join(answers) + "\n", "")


def test_meteor_of_many_is_that_of_their_sums(monkeypatch, tmp_path):
    program = Fakes()
    monkeypatch.setattr(coco_package, "check_available", lambda _: tmp_path)
    monkeypatch.setattr(coco_package.subprocess, "run", program)
    metric = coco_package.meteor(make_corpus({"a": ["a red square"], "b": ["two blue circles here"]}, {"a": "a red dog", "b": "two"}))

    assert metric.per_image.tolist() == [2 / 3, 1.0]
    assert metric.score == 3 / 4
    assert all(str(tmp_path / "meteor" / "meteor-1.5.jar") in command for command in program.commands)


def test_a_program_that_fails_is_told_with_its_last_line(monkeypatch, tmp_path):
    monkeypatch.setattr(coco_package, "check_available", lambda _: tmp_path)
    failed = subprocess.CompletedProcess([], 1, "", "Exception in thread main\nUnsupportedClassVersionError: 52.0")
    monkeypatch.setattr(coco_package.subprocess, "run", lambda *_, **__: failed)
    for metric in (coco_package.meteor, coco_package.spice):
        with pytest.raises(MissingError, match=r"Java program failed: UnsupportedClassVersionError: 52\.0"):
            metric(make_corpus({"a": ["a dog"]}, {"a": "a dog"}))


def _real(family):
    try:
        coco_package.check_available(family)
    except MissingError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(not _real("meteor"), reason="needs Java and the extra coco")
def test_meteor_is_that_of_the_package(capfd):
    references = {"a": ["a dog runs in the park", "the dog is running"], "b": ["two kids play outside", "children playing"], "c": ["a red square", "red"]}
    candidates = {"a": "a dog is running in a park", "b": "two children", "c": "a red square"}
    metric = coco_package.meteor(make_corpus(references, candidates))
    assert capfd.readouterr() == ("", "")

    script = (
        "from pycocoevalcap.meteor.meteor import Meteor; import json, sys; r, c = json.load(sys.stdin);"
        "print(json.dumps(Meteor().compute_score(r, {k: [v] for k, v in c.items()})))"
    )
    said = subprocess.run([sys.executable, "-c", script], input=json.dumps([references, candidates]), capture_output=True, text=True, check=True)
    score, per_image = json.loads(said.stdout)
    assert metric.score == pytest.approx(score, abs=1e-9)
    assert metric.per_image.tolist() == pytest.approx(per_image, abs=1e-9)
