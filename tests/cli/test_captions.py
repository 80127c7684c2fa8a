from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcap_cli.captioner.captioner import Candidate, Caption
from clipcap_cli.cli.captions import Format, as_csv, as_jsonl, as_text, sidecar_of, writing
from clipcap_cli.errors import InputError

NAMES = st.text(st.characters(blacklist_characters="\0", blacklist_categories=())).filter(lambda name: name.strip("./"))


def caption(*texts: str) -> Caption:
    """Candidates with scores -1, -2, …; the first is the caption."""
    candidates = tuple(Candidate(text, -float(number)) for number, text in enumerate(texts, 1))
    return Caption(texts[0], -1.0, candidates, ())


@given(NAMES, st.text())
def test_a_line_of_text_stays_one_line_whatever_the_names(name: str, text: str) -> None:
    line = as_text(Path(name), caption(text))
    assert line.endswith("\n")
    assert len(line.splitlines()) == 1


@given(NAMES, st.text())
def test_a_json_line_gives_back_the_exact_name_and_caption(name: str, text: str) -> None:
    line = as_jsonl(Path(name), caption(text))
    assert line.count("\n") == 1
    document = json.loads(line)
    assert (document["image"], document["caption"]) == (str(Path(name)), text)


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])).filter(lambda name: name.strip("./")))
def test_csv_gives_back_name_and_caption(name: str) -> None:
    [row] = csv.reader(io.StringIO(as_csv(Path(name), caption('a, "b"\nc')), newline=""))
    assert row == [str(Path(name)), 'a, "b"\nc', "-1.0"]


def test_candidates_come_best_first_in_every_format(tmp_path: Path) -> None:
    both = caption("a cat", "a dog")
    assert as_text(Path("p.jpg"), both) == "p.jpg: a cat\n    -1.000  a cat\n    -2.000  a dog\n"
    assert json.loads(as_jsonl(Path("p.jpg"), both))["candidates"] == [{"text": "a cat", "score": -1.0}, {"text": "a dog", "score": -2.0}]
    assert as_csv(Path("p.jpg"), both) == '"p.jpg","a cat",-1.0\n"p.jpg","a dog",-2.0\n'
    with writing("sidecar", None, overwrite=False) as put:
        put(tmp_path / "p.jpg", both)
    assert sidecar_of(tmp_path / "p.jpg").read_text() == "a cat\na dog\n"


@pytest.mark.parametrize(("form", "text"), [("text", "p.jpg: a cat\n"), ("csv", 'image,caption,score\n"p.jpg","a cat",-1.0\n')])
def test_an_output_file_is_there_when_all_is_written(form: Format, text: str, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with writing(form, output, overwrite=False) as put:
        put(Path("p.jpg"), caption("a cat"))
        assert not output.exists()
    assert output.read_text() == text
    assert list(tmp_path.iterdir()) == [output]


def test_an_output_file_that_exists_is_left_alone(tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    output.write_text("mine")
    with pytest.raises(InputError, match="left as it is"), writing("csv", output, overwrite=False):
        pass
    assert output.read_text() == "mine"
    with writing("csv", output, overwrite=True):
        pass
    assert output.read_text() == "image,caption,score\n"


def test_an_interruption_keeps_what_was_captioned_and_an_error_what_was_there(tmp_path: Path) -> None:
    output = tmp_path / "out.txt"
    with pytest.raises(KeyboardInterrupt), writing("text", output, overwrite=False) as put:
        put(Path("p.jpg"), caption("a cat"))
        raise KeyboardInterrupt
    assert output.read_text() == "p.jpg: a cat\n"
    with pytest.raises(InputError), writing("text", output, overwrite=True) as put:
        put(Path("q.jpg"), caption("a dog"))
        raise InputError("something is wrong")
    assert output.read_text() == "p.jpg: a cat\n"
    assert list(tmp_path.iterdir()) == [output]
