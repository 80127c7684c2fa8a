"""A dataset that is learned in a moment."""

import pytest
from mean_colour import COLOURS, ColourEncoder
from PIL import Image

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.training import train as train_module
from clipcap_cli.training import verifying


@pytest.fixture
def colours(tmp_path, home, monkeypatch):
    """Sixteen pictures of one colour each, in two splits."""
    for module in (train_module, verifying):
        monkeypatch.setattr(module, "load_encoder", lambda *_, **__: ColourEncoder())
    folder = tmp_path / "colours"
    folder.mkdir()
    rows = ["file_name,text,split"]
    for number in range(4):
        for name, colour in COLOURS.items():
            Image.new("RGB", (8 + number, 8), colour).save(folder / f"{name}{number}.png")
            rows.append(f"{name}{number}.png,a {name} picture,{'val' if number == 3 else 'train'}")
    (folder / "metadata.csv").write_text("\n".join(rows))
    return add_dataset(folder, name="colours", home=home)
