"""Names on the command line: none leads out of the store, and none is taken for something else."""

from __future__ import annotations

import pytest
from hostile_tools import Stage

NAMES = {
    "leads out": "../../outside",
    "leads far out": "../../../../../../etc/passwd",
    "absolute": "/etc",
    "two dots": "..",
    "a dot": ".",
    "a device": "CON",
    "a device with an ending": "nul.txt",
    "empty": "",
    "blank": " ",
    "an option": "-rf",
    "10,000 letters": "x" * 10_000,
    "a new line": "a\nb",
    "an escape": "a\x1b[2Jb",
    "a bell": "a\x07",
    "right to left": "a\u202eb",
    "not a text": "caf\udce9",
    "a backslash": "..\\..\\x",
    "of a home": "~root",
    "of the store": ".part",
    "a pattern": "*",
    "markup": "[bold]x[/bold]",
}
COMMANDS = (
    "dataset show {}",
    "dataset remove --yes {}",
    "dataset add PICTURES --name {}",
    "train quickstart --dataset {}",
    "train quickstart --dataset pictures name={}",
    "runs show {}",
    "runs remove --yes {}",
    "runs verify {}",
    "model show {}",
    "model use {}",
    "model remove --yes {}",
    "model import BEST --name {}",
    "model pull {}",
    "embed {}",
    "eval {}",
    "export {} --to OUT",
    "recipe show {}",
    "recipe copy {}",
    "caption PICTURE --model {}",
    "caption {}",
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_that_cannot_be_one_is_refused(command: str, name: str, stage: Stage) -> None:
    words = {"PICTURES": stage.pictures, "BEST": stage.home / "runs" / "quickstart" / "best", "OUT": "out", "PICTURE": stage.pictures / "train" / "red.png"}
    line = [str(words.get(word, word)).replace("{}", NAMES[name]) if word not in words else words[word] for word in command.split()]
    said = stage.run(*line)
    assert said.code in (2, 3, 4), (said.code, said.err[-2000:])
    assert "Traceback" not in said.err
    assert len(said.err) < 30_000
    assert not {"\x1b", "\x07", "\u202e"} & set(said.err)
    assert (stage.home / "datasets" / "pictures" / "dataset.json").is_file()
    assert (stage.home / "runs" / "quickstart" / "best").is_dir()
