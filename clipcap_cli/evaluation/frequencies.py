"""Where the document frequencies of CIDEr come from when not from the evaluated references: a saved file, or the captions of a dataset."""

from __future__ import annotations

from pathlib import Path

from clipcap_cli.datasets.dataset import open_dataset
from clipcap_cli.evaluation.metrics.cider import DocumentFrequencies, count_documents, read_frequencies
from clipcap_cli.storage.home import Home


def find_frequencies(name: str, home: Home) -> DocumentFrequencies:
    """The frequencies that are meant.

    Args:
        name: a file of `--save-idf`, a dataset, or a dataset and a split of it: "flickr8k:train".

    Raises:
        InputError: there is no such file, dataset or split.
    """
    if Path(name).is_file() or Path(name).suffix.lower() == ".json":
        return read_frequencies(Path(name))
    dataset, _, split = name.partition(":")
    images = open_dataset(dataset, home=home).images(split or None)
    return count_documents(name, [image.captions for image in images])
