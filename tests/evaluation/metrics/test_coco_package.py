"""METEOR and SPICE: scores of their Java programs where those are here, else a sentence that says what is missing."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from clipcap_cli.errors import MissingError
from clipcap_cli.evaluation.evaluate import evaluate
from clipcap_cli.evaluation.intervals import intervals
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


# A `java` that answers as METEOR's program does: with so many words, of which so many match, and the share of them as the score; it counts its starts.
FAKE_JAVA = """#!{python}
import sys
open({starts!r}, "a").write("started\\n")
for line in sys.stdin:
    first, *rest = line.rstrip("\\n").split(" ||| ")
    if first == "SCORE":
        words = rest[-1].split()
        matched = sum(word in rest[0].split() for word in words)
        print(*[float(len(words)), float(len(rest[0].split())), *[0.0] * 18, 1.0, float(matched), float(matched)], flush=True)
    else:
        numbers = [float(number) for number in rest[0].split()]
        print(numbers[21] / numbers[0], numbers[21] / numbers[0], sep="\\n", flush=True)
"""
BROKEN_JAVA = "#!/bin/sh\necho 'Exception in thread main' >&2\necho 'UnsupportedClassVersionError: 52.0' >&2\nexit 1\n"


@pytest.fixture
def java(tmp_path, monkeypatch):
    """Put another `java` on the PATH, and end what it started."""
    monkeypatch.setattr(coco_package, "check_available", lambda _: tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def put(script):
        (tmp_path / "java").write_text(script)
        (tmp_path / "java").chmod(0o755)

    coco_package._meteor_program.cache_clear()
    yield put
    if coco_package._meteor_program.cache_info().currsize:
        coco_package._meteor_program(tmp_path).close()
        coco_package._meteor_program.cache_clear()


def test_meteor_of_many_is_that_of_their_sums_and_its_program_is_started_once(java, tmp_path):
    java(FAKE_JAVA.format(python=sys.executable, starts=str(tmp_path / "starts")))
    metric = coco_package.meteor(make_corpus({"a": ["a red square"], "b": ["two blue circles here"]}, {"a": "a red dog", "b": "two"}))

    assert metric.per_image.tolist() == [2 / 3, 1.0]
    assert metric.score == 3 / 4
    [interval] = intervals([metric], samples=3000)  # more than a pipe holds
    assert 2 / 3 <= interval.low <= interval.high <= 1
    assert (tmp_path / "starts").read_text() == "started\n"


def test_a_program_that_fails_is_told_with_its_last_line(java):
    java(BROKEN_JAVA)
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
