from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Clipcap = Callable[..., Any]


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("export", 2, "Missing argument 'MODEL'"),
        ("export food --format nothing", 2, "there is no format 'nothing'"),
        ("export food", 3, "there is no model or run named 'food'"),
        ("export food --tar --format original", 2, "--tar has no effect on the format original"),
        ("export food --no-old-buffers", 2, "has no effect on the format bundle"),
        ("export food --format hub", 2, "Add --repo ORGANISATION/NAME."),
        ("export food --format hub --repo food", 3, "'food' cannot name a repository of the hub"),
        ("export food --license MIT!", 3, "'MIT!' is no licence as the hub writes them"),
        ("export coco-mlp", 4, "clipcap model pull coco-mlp"),
        ("model pull me/food", 4, "the model me/food would come from the hub, and clipcap is offline"),
        ("model pull me/food/x", 3, "'me/food/x' cannot name a repository of the hub"),
        ("model import none.tar", 3, "this file cannot be read"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(line: str, code: int, message: str, clipcap: Clipcap) -> None:
    said = clipcap(*line.split())
    assert said.code == code
    assert message in said.err
    assert said.err.count("Error:") == 1
    assert said.out == ""


def test_the_help_says_what_each_format_is_for(clipcap: Clipcap) -> None:
    told = " ".join(clipcap("export", "--help").out.split())
    for phrase in (
        "bundle, for clipcap elsewhere",
        "original, for the original code",
        "onnx, without torch",
        "Replace an earlier export; anything else is left alone.",
    ):
        assert phrase in told
