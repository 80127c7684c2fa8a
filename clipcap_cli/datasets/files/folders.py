"""What lies in a folder, and which of its pictures a name in a captions file means.

Names are compared as Unicode in composed form, since some systems store file names decomposed while tables do not.
"""

from __future__ import annotations

import os
import posixpath
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from clipcap_cli.datasets.pictures import PICTURE_SUFFIXES
from clipcap_cli.datasets.splits import splits_of_places
from clipcap_cli.errors import InputError


def is_picture_name(name: str) -> bool:
    """Whether a file of this name is taken for a picture."""
    return posixpath.splitext(name)[1].lower() in PICTURE_SUFFIXES


@dataclass(frozen=True)
class Folder:
    """The files beneath `root`: names relative to it with '/' between the parts, sorted; hidden files and folders are not among them."""

    root: Path
    files: tuple[str, ...] = field(repr=False)

    @cached_property
    def pictures(self) -> tuple[str, ...]:
        return tuple(name for name in self.files if is_picture_name(name))

    def path(self, name: str) -> Path:
        return self.root / name

    def shared_place(self) -> str:
        """For people: the one subfolder that holds all the pictures ("images/"), or "the folder"."""
        parents = {posixpath.dirname(name) for name in self.pictures}
        return f"{parents.pop()}/" if len(parents) == 1 and "" not in parents else "the folder"

    def find(self, name: str, *, beside: str = "") -> tuple[str, ...]:
        """The pictures that `name` may mean: none, the one, or several that cannot be told apart.

        Args:
            name: as a captions file has it: a path, or a bare name.
            beside: the folder of that file, relative to `root`.

        By path first, then by the file's own name, wherever it is; then by that name in small letters; then, if it has no ending of a picture, without endings.
        """
        name = _key(name)
        name = name.removeprefix(self._beginning)
        for path in (posixpath.normpath(posixpath.join(beside, name)), posixpath.normpath(name)):
            if path in self._by_path:
                return (self._by_path[path],)
        base = posixpath.basename(name)
        found = self._by_base.get(base) or self._by_small_base.get(base.casefold())
        if not found and not is_picture_name(base):
            found = self._by_stem.get(base.casefold())
        return tuple(found or ())

    @cached_property
    def _beginning(self) -> str:
        return f"{_key(self.root.as_posix())}/"

    @cached_property
    def _by_path(self) -> dict[str, str]:
        return {_key(name): name for name in self.pictures}

    @cached_property
    def _by_base(self) -> dict[str, list[str]]:
        return self._index(posixpath.basename)

    @cached_property
    def _by_small_base(self) -> dict[str, list[str]]:
        return self._index(lambda name: posixpath.basename(name).casefold())

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        return self._index(lambda name: posixpath.splitext(posixpath.basename(name))[0].casefold())

    def _index(self, part: Callable[[str], str]) -> dict[str, list[str]]:
        index: defaultdict[str, list[str]] = defaultdict(list)
        for name in self.pictures:
            index[part(_key(name))].append(name)
        return dict(index)


def scan(root: Path) -> Folder:
    """List a folder with all its subfolders; links to folders are followed, each folder once.

    Raises:
        InputError: one of them cannot be read.
    """
    return Folder(root, tuple(sorted(_walk(root))))


def pictures_of(source: Path, images: Path | None) -> Folder:
    """The pictures that a source's captions are about: in `images` if the user named that folder, else in the source's own."""
    return scan(images or (source if source.is_dir() else source.parent))


def top_files(root: Path) -> list[Path]:
    """The files right in `root`, sorted, without hidden ones.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return sorted(root / entry.name for entry in os.scandir(root) if not entry.name.startswith(".") and _is(entry.is_file))
    except OSError as error:
        raise _unreadable(root, error) from error


def subfolders(root: Path) -> list[Path]:
    """The folders right in `root`, sorted, without hidden ones.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return sorted(root / entry.name for entry in os.scandir(root) if not entry.name.startswith(".") and _is(entry.is_dir))
    except OSError as error:
        raise _unreadable(root, error) from error


def split_folders(folder: Folder) -> dict[str, str]:
    """The topmost folders that are splits, if all pictures are in such folders and some are to learn from."""
    tops = {name.split("/", 1)[0] if "/" in name else "" for name in folder.pictures}
    return splits_of_places({top: top for top in tops})


def beside(file: Path, folder: Folder) -> str:
    """The folder of `file` as seen from `folder`: "" if it is that one."""
    path = Path(os.path.relpath(file.parent, folder.root)).as_posix()
    return "" if path == "." else path


def what_it_holds(names: tuple[str, ...]) -> str:
    """For people: "3 .pdf, 1 .zip"; the most frequent kinds of file first."""
    kinds = Counter(posixpath.splitext(name)[1].lower() or "without an ending" for name in names)
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5)) or "nothing"


def _walk(root: Path) -> Iterator[str]:
    visited: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        beneath = waiting.pop()
        folder = root / beneath
        try:
            status = folder.stat()
            entries = list(os.scandir(folder))
        except OSError as error:
            raise _unreadable(folder, error) from error
        if (status.st_dev, status.st_ino) in visited:
            continue
        visited.add((status.st_dev, status.st_ino))
        folders = []
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            name = f"{beneath}{entry.name}"
            if _is(entry.is_dir):
                folders.append(f"{name}/")
            elif _is(entry.is_file):
                yield name
        waiting += reversed(folders)


def _is(asked: Callable[[], bool]) -> bool:
    """Whether an entry is what is asked; a link to itself is nothing, as a link to nothing is."""
    try:
        return asked()
    except OSError:
        return False


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip().replace("\\", "/"))


def _unreadable(folder: Path, error: OSError) -> InputError:
    return InputError(f"this folder cannot be read: {error.strerror}", where=str(folder), hint="Give yourself permission to read it, then type this again.")
