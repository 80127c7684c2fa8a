"""Pictures that are taken into the store: CLIPCAP_HOME/images/ab/abcdef….jpg, by their bytes, so that no picture is there twice.

A picture that comes out of an archive or a table is always taken; the others are if the user wants it. What no version of a dataset refers to is cleared
away by `clipcap cache prune`, a day after it was last asked for.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from clipcap_cli.datasets.manifest import Policy
from clipcap_cli.datasets.pictures import read_picture
from clipcap_cli.errors import InputError
from clipcap_cli.storage.atomic import make_folder, store_errors, sync_folder
from clipcap_cli.storage.hashing import image_id_of
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.leftovers import part_path

_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2"}  # by Pillow's names of formats; the others are .png, .webp, …


class Keeper:
    """Takes pictures in, one dataset's at a time.

    Args:
        policy: what becomes of pictures that are files: they stay where they are, are linked into the store (a second name of the same file, which takes no
            room and needs the same file system), or are copied.
    """

    def __init__(self, home: Home, policy: Policy) -> None:
        self.home, self._policy = home, policy
        self._folders: set[Path] = set()  # those in which something was written

    def keep_file(self, path: str, image_id: str, form: str) -> str:
        """Where a picture's file is to be found from now on: the path itself, or one relative to the store.

        Args:
            form: Pillow's name of its format.

        Raises:
            InputError: it has changed since it was looked at, or the store is on another file system and links were wanted.
            StoreError: it cannot be written.
        """
        if self._policy == "in-place":
            return path
        place, name = self._place(image_id, form)
        if self._is_there(place):
            return name
        with store_errors(place):
            part = part_path(place)
            try:
                if self._policy == "link":
                    self._link(path, part)
                else:
                    shutil.copyfile(path, part)
                if image_id_of(read_picture(part)) != image_id:
                    raise InputError("this picture has changed while it was added", where=path, hint="Add the folder again.")
                os.replace(part, place)
            except FileNotFoundError as error:
                raise InputError("this picture went away while it was added", where=path, hint="Add the folder again.") from error
            finally:
                part.unlink(missing_ok=True)
        return name

    def keep_bytes(self, data: bytes, image_id: str, form: str) -> str:
        """Take a picture in; its path relative to the store.

        Raises:
            StoreError: it cannot be written.
        """
        place, name = self._place(image_id, form)
        if not self._is_there(place):
            with store_errors(place):
                part = part_path(place)
                try:
                    part.write_bytes(data)
                    os.replace(part, place)
                finally:
                    part.unlink(missing_ok=True)
        return name

    def settle(self) -> None:
        """Make what was taken in survive a power cut. To be called before a version refers to it.

        Raises:
            StoreError: the disk refuses.
        """
        if not self._folders:
            return
        with store_errors(self.home.images):
            if hasattr(os, "sync"):  # one call for all: a flush for each of 100,000 files takes minutes
                os.sync()
            for folder in self._folders:
                sync_folder(folder)

    def _place(self, image_id: str, form: str) -> tuple[Path, str]:
        folder = self.home.images / image_id[:2]
        if folder not in self._folders:
            with store_errors(folder):
                make_folder(folder)
            self._folders.add(folder)
        place = folder / f"{image_id}{_SUFFIXES.get(form, f'.{form.lower()}')}"
        return place, place.relative_to(self.home.root).as_posix()

    @staticmethod
    def _is_there(place: Path) -> bool:
        """Whether the picture is in the store, whole; it is wanted now, and pruning is to know that."""
        try:
            if image_id_of(read_picture(place)) != place.stem:
                return False
            # Marks the time of the last change of the entry, not of the contents: a linked picture is the user's own file.
            place.chmod(place.stat().st_mode & 0o7777)
        except OSError:
            return False
        return True

    def _link(self, path: str, part: Path) -> None:
        try:
            os.link(path, part)
        except OSError as error:
            if self.home.images in Path(path).parents:  # unpacked here, and nobody has asked for links
                shutil.copyfile(path, part)
                return
            hint = "Links need the store on the same file system; take --copy, or --in-place."
            raise InputError(f"this picture cannot be linked into the store ({error.strerror})", where=path, hint=hint) from error
