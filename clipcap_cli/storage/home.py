"""The layout of CLIPCAP_HOME: one property a room, one number for the layout as a whole.

datasets/ images/ embeddings/ weights/ models/ runs/ sweeps/ evaluations/ staging/ locks/ home.json
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from clipcap_cli.errors import StoreError
from clipcap_cli.storage import exchange
from clipcap_cli.storage.atomic import make_folder, store_errors, write_json
from clipcap_cli.storage.leftovers import heal
from clipcap_cli.storage.reading import read_json

LAYOUT = 1
_REPLACED = 2  # folders down from the root are those that are replaced while they are there: runs/NAME/best


@dataclass(frozen=True)
class Home:
    """A store on disk. Making one touches nothing; `prepare` creates it when something is to be written."""

    root: Path

    @property
    def datasets(self) -> Path:
        return self.root / "datasets"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def embeddings(self) -> Path:
        return self.root / "embeddings"

    @property
    def weights(self) -> Path:
        return self.root / "weights"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def sweeps(self) -> Path:
        return self.root / "sweeps"

    @property
    def evaluations(self) -> Path:
        return self.root / "evaluations"

    @property
    def staging(self) -> Path:
        """Where a cluster's workers leave what they have done; nothing there is needed by anything else."""
        return self.root / "staging"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def prepare(self) -> Home:
        """Create the store if it is not there, and return it.

        Raises:
            StoreError: the place is read-only, full, or a file.
        """
        with store_errors(self.root):
            make_folder(self.root)
            if not (self.root / "home.json").exists():
                write_json(self.root / "home.json", {"layout": LAYOUT})
        return self


def open_home(root: str | os.PathLike[str] | None = None) -> Home:
    """The store at `root`, else at $CLIPCAP_HOME, else at the user's data folder.

    Raises:
        StoreError: it is a file, was laid out by a newer clipcap, or its layout file cannot be read.
    """
    chosen = Path(root or os.environ.get("CLIPCAP_HOME") or platformdirs.user_data_dir("clipcap")).expanduser().absolute()
    if chosen.exists() and not chosen.is_dir():
        raise StoreError("this is a file, and a store is a folder", where=str(chosen), hint="Choose another place with --home or CLIPCAP_HOME.")
    stamp = chosen / "home.json"
    if stamp.exists():
        try:
            layout = read_json(stamp)["layout"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"the store's layout file cannot be read ({error})", where=str(stamp), hint='Restore it, or write {"layout": 1} into it.'
            ) from error
        if not isinstance(layout, int) or layout > LAYOUT:
            raise StoreError(
                f"this store has layout {layout!r}, newer than the {LAYOUT} that this clipcap knows",
                where=str(chosen),
                hint="Update clipcap, or choose another store with --home.",
            )
    if not exchange.ON_THIS_SYSTEM and stamp.exists():
        heal(chosen, depth=_REPLACED)
    return Home(chosen)
