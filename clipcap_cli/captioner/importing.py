"""From a checkpoint of the original code, or a bundle from elsewhere, to a model of the store.

What a checkpoint's file does not say (the encoder, whether embeddings were normalised, the tokenizer) is asked for, or known for the files that were published.
"""

from __future__ import annotations

from pathlib import Path

import torch

from clipcap_cli.captioner.bundle import save_bundle
from clipcap_cli.captioner.bundle_import import import_bundle, is_bundle_path, name_for, usual_name
from clipcap_cli.captioner.bundle_pull import pull_bundle
from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.decoding.base import room_behind
from clipcap_cli.captioner.language_models import LanguageModel
from clipcap_cli.captioner.lm_folders import find_folder, weight_files
from clipcap_cli.captioner.lm_loading import load_from_folder, load_language_model
from clipcap_cli.captioner.mappers import Preparation
from clipcap_cli.captioner.original import OUTPUT, TOKEN_VECTORS, Checkpoint, mismatch, read_checkpoint
from clipcap_cli.captioner.published import Published, fetch_published, known
from clipcap_cli.encoders.openai_models import OPENAI_MODELS
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.errors import InputError
from clipcap_cli.events import Listener, Note, silent
from clipcap_cli.recipe.schema import Decode
from clipcap_cli.storage.hashing import sha256_of_file
from clipcap_cli.storage.home import Home, open_home

_USUAL = "gpt2"
_USUAL_ENCODER = "openai:ViT-B/32"
_HEADS = 8  # attention heads of a transformer mapper, always, in the original code
# As the published predictor writes captions.
_DECODE = {"strategy": "beam", "beams": 5, "stop": ".", "max_tokens": 67}


def import_model(
    path: Path,
    *,
    name: str | None = None,
    encoder: str | None = None,
    normalize: bool | None = None,
    language_model: str | None = None,
    heads: int | None = None,
    replace: bool = False,
    home: Home | None = None,
    events: Listener = silent,
) -> str:
    """Make a model of the store of a bundle (a folder or its tar) or of a checkpoint of the original code.

    Args:
        encoder, normalize, language_model, heads: of a checkpoint, which does not say them; see `import_checkpoint`.

    Returns:
        The name of the model.

    Raises:
        InputError, MissingError, StoreError: as `import_bundle` and `import_checkpoint`.
    """
    home = home or open_home()
    if not is_bundle_path(path):
        return import_checkpoint(
            path,
            name=name,
            encoder=encoder,
            normalize=normalize,
            language_model=language_model,
            heads=heads or _HEADS,
            replace=replace,
            home=home,
            events=events,
        )
    if any(value is not None for value in (encoder, normalize, language_model, heads)):
        raise InputError(
            "a bundle says its encoder, its language model and its mapper itself",
            where=str(path),
            hint="Leave out --encoder, --normalize, --language-model and --heads.",
        )
    return import_bundle(path, home, name=name, replace=replace, events=events)


def import_checkpoint(
    path: Path,
    *,
    name: str | None = None,
    encoder: str | None = None,
    normalize: bool | None = None,
    language_model: str | None = None,
    heads: int = _HEADS,
    replace: bool = False,
    home: Home | None = None,
    events: Listener = silent,
) -> str:
    """Turn a checkpoint into a model of the store.

    Args:
        name: of the model; that of the file if nothing is said.
        encoder: spec of the encoder that its embeddings were made with.
        normalize: whether they were divided by their length.
        language_model: the stock language model, or a folder with its configuration and tokenizer; gpt2 if nothing is said.
        heads: attention heads of a transformer mapper.
        replace: take the place of a model of that name.

    Returns:
        The name of the model.

    Raises:
        InputError: it is no checkpoint, something does not fit, or something that the file does not say was not said either.
        MissingError: the language model would have to be downloaded and that cannot be done now.
        StoreError: the store cannot be written.
    """
    home = (home or open_home()).prepare()
    published = known(path)
    if published is not None:
        encoder = encoder or published.encoder
        normalize = published.normalize if normalize is None else normalize
        language_model = language_model or published.language_model
    lm_name = language_model or _USUAL
    checkpoint = read_checkpoint(path, lm_width=_width_of(lm_name, home))
    _check_known(checkpoint, encoder, normalize, path)
    assert encoder is not None
    assert normalize is not None
    eyes = load_encoder(encoder, home=home, events=events)
    if eyes.embedding_size != checkpoint.embedding_size:
        raise InputError(
            f"the mapper reads {checkpoint.embedding_size} numbers a picture, and {encoder} makes {eyes.embedding_size}",
            where=str(path),
            hint=f"Name the encoder that it was trained with: {_fitting(checkpoint.embedding_size)}.",
        )
    if published is not None:
        _check_published(checkpoint, published, path)
    target = name_for(name, path, home, replace)
    if name is None and target != usual_name(path):
        events(Note(f"there is a model {usual_name(path)!r} already, so this one is {target!r} (--replace takes its place)"))
    lm = _language_model(checkpoint, lm_name, heads, home, path, events)
    captioner = Captioner(
        encoder_spec=eyes.spec,
        encoder_fingerprint=eyes.fingerprint,
        preparation=Preparation(normalize),
        mapper=checkpoint.build(heads),
        language_model=lm,
        decode=_decode(lm, checkpoint.prefix_length),
        info={"imported": {"file": path.name, "sha256": sha256_of_file(path), **({"published_as": published.name} if published else {})}},
        home=home,
    )
    save_bundle(captioner, home.models / target)
    return target


