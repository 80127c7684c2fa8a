"""Every layout that is known, in the order in which they are tried."""

from __future__ import annotations

from importlib.metadata import entry_points

from clipcap_cli.datasets.readers.captions_table import CaptionsTable
from clipcap_cli.datasets.readers.class_folders import ClassFolders
from clipcap_cli.datasets.readers.coco import Coco, CocoResults
from clipcap_cli.datasets.readers.flickr import Flickr
from clipcap_cli.datasets.readers.indexed import Indexed
from clipcap_cli.datasets.readers.karpathy import Karpathy
from clipcap_cli.datasets.readers.metadata import Metadata
from clipcap_cli.datasets.readers.original import OriginalPickle
from clipcap_cli.datasets.readers.parquet import Parquet
from clipcap_cli.datasets.readers.sidecar import Sidecar
from clipcap_cli.datasets.readers.webdataset import WebDataset
from clipcap_cli.datasets.records import Reader
from clipcap_cli.errors import MissingError

GROUP = "clipcap.readers"

# The most telling layout first: a source that has two is read by the first of them.
_OURS: tuple[type[Reader], ...] = (
    ClassFolders,
    OriginalPickle,
    WebDataset,
    Karpathy,
    Coco,
    CocoResults,
    Flickr,
    Indexed,
    Metadata,
    CaptionsTable,
    Parquet,
    Sidecar,
)


def known_readers() -> list[Reader]:
    """Readers of installed packages (entry points of the group `clipcap.readers`, each a class), then our own.

    Raises:
        MissingError: an installed one cannot be loaded.
    """
    theirs: list[Reader] = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            reader = entry.load()()
        except Exception as error:  # whatever a package does when it is imported
            raise MissingError(
                f"the reader {entry.name!r} cannot be loaded: {error}", where=entry.value, hint="Mend or uninstall the package that it came with."
            ) from error
        if not isinstance(reader, Reader):
            raise MissingError(f"{entry.name!r} is not a reader: it lacks layout, detect or read", where=entry.value, hint="Mend or uninstall its package.")
        theirs.append(reader)
    return [*theirs, *(reader() for reader in _OURS)]
