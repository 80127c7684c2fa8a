"""A bundle of the hub becomes a model of the store: the files that its captioner.json lists, of one commit, each checked against its hash."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from clipcap_cli.captioner.bundle_import import check_listed, import_bundle, name_for
from clipcap_cli.captioner.manifest import CARD, LIMIT, NAME, read_manifest
from clipcap_cli.errors import InputError, StoreError
from clipcap_cli.events import Advanced, Finished, Listener, Note, Started, silent
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.hub import download_file, list_repo
from clipcap_cli.words import size


def pull_bundle(repo: str, home: Home, *, revision: str | None = None, name: str | None = None, replace: bool = False, events: Listener = silent) -> str:
    """Fetch a captioner from the hub.

    Args:
        repo: "org/name".
        revision: a branch, tag or commit; None for the newest. The commit is kept with the model, whatever was named.
        name: of the model; the repository's if nothing is said.
        replace: take the place of a model of that name.

    Returns:
        The name of the model.

    Raises:
        InputError: there is no such repository, or no captioner in it.
        MissingError: offline, or not reachable.
        StoreError: its files are not those that were uploaded, or the store cannot be written.
    """
    home = home.prepare()
    target = name_for(name or repo.rpartition("/")[2], Path(repo), home, replace)
    commit, sizes = list_repo(repo, revision=revision)
    if NAME not in sizes:
        raise InputError(
            f"the hub's model {repo} is no captioner of clipcap: it has no {NAME}", hint="A captioner gets there by `clipcap export --format hub`."
        )
    if max(sizes[NAME], sizes.get(CARD, 0)) > LIMIT:
        raise InputError(f"{NAME} or {CARD} of {repo} is larger than any captioner's", hint="It was not downloaded.")
    folder = home.weights / "hub" / f"{repo.replace('/', '--')}-{commit[:12]}"
    download_file(repo, NAME, commit, folder)
    manifest = read_manifest(folder)
    check_listed(manifest, folder / NAME)
    absent = sorted(manifest.files.keys() - sizes.keys())
    if absent:
        raise StoreError(f"the captioner {repo} is damaged: {absent[0]} is missing on the hub", hint="Tell whoever uploaded it.")
    wanted = [*manifest.files, *([CARD] if CARD in sizes else [])]
    events(Note(f"{repo} at {commit[:12]}: {len(wanted) + 1} files, {size(sum(sizes[path] for path in wanted))}"))
    _download(repo, commit, folder, wanted, sizes, events)
    made = import_bundle(folder, home, name=target, replace=replace, info={"pulled": {"repo": repo, "revision": commit}}, events=events)
    shutil.rmtree(folder, ignore_errors=True)
    return made


def _download(repo: str, commit: str, folder: Path, wanted: Sequence[str], sizes: dict[str, int], events: Listener) -> None:
    events(Started("download", sum(sizes[path] for path in wanted), "bytes"))
    try:
        for path in wanted:
            download_file(repo, path, commit, folder)
            events(Advanced("download", sizes[path]))
    finally:
        events(Finished("download"))
