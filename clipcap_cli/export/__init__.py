"""A captioner for others: a bundle, a checkpoint of the original code, onnx, or a place on the hub.

`clipcap_cli.export` is this room, and it is what users call: `clipcap_cli.export("food", "bundle")`. A room of that name would hide a function of that name as
soon as anything of it is imported, so the room itself can be called.
"""

import sys
from types import ModuleType

from clipcap_cli.export.exporting import export


class _Room(ModuleType):
    __call__ = staticmethod(export)


sys.modules[__name__].__class__ = _Room
