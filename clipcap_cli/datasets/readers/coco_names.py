"""Pictures by COCO's numbers: `COCO_val2014_000000000042.jpg`, `000000000042.jpg` and `42.jpg` are one picture, and results name it 42."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from functools import cached_property

from clipcap_cli.datasets.files.folders import Folder

_NUMBERED = re.compile(r"(?:.*_)?([0-9]+)")
_OF_COCO = re.compile(r"(?:COCO_(?:train|val|test)\d{4}_)?([0-9]{12})")


class CocoPictures:
    """The pictures of a folder, by name or number."""

    def __init__(self, folder: Folder, beside: str = "") -> None:
        self.folder = folder
        self._beside = beside

    def find(self, name: str) -> tuple[str, ...]:
        """The pictures that a name means, as `Folder.find`; COCO's names of 2014 find the same pictures under their names of 2017, and the other way round."""
        return self.folder.find(name, beside=self._beside) or self._of_other_year(name)

    def numbered(self, number: int) -> tuple[str, ...]:
        """The pictures that have this number at the end of their names."""
        return tuple(self._by_number.get(number, ()))

    def _of_other_year(self, name: str) -> tuple[str, ...]:
        match = _OF_COCO.fullmatch(_stem(name))
        return tuple(other for other in self.numbered(int(match[1])) if _OF_COCO.fullmatch(_stem(other))) if match else ()

    @cached_property
    def _by_number(self) -> dict[int, list[str]]:
        index: defaultdict[int, list[str]] = defaultdict(list)
        for name in self.folder.pictures:
            if match := _NUMBERED.fullmatch(_stem(name)):
                index[int(match[1])].append(name)
        return dict(index)


def _stem(name: str) -> str:
    return posixpath.splitext(posixpath.basename(name))[0]
