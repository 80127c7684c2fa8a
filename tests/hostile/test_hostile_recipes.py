"""Recipes from strangers: YAML that would run something, fill the memory, or say what no recipe can say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hostile_tools import Stage, replace, sparse

HEAD = "name: mine\nencoder: {name: efficientnet-lite0}\nlanguage_model: {name: builtin:nano}\n"
_LAUGH = "".join(f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10) if number else 'ha'}]\n" for number in range(10))
_LAUGHING_MAPS = "".join(
    f"a{number}: &a{number} {{{', '.join(f'k{key}: *a{number - 1}' for key in range(10)) if number else 'ha: ha'}}}\n" for number in range(10)
)
_LAUGHING_ITEMS = "".join(f"- &b{number} [{', '.join([f'*b{number - 1}'] * 10)}]\n" for number in range(1, 10))
RECIPES = {
    "runs a command": "name: !!python/object/apply:os.system ['echo > $CLIPCAP_CANARY']\n",
    "makes an object": "name: !!python/object/new:pathlib.Path [x]\n",
    "names a module": "name: !!python/module:antigravity\n",
    "names a function": "name: !!python/name:os.system\n",
    "an unknown tag": "name: !include /etc/passwd\n",
    "an alias bomb of lists": _LAUGH,
    "an alias bomb of objects": _LAUGHING_MAPS,
    "an alias bomb in the place of a value": f"{_LAUGH}name: *a9\n",
    "an alias bomb that is no object": f"- &b0 [x]\n{_LAUGHING_ITEMS}",
    "an alias of itself": "name: &a {name: *a}\n",
    "a merge of itself": "train: &a {<<: *a, epochs: 1}\n",
    "brackets in brackets": "name: " + "[" * 5_000,
    "objects in objects": "name: " + "{a: " * 5_000,
    "indented for ever": "".join(f"{' ' * depth}a:\n" for depth in range(300)),
    "too long": HEAD + "#" * 70_000,
    "a list": "- a\n- b\n",
    "a text": "just words",
    "zero bytes": "name: a\0b\n",
    "not UTF-8": b"name: \xff\xfe\n",
    "a key that is no text": "1: 2\nnull: 3\n[a]: 4\n",
    "a key that is an object": "? {a: b}\n: c\n",
    "a day that is none": "name: 2024-13-45\n",
    "a number of 10,000 digits": HEAD + f"seed: {'9' * 10_000}\n",
    "epochs that are none": HEAD + "train: {epochs: .nan}\n",
    "a learning rate of infinity": HEAD + "train: {lr: .inf}\n",
    "a learning rate that is none": HEAD + "train: {lr: .nan}\n",
    "a seed below zero": HEAD + "seed: -1\n",
    "a huge prefix": HEAD + "mapper: {prefix_length: 1000000000000}\n",
    "epochs without end": HEAD + "train: {epochs: 99999999999999999999}\n",
    "steps without end": HEAD + "train: {steps: 99999999999999999999}\n",
    "a huge batch": HEAD + "train: {batch_size: 99999999999999999999}\n",
    "batches without end": HEAD + "train: {accumulate: 99999999999999999999}\n",
    "a warm-up without end": HEAD + "train: {warmup_steps: 99999999999999999999}\n",
    "more pictures than there are": HEAD + "train: {select_pictures: 99999999999999999999}\n",
    "a version that is none": HEAD + "dataset: {version: 99999999999999999999}\n",
    "temperature below zero": HEAD + "decode: {temperature: -1}\n",
    "beams beyond counting": HEAD + "decode: {beams: 1000000000}\n",
    "a name that leads elsewhere": "name: ../../outside\nencoder: {name: efficientnet-lite0}\n",
    "a name that is a device": "name: CON\nencoder: {name: efficientnet-lite0}\n",
    "an empty name": "name: ''\nencoder: {name: efficientnet-lite0}\n",
    "a name with an escape": 'name: "\\e[2J"\nencoder: {name: efficientnet-lite0}\n',
    "extends itself": "extends: mine.yaml\n",
    "extends a circle": "extends: other.yaml\n",
    "extends a file of the system": "extends: /etc/passwd\n",
    "extends a device": "extends: /dev/zero\n",
    "extends a pipe": "extends: pipe.yaml\n",
    "extends a folder": "extends: ../outside\n",
    "extends a list": "extends: [a, b]\n",
    "extends 10,000 letters": f"extends: {'x' * 10_000}\n",
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_hostile_recipe_is_refused_and_nothing_in_it_is_run(recipe: str, stage: Stage) -> None:
    text = RECIPES[recipe]
    path = replace(stage.work / "mine.yaml", text if isinstance(text, bytes) else text.encode())
    replace(stage.work / "other.yaml", b"extends: mine.yaml\n")
    os.mkfifo(stage.work / "pipe.yaml")
    said = stage.refuses("train", path, "--dataset", "pictures", codes=(3,))
    assert "\x1b" not in said.err
    stage.refuses("recipe", "check", path, codes=(3,))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("dataset.name", "../../outside"),
        ("dataset.train", "../../outside"),
        ("dataset.texts", "/dev/zero"),
        ("dataset.texts", "{work}/pipe"),
        ("dataset.texts", "{work}/sparse"),
        ("encoder.name", "openai:{work}/pipe"),
        ("encoder.name", "openai:../../outside/precious.txt"),
        ("encoder.name", "hf:../../outside"),
        ("language_model.name", "../../outside"),
        ("language_model.name", "{work}/pipe"),
        ("language_model.name", "x" * 10_000),
        ("seed", "[" * 5_000),
        ("seed", "!!python/object/apply:os.system [id]"),
        ("seed", "2024-13-45"),
        ("__class__.__init__", "1"),
        ("train.lr", ".nan"),
    ],
)
def test_a_value_that_leads_elsewhere_is_refused(place: str, value: str, stage: Stage) -> None:
    os.mkfifo(stage.work / "pipe")
    sparse(stage.work / "sparse")
    stage.refuses("train", "quickstart", "dataset.name=pictures", f"{place}={value.format(work=stage.work)}", codes=(3, 4))


def test_a_recipe_of_ten_gigabytes_or_a_pipe_is_not_read(stage: Stage) -> None:
    stage.refuses("recipe", "check", sparse(stage.work / "large.yaml"), codes=(3,))
    os.mkfifo(stage.work / "pipe.yaml")
    stage.refuses("recipe", "check", Path("pipe.yaml"), codes=(3,))
