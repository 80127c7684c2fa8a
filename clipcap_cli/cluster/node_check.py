"""What is asked of each node before work begins. It is sent as code, so that a node without clipcap can answer too: it imports nothing of ours."""

from __future__ import annotations

from typing import Any


def look_around(paths: list[str]) -> dict[str, Any]:
    """The version of clipcap here, or why there is none; and which of these paths are not seen."""
    import os

    unseen = [path for path in paths if not os.path.exists(path)]  # noqa: PTH110 - as few imports as can be
    try:
        from clipcap_cli._version import __version__
    except Exception as error:
        return {"clipcap": None, "reason": str(error), "unseen": unseen}
    return {"clipcap": __version__, "unseen": unseen}
