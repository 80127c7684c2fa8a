"""A dataset that is learned in a moment."""

import pytest
from mean_colour import ColourEncoder, draw_colours

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.training import train as train_module
from clipcap_cli.training import verifying


@pytest.fixture
def colours(tmp_path, home, monkeypatch):
    """Sixteen pictures of one colour each, in two splits."""
    for module in (train_module, verifying):
        monkeypatch.setattr(module, "load_encoder", lambda *_, **__: ColourEncoder())
    return add_dataset(draw_colours(tmp_path / "colours", to_validate=1), name="colours", home=home)
