"""Tables that name their pictures by addresses of the web: they have to be fetched first, which is not this program's work."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from itertools import islice

from clipcap_cli.datasets.files.folders import Folder
from clipcap_cli.datasets.tables.columns import Columns, Table
from clipcap_cli.datasets.tables.delimited import Row
from clipcap_cli.errors import InputError

_LOOKED_AT = 20  # rows
_SCHEMES = ("http://", "https://")


def are_addresses(rows: Iterable[Row], folder: Folder) -> bool:
    """Whether the first rows name pictures by addresses, and none of these is in the folder under its name."""
    names = [row.image for row in islice(rows, _LOOKED_AT) if row.image]
    return bool(names) and all(name.lower().startswith(_SCHEMES) for name in names) and not any(folder.find(name) for name in names)


def to_be_fetched(table: Table, columns: Columns) -> InputError:
    """The error for such a table, with the line that fetches its pictures."""
    image, caption = (shlex.quote(table.header[place]) for place in (columns.image, columns.captions[0]))
    form = {".tab": "tsv", ".ndjson": "jsonl"}.get(table.path.suffix.lower(), table.path.suffix.lower().removeprefix(".") or "csv")
    line = f"img2dataset --url_list {shlex.quote(str(table.path))} --input_format {form} --url_col {image} --caption_col {caption}"
    line += " --output_format webdataset --output_folder pictures"
    return InputError(
        f"the column {table.header[columns.image]!r} has addresses of pictures on the web, and none of them is here",
        where=str(table.path),
        hint=f"Fetch them, as with `{line}` (pip install img2dataset), then `clipcap dataset add pictures`.",
    )
