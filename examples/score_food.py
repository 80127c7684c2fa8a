"""How many captions of `examples/food` name exactly the right food.

    clipcap caption examples/food/images --format jsonl > captions.jsonl
    python examples/score_food.py captions.jsonl
    python examples/score_food.py --list test      # the pictures of a split, one path a line

A caption counts as right in kind when it names exactly the foods that lie there, and in number when it also names how many of each. A caption that names one
twice, or says something that the captions of this dataset never say, is wrong.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from food_grammar import parse_caption

FOLDER = Path(__file__).resolve().parent / "food"
HELD_OUT = ("val", "test")


def read_truth(folder: Path) -> dict[str, dict[str, Any]]:
    """What lies in each picture, by the picture's file name."""
    lines = (folder / "truth.jsonl").read_text(encoding="utf-8").splitlines()
    return {Path(still_life["file_name"]).name: still_life for still_life in map(json.loads, lines)}


def judge(caption: str, foods: dict[str, int]) -> tuple[bool, bool]:
    """Whether a caption names the right kinds, and the right kinds in the right numbers."""
    named = parse_caption(caption) or {}
    return set(named) == set(foods), named == foods


def score(predictions: Iterable[dict[str, Any]], truth: dict[str, dict[str, Any]]) -> dict[tuple[str, bool], list[tuple[bool, bool]]]:
    """The judgements of each split, familiar and new contents apart; pictures of other data are passed over."""
    judged: dict[tuple[str, bool], list[tuple[bool, bool]]] = {}
    for prediction in predictions:
        still_life = truth.get(Path(prediction["image"]).name)
        if still_life:
            group = judged.setdefault((still_life["split"], still_life["familiar"]), [])
            group.append(judge(prediction["caption"], still_life["foods"]))
    return judged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", type=Path, nargs="?", help="JSON lines with image and caption")
    parser.add_argument("--list", metavar="SPLIT", help="print the pictures of a split instead")
    arguments = parser.parse_args()
    truth = read_truth(FOLDER)
    if arguments.list:
        for still_life in truth.values():
            if still_life["split"] == arguments.list:
                print(FOLDER / still_life["file_name"])
        return
    if arguments.predictions is None:
        parser.error("name a file of predictions, or a split with --list")
    try:
        lines = arguments.predictions.read_text(encoding="utf-8").splitlines()
        judged = score(map(json.loads, lines), truth)
    except (OSError, ValueError, KeyError, TypeError) as error:
        parser.error(f"{arguments.predictions} is not lines of JSON with image and caption: {error}")
    if not judged:
        parser.error(f"{arguments.predictions} has no caption of a picture of examples/food")
    groups = [(split, [(split, True)]) for split in ("train",)]
    groups += [(f"{split}, {name}", [(split, familiar)]) for split in HELD_OUT for familiar, name in ((True, "familiar"), (False, "new"))]
    groups.append(("held out, in all", [(split, familiar) for split in HELD_OUT for familiar in (True, False)]))
    print(f"{'pictures':22}{'n':>5}{'right foods':>14}{'and numbers':>14}")
    for label, keys in groups:
        found = [judgement for key in keys for judgement in judged.get(key, [])]
        if found:
            kinds, numbers = (sum(part) / len(found) for part in zip(*found, strict=True))
            print(f"{label:22}{len(found):>5}{kinds:>13.0%} {numbers:>13.0%}")


if __name__ == "__main__":
    main()