def pull_model(
    name: str, *, home: Home | None = None, revision: str | None = None, model: str | None = None, replace: bool = False, events: Listener = silent
) -> str:
    """Fetch a captioner of the hub, or a checkpoint that the authors of ClipCap published.

    Args:
        name: "org/name" of the hub, or the name of a published checkpoint.
        revision: of the hub: a branch, tag or commit; None for the newest.
        model: its name here; that of the repository or checkpoint if nothing is said.

    Returns:
        The name of the model.

    Raises:
        InputError: there is none of that name, or the files are not what they should be.
        MissingError: it, or GPT-2's tokenizer, cannot be had now.
        StoreError: the files are damaged, or the store cannot be written.
    """
    home = (home or open_home()).prepare()
    if "/" in name:
        return pull_bundle(name, home, revision=revision, name=model, replace=replace, events=events)
    if revision is not None:
        raise InputError(f"{name!r} is a published checkpoint, and has no revisions", hint="Leave out --revision.")
    path = fetch_published(name, home, events)
    try:
        return import_checkpoint(path, name=model or name, replace=replace, home=home, events=events)
    except InputError as error:
        if error.where == str(path):
            error.hint = f"Remove {path} and type this again, or bring the file by hand."
        raise


def _width_of(name: str, home: Home) -> int | None:
    """The width of a language model that is at hand; GPT-2's is known."""
    from transformers import AutoConfig

    if name == _USUAL:
        return 768
    folder = find_folder(name, home=home, weights=False)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return int(config.get_text_config().hidden_size)
    except Exception:  # it is told when the language model is loaded
        return None


def _check_known(checkpoint: Checkpoint, encoder: str | None, normalize: bool | None, path: Path) -> None:
    unsaid = []
    if encoder is None:
        unsaid.append(f"the encoder (--encoder SPEC; {checkpoint.embedding_size} numbers a picture: {_fitting(checkpoint.embedding_size)})")
    if normalize is None:
        unsaid.append("whether embeddings were divided by their length (--normalize, or --no-normalize as train.py does by default)")
    if unsaid:
        raise InputError(
            f"the checkpoint does not say {' or '.join(unsaid)}",
            where=str(path),
            hint=f"For example: clipcap model import {path} --encoder {encoder or (_specs(checkpoint.embedding_size) or ['SPEC'])[0]} --no-normalize",
        )


def _specs(embedding_size: int) -> list[str]:
    """The encoders of OpenAI whose vectors have this size, the original code's choice first."""
    fitting = [f"openai:{model.name}" for model in OPENAI_MODELS.values() if model.embedding_size == embedding_size]
    return sorted(fitting, key=lambda spec: spec != _USUAL_ENCODER)


def _fitting(embedding_size: int) -> str:
    return ", ".join(_specs(embedding_size)) or "openai:FILE.pt or hf:FOLDER"


def _check_published(checkpoint: Checkpoint, published: Published, path: Path) -> None:
    found = (checkpoint.form, checkpoint.prefix_length, checkpoint.embedding_size)
    expected = (published.form, published.prefix_length, published.embedding_size)
    if found != expected:
        raise InputError(
            f"this has the name of the published checkpoint {published.name}, but is not it: {found[0]}, prefix {found[1]} from {found[2]} numbers, "
            f"not {expected[0]}, {expected[1]} from {expected[2]}",
            where=str(path),
            hint="Rename the file, and say --encoder and --normalize or --no-normalize.",
        )


def _language_model(checkpoint: Checkpoint, name: str, heads: int, home: Home, path: Path, events: Listener) -> LanguageModel:
    """The stock one where the checkpoint has none or the same; else the stock one's tokenizer around the checkpoint's weights."""
    inside = checkpoint.language_model
    if inside is None:
        stock = load_language_model(name, home=home, events=events)
        _check_width(checkpoint, stock, path)
        return stock
    folder = find_folder(name, home=home, weights=False, events=events)
    name = str(folder.absolute()) if folder == Path(name).expanduser() else name
    shapes = _shapes_of(folder)
    wrong = checkpoint.differences(shapes, heads)
    if wrong:
        raise mismatch(wrong, path, f"Name the language model that it was trained with: --language-model NAME (it was compared with {name}).")
    weights = {key: value.float() for key, value in inside.items()}
    weights.setdefault(OUTPUT, weights[TOKEN_VECTORS])
    if not weight_files(folder):
        events(Note(f"{name} is not at hand to compare with: the bundle holds the language model inside"))
        return load_from_folder(folder, name=name, weights=weights)
    stock = load_from_folder(folder, name=name)
    if all(torch.equal(weights[key], value) for key, value in stock.model.state_dict().items()):
        events(Note(f"the language model inside is {name} as it is published: the bundle refers to it"))
        return stock
    events(Note(f"the language model inside differs from {name} (it was tuned): the bundle holds it"))
    return load_from_folder(folder, name=name, weights=weights)


def _decode(language_model: LanguageModel, prefix_length: int) -> Decode:
    """As the published predictor writes captions, or as far as the language model has places."""
    decode = Decode.model_validate(_DECODE)
    return decode.model_copy(update={"max_tokens": min(decode.max_tokens, room_behind(language_model, prefix_length) or decode.max_tokens)})


def _shapes_of(folder: Path) -> dict[str, tuple[int, ...]]:
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except Exception as error:  # whatever a foreign folder makes transformers raise
        raise InputError(f"this language model cannot be loaded: {error}", where=str(folder), hint="Name gpt2, or a folder of it.") from error
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def _check_width(checkpoint: Checkpoint, language_model: LanguageModel, path: Path) -> None:
    if language_model.width != checkpoint.lm_width:
        raise InputError(
            f"the mapper makes vectors of width {checkpoint.lm_width}, and {language_model.name} has {language_model.width}",
            where=str(path),
            hint="Name the language model that it was trained with: --language-model NAME.",
        )
