"""What trainings of the tests have in common: settings under which twelve captions are learned in a moment."""

from clipcap_cli.captioner.bundle import load_bundle

SETTINGS = {
    "dataset.name": "colours",
    "language_model.name": "builtin:nano",
    "mapper.prefix_length": 2,
    "train.epochs": 6,
    "train.batch_size": 4,
    "train.lr": 1e-3,
    "train.validate_every": 6,
    "train.select_by": "cider",
    "decode.beams": 2,
    "decode.max_tokens": 8,
}


def settings(**changes):
    return {**SETTINGS, **{key.replace("__", "."): value for key, value in changes.items()}}


def weights_of(run):
    captioner = load_bundle(run.best, home=run.home, device="cpu")
    return {**captioner.mapper.state_dict(), **captioner.language_model.state_dict()}
