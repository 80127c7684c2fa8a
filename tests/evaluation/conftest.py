"""A captioner of coloured pictures with a dataset in three splits, trained once for all tests here; its encoder is the mean colour."""

import numpy as np
import pytest
from mean_colour import COLOURS, ColourEncoder
from PIL import Image

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.evaluation import evaluate as evaluate_module
from clipcap_cli.evaluation import subject as subject_module
from clipcap_cli.storage.home import Home
from clipcap_cli.training import train as train_module
from clipcap_cli.training.train import train

SETTINGS = {
    "name": "colours",
    "dataset.name": "colours",
    "language_model.name": "builtin:nano",
    "mapper.prefix_length": 2,
    "train.epochs": 40,
    "train.batch_size": 8,
    "train.lr": 1e-3,
    "train.validate_every": 100,
    "decode.beams": 2,
    "decode.max_tokens": 8,
}


class ReadingEncoder(ColourEncoder):
    """One with a text tower."""

    spec, fingerprint = "hf:colours", "7e87" * 10

    def encode_text(self, texts):
        known = {name: np.array(colour, np.float32) / 255 for name, colour in COLOURS.items()}
        return np.stack([sum((known[word] for word in text.split() if word in known), np.full(3, 0.01, np.float32)) for text in texts])


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The store with the dataset and the run."""
    folder, home = tmp_path_factory.mktemp("colours"), Home(tmp_path_factory.mktemp("home"))
    rows = ["file_name,text,split"]
    for number in range(6):
        for name, colour in COLOURS.items():
            Image.new("RGB", (8 + number, 8), colour).save(folder / f"{name}{number}.png")
            split = {4: "val", 5: "test"}.get(number, "train")
            rows += [f"{name}{number}.png,{text},{split}" for text in (f"a {name} picture", f"a picture that is {name}")]
    (folder / "metadata.csv").write_text("\n".join(rows))
    add_dataset(folder, name="colours", home=home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "load_encoder", lambda *_, **__: ColourEncoder())
        train("quickstart", SETTINGS, home=home)
    return home


@pytest.fixture
def colours(trained, monkeypatch):
    """The store, with encoders that need no weights."""
    encoders = {"hf:colours": ReadingEncoder(), "efficientnet-lite0": ColourEncoder()}
    for module in (evaluate_module, subject_module):
        monkeypatch.setattr(module, "load_encoder", lambda spec, **_: encoders[spec])
    return trained
