"""METEOR and SPICE, by the Java programs that the package pycocoevalcap brings (extra `coco`).

The programs are called without the package's own Python: that one prints, downloads and writes into its folder. What they need while they run lies
in a temporary folder, what they say is read here. Source: Denkowski and Lavie 2014 (METEOR 1.5); Anderson et al. 2016 (SPICE, arXiv 1607.08822).
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import itertools
import json
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clipcap_cli.errors import MissingError
from clipcap_cli.evaluation.metrics.corpus import Corpus
from clipcap_cli.evaluation.metrics.metric import Floats, Metric, mean_metric

FAMILIES = ("meteor", "spice")
_SEPARATOR = " ||| "
_LENGTHS, _CHUNKS, _MATCHED = [0, 1], 20, [21, 22]  # places in a line of METEOR's statistics
_NEEDED = {
    "meteor": ("meteor/meteor-1.5.jar", "meteor/data/paraphrase-en.gz"),
    "spice": ("spice/spice-1.0.jar", "spice/lib/stanford-corenlp-3.6.0.jar", "spice/lib/stanford-corenlp-3.6.0-models.jar"),
}
_HINTS = {
    "meteor": 'pip install "clipcap-cli[coco]"',
    "spice": "SPICE also needs the two jars of Stanford CoreNLP 3.6.0 (stanford-corenlp-full-2015-12-09.zip, 536 MB, nlp.stanford.edu/software): "
    "put stanford-corenlp-3.6.0.jar and stanford-corenlp-3.6.0-models.jar into {folder}.",
}


def check_available(family: str) -> Path:
    """The package's folder, if METEOR or SPICE can be computed.

    Raises:
        MissingError: Java, the package or a jar is not here.
    """
    name = family.upper()
    if shutil.which("java") is None:
        raise MissingError(f"{name} needs Java, and there is no program `java`", hint="Install a Java runtime (8 or newer), or leave this metric out.")
    spec = importlib.util.find_spec("pycocoevalcap")
    if spec is None or not spec.submodule_search_locations:
        more = "; Java is here" if family == "meteor" else "; Java is here. SPICE then needs two jars of Stanford CoreNLP as well (536 MB)"
        raise MissingError(f"{name} needs the package pycocoevalcap", hint=f'pip install "clipcap-cli[coco]"{more}')
    folder = Path(next(iter(spec.submodule_search_locations)))
    missing = [path for path in _NEEDED[family] if not (folder / path).is_file()]
    if missing:
        hint = _HINTS[family].format(folder=folder / "spice" / "lib")
        raise MissingError(f"{name} needs files that are not here: {', '.join(missing)}", where=str(folder), hint=hint)
    return folder


def meteor(corpus: Corpus) -> Metric:
    """METEOR of tokenised captions.

    Raises:
        MissingError: it cannot be computed here.
    """
    folder = check_available("meteor")
    lines = [_SEPARATOR.join(["SCORE", *references, _plain(candidate)]) for references, candidate in _captions(corpus)]
    rows = np.array([[float(number) for number in line.split()] for line in _meteor_program(folder).ask(lines)])
    of_sums = functools.partial(_meteor_of_sums, folder)
    per_image = of_sums(rows)
    # Where both captions match as a whole, the program's own sum over captions counts no chunk.
    whole = (rows[:, _CHUNKS] == 1) & (rows[:, _MATCHED] == rows[:, _LENGTHS]).all(1)
    rows[whole, _CHUNKS] = 0
    return Metric("METEOR", per_image, rows, of_sums)


def spice(corpus: Corpus) -> Metric:
    """SPICE of tokenised captions: the mean F-measure of pictures.

    Raises:
        MissingError: it cannot be computed here.
    """
    folder = check_available("spice")
    entries = [{"image_id": number, "test": candidate, "refs": references} for number, (references, candidate) in enumerate(_captions(corpus))]
    with tempfile.TemporaryDirectory(prefix="clipcap-spice-") as place:
        asked, answered, cache = Path(place, "captions.json"), Path(place, "scores.json"), Path(place, "cache")
        cache.mkdir()
        asked.write_text(json.dumps(entries), encoding="utf-8")
        jar = str(folder / "spice" / "spice-1.0.jar")
        command = ["java", "-Xmx8G", "-jar", jar, str(asked), "-cache", str(cache), "-out", str(answered), "-subset", "-silent"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            raise _failed("SPICE", done.stderr)
        found = {item["image_id"]: item["scores"]["All"]["f"] for item in json.loads(answered.read_text(encoding="utf-8"))}
    return mean_metric("SPICE", np.array([float(found[number]) for number in range(corpus.pictures)]))


def _meteor_of_sums(folder: Path, sums: Floats) -> Floats:
    """METEOR is a function of sums of what was matched; only the program knows which."""
    flat = sums.reshape(-1, sums.shape[-1])
    # Of each line come the score of the one segment in it, and that of all of its segments.
    questions = [f"EVAL{_SEPARATOR}{' '.join(map(repr, row))}" for row in flat.tolist()]
    answers = _meteor_program(folder).ask(questions, answers=2)
    return np.array([float(line) for line in answers[::2]]).reshape(sums.shape[:-1])


class _Program:
    """A program that answers each line with lines of its own."""

    def __init__(self, command: Sequence[str], name: str) -> None:
        self._name = name
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  what it complains of, until it is closed; a pipe that nobody empties would stop it
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True, encoding="utf-8")

    def ask(self, lines: Sequence[str], *, answers: int = 1) -> list[str]:
        """All answers to all lines, so many to each.

        Raises:
            MissingError: it has ended.
        """
        writer = threading.Thread(target=self._write, args=(lines,))  # beside the reading, for pipes hold little
        writer.start()
        assert self._process.stdout is not None
        found = [line.rstrip("\n") for line in itertools.islice(self._process.stdout, answers * len(lines))]
        writer.join()
        if len(found) < answers * len(lines):
            _meteor_program.cache_clear()
            self._process.wait()
            self._said.seek(0)
            said = self._said.read().decode(errors="replace")
            self.close()
            raise _failed(self._name, said)
        return found

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):
            self._process.communicate()
        self._said.close()

    def _write(self, lines: Sequence[str]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended: whoever reads finds out
            self._process.stdin.writelines(f"{line}\n" for line in lines)
            self._process.stdin.flush()


@functools.cache
def _meteor_program(folder: Path) -> _Program:
    """METEOR's program, started once: it takes seconds to read its paraphrases, and one evaluation asks it many times."""
    jar = str(folder / "meteor" / "meteor-1.5.jar")
    command = ["java", "-Xmx2G", "-Dfile.encoding=UTF-8", "-jar", jar, "-", "-", "-stdio", "-l", "en", "-norm"]
    program = _Program(command, "METEOR")
    atexit.register(program.close)
    return program


def _captions(corpus: Corpus) -> list[tuple[list[str], str]]:
    firsts = [*corpus.firsts.tolist(), len(corpus.references)]
    return [(corpus.references[firsts[row] : firsts[row + 1]], corpus.candidates[row]) for row in range(corpus.pictures)]


def _plain(candidate: str) -> str:
    return candidate.replace("|||", "").replace("  ", " ")


def _failed(name: str, said: str) -> MissingError:
    last = (said.strip().splitlines() or ["it said nothing"])[-1]
    return MissingError(f"{name}'s Java program failed: {last[:300]}", hint="Try another Java runtime (8 or 11), or leave this metric out.")
