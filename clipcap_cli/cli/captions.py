"""The ways in which captions leave: text, JSON lines, CSV, or a file beside each picture."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from clipcap_cli.cli.out import printable, to_json
from clipcap_cli.errors import InputError
from clipcap_cli.storage.atomic import replacing, write_text

if TYPE_CHECKING:
    from clipcap_cli.captioner.captioner import Caption

Format = Literal["text", "jsonl", "csv", "sidecar"]
Put = Callable[[Path, "Caption"], None]


def as_text(picture: Path, caption: Caption) -> str:
    """`PICTURE: CAPTION`, on one line; further candidates below it, with their scores."""
    lines = [f"{printable(picture)}: {printable(caption.text)}"]
    if len(caption.candidates) > 1:
        lines += [f"  {candidate.score:8.3f}  {printable(candidate.text)}" for candidate in caption.candidates]
    return "\n".join(lines) + "\n"


def as_jsonl(picture: Path, caption: Caption) -> str:
    """`{"image", "caption", "score", "candidates": [{"text", "score"}]}`."""
    candidates = [{"text": candidate.text, "score": candidate.score} for candidate in caption.candidates]
    return to_json({"image": str(picture), "caption": caption.text, "score": caption.score, "candidates": candidates}) + "\n"


def as_csv(picture: Path, caption: Caption) -> str:
    """Rows of image, caption, score: one a candidate, the best first. With its header it can be added as a dataset."""
    rows = io.StringIO()
    # All texts in quotes: by itself the csv module leaves a lone carriage return unquoted.
    writer = csv.writer(rows, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows((str(picture), candidate.text, candidate.score) for candidate in caption.candidates)
    return rows.getvalue()


_HEADER = {"csv": "image,caption,score\n"}
_LINES = {"text": as_text, "jsonl": as_jsonl, "csv": as_csv}


@contextmanager
def writing(form: Format, output: Path | None, *, overwrite: bool) -> Iterator[Put]:
    """Yield a function that takes each picture with its caption and writes it.

    With `output`, the file is there when the block has ended, also when it was interrupted; an error leaves what was there before.

    Raises:
        InputError: `output` exists and is not to be overwritten.
        StoreError: it cannot be written.
    """
    if form == "sidecar":
        yield _put_beside
    elif output is None:
        yield _line_writer(form, sys.stdout)
    else:
        if output.exists() and not overwrite:
            raise InputError(f"{output} exists and was left as it is", hint="Add --overwrite, or choose another name with --output.")
        interrupted = None
        with replacing(output) as part, part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            try:
                yield _line_writer(form, stream)
            except KeyboardInterrupt as error:
                interrupted = error
        if interrupted:
            raise interrupted


def sidecar_of(picture: Path) -> Path:
    """The text file beside a picture."""
    return picture.with_suffix(".txt")


def _put_beside(picture: Path, caption: Caption) -> None:
    write_text(sidecar_of(picture), "".join(f"{' '.join(candidate.text.split())}\n" for candidate in caption.candidates))


def _line_writer(form: Format, stream: TextIO) -> Put:
    stream.write(_HEADER.get(form, ""))

    def put(picture: Path, caption: Caption) -> None:
        stream.write(_LINES[form](picture, caption))
        # Whoever waits for a caption gets it at once.
        stream.flush()

    return put
