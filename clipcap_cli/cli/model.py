"""`clipcap model …`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clipcap_cli.cli import completion
from clipcap_cli.cli.options import Yes, command, home, settings
from clipcap_cli.cli.out import out
from clipcap_cli.cli.progress import progress
from clipcap_cli.words import moment, size

if TYPE_CHECKING:
    from clipcap_cli.captioner.manifest import LanguageModelEntry
    from clipcap_cli.captioner.models import ModelInfo

app = typer.Typer(
    help="List captioners, choose the one in use, and bring in those of others.", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)

Replace = Annotated[bool, typer.Option("--replace", help="Take the place of a model of that name.")]
_ON_THE_CARD = ("recipe", "examples", "scores")  # too long for a line; README.md in the bundle has them
Name = Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model or a run.", autocompletion=completion.captioners)]


@command(
    app,
    "list",
    examples=("clipcap model list", "clipcap model list --json"),
    json="a list of {name, kind, in_use, path, size_bytes, encoder, language_model, created, problem}; kind is model or run.",
)
def list_models() -> None:
    """List all captioners: models, and the best of each run."""
    from clipcap_cli.captioner.models import list_models as stored

    models = stored(home())
    out.result([_line(model) for model in models])
    out.table(
        ("captioner", "", "kind", "encoder", "mapper", "language model", "made", "size"),
        [(model.name, "in use" if model.in_use else "", model.kind, *_parts(model), size(model.size_bytes)) for model in models],
        right=("size",),
    )
    if not models:
        out.note("There are no captioners yet.")
        out.hint("clipcap train quickstart")
    elif not any(model.in_use for model in models):
        trained = any(model.kind == "run" for model in models)
        out.note("None is in use: " + ("`clipcap caption` takes the newest run's." if trained else "choose one with `clipcap model use MODEL`."))


@command(
    app,
    "show",
    examples=("clipcap model show food", "clipcap model show ./bundle --json"),
    json="{name, kind, path, why} and all that the bundle's captioner.json says.",
)
def show(
    name: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="A model, a run or a bundle's folder; else the model in use.", autocompletion=completion.captioners),
    ] = None,
) -> None:
    """Show what a captioner is made of. Without a name: the one that `clipcap caption` takes."""
    from clipcap_cli.captioner.manifest import read_manifest
    from clipcap_cli.captioner.models import find_captioner

    found = find_captioner(name, home())
    manifest = read_manifest(found.path)
    out.result({"name": found.name, "kind": found.kind, "path": str(found.path), "why": found.why, **manifest.model_dump(mode="json")})
    mapper, decode = manifest.mapper, manifest.decode
    inside = "inside the bundle" if manifest.language_model.inside else "not in the bundle"
    encoder_inside = ", inside the bundle" if manifest.encoder.inside else ""
    out.text(f"{found.name} ({found.why})")
    out.text(f"  bundle         {found.path}")
    out.text(f"  made           {moment(manifest.created)} by clipcap {manifest.clipcap}")
    preparation = manifest.preparation
    how = "".join(f", {what}" for what, done in (("normalised", preparation.normalize), ("standardized", preparation.standardize)) if done)
    out.text(f"  encoder        {manifest.encoder.spec}, D {manifest.encoder.embedding_size}{how or ', as it gives them'}{encoder_inside}")
    out.text(f"  mapper         {mapper.kind}, prefix of {mapper.prefix_length}")
    out.text(f"  language model {manifest.language_model.name}, {'tuned' if manifest.language_model.tuned else 'as it was'}, {inside}")
    out.text(
        f"  decoding       {decode.strategy}"
        + (f" {decode.beams}" if decode.strategy == "beam" else "")
        + f", {decode.max_tokens} tokens at most"
        + (f", up to {decode.stop!r}" if decode.stop is not None else "")
    )
    for key, value in manifest.info.items():
        if key not in _ON_THE_CARD:
            out.text(f"  {key:<14} {_plain(value)}")
    for one in manifest.info.get("scores", ()):
        out.text(
            f"  scores         {one['dataset']} v{one['version']}, {one['split']}: "
            + ", ".join(f"{name} {value['score']:.3f}" for name, value in one["metrics"].items())
        )


@command(
    app,
    "import",
    examples=(
        "clipcap model import food.tar",
        "clipcap model import coco_prefix-009.pt --encoder openai:ViT-B/32 --no-normalize --name mine",
    ),
    json="{model, path} and all that the bundle's captioner.json says.",
)
def import_(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A bundle (a folder or .tar), or a checkpoint of the original code (.pt).")],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Its name here; that of the file if you say nothing.")] = None,
    encoder: Annotated[str | None, typer.Option("--encoder", metavar="SPEC", help="Of a checkpoint: the encoder that its embeddings were made with.")] = None,
    normalize: Annotated[
        bool | None,
        typer.Option("--normalize/--no-normalize", help="Of a checkpoint: whether its embeddings were divided by their length (--normalize_prefix there)."),
    ] = None,
    language_model: Annotated[
        str | None,
        typer.Option(
            "--language-model", metavar="NAME", help="Of a checkpoint: the language model it was trained with: a hub id or a folder; gpt2 if you say nothing."
        ),
    ] = None,
    heads: Annotated[
        int | None, typer.Option("--heads", metavar="N", min=1, help="Of a checkpoint: attention heads of a transformer mapper; 8 if you say nothing.")
    ] = None,
    replace: Replace = False,
) -> None:
    """Make a captioner of a bundle from elsewhere, or of a checkpoint of the original ClipCap code. Nothing in it is run."""
    from clipcap_cli.captioner.importing import import_model

    with progress() as events:
        model = import_model(
            path,
            name=name,
            encoder=encoder,
            normalize=normalize,
            language_model=language_model,
            heads=heads,
            replace=replace,
            home=home(),
            events=events,
        )
    _show_imported(model)


@command(app, "pull", examples=("clipcap model pull coco-mlp", "clipcap model pull me/food-captioner --name food"), json="as `model import`.")
def pull(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|ORG/NAME", help="A captioner of the hub; or coco-mlp, conceptual-mlp, coco-transformer.", autocompletion=completion.published
        ),
    ],
    model: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Its name here; as there if you say nothing.")] = None,
    revision: Annotated[str | None, typer.Option("--revision", metavar="NAME", help="Of the hub: a branch, tag or commit; else the newest.")] = None,
    replace: Replace = False,
) -> None:
    """Download a captioner from the hub, or a checkpoint that the authors of ClipCap published. A broken download goes on where it stopped."""
    from clipcap_cli.captioner.importing import pull_model

    settings.kept = "What was downloaded is kept; type the same line to go on."
    with progress() as events:
        made = pull_model(name, revision=revision, model=model, replace=replace, home=home(), events=events)
    _show_imported(made)


@command(app, "use", examples=("clipcap model use food", "clipcap model use food-2"), json="{in_use}.")
def use(name: Name) -> None:
    """Choose the captioner that `clipcap caption` takes when none is named."""
    from clipcap_cli.captioner.models import use_model

    use_model(home(), name)
    out.result({"in_use": name})
    out.text(f"{name} is in use.")
    out.hint("clipcap caption PICTURE")


@command(app, "remove", examples=("clipcap model remove food", "clipcap model remove food --yes"), json="{removed}.")
def remove(name: Name, yes: Yes = False) -> None:
    """Remove a model. Runs and datasets stay."""
    from clipcap_cli.captioner.models import find_captioner, remove_model

    found = find_captioner(name, home())
    if found.kind != "model":
        remove_model(home(), name)  # says why not
    if out.confirm(f"Remove the model {name!r} at {found.path}?", yes=yes, otherwise="nothing was removed"):
        remove_model(home(), name)
        out.result({"removed": name})
        out.text(f"The model {name} is removed.")


def _show_imported(name: str) -> None:
    from clipcap_cli.captioner.manifest import read_manifest

    path = home().models / name
    manifest = read_manifest(path)
    out.result({"model": name, "path": str(path), **manifest.model_dump(mode="json")})
    mapper, language_model = manifest.mapper, manifest.language_model
    shape = f"{mapper.kind}, prefix of {mapper.prefix_length}" + (f" from {mapper.clip_length}, {mapper.layers} layers" if mapper.kind == "transformer" else "")
    how = "normalised" if manifest.preparation.normalize else "as they are"
    out.text(f"{name}: {shape}; {language_model.name}{_whereabouts(language_model)}; embeddings of {manifest.encoder.spec}, {how}")
    out.hint(f"clipcap caption PICTURE --model {name}")


def _whereabouts(language_model: LanguageModelEntry) -> str:
    told = [*(["tuned"] if language_model.tuned else []), *(["inside"] if language_model.inside else [])]
    return f" ({', '.join(told)})" if told else ""


def _line(model: ModelInfo) -> dict[str, Any]:
    manifest = model.manifest
    return {
        "name": model.name,
        "kind": model.kind,
        "in_use": model.in_use,
        "path": str(model.path),
        "size_bytes": model.size_bytes,
        "encoder": manifest.encoder.spec if manifest else None,
        "language_model": manifest.language_model.name if manifest else None,
        "created": manifest.created if manifest else None,
        "problem": model.problem,
    }


def _parts(model: ModelInfo) -> tuple[str, str, str, str]:
    """Encoder, mapper, language model and time, or what is wrong."""
    if model.manifest is None:
        return f"cannot be read: {model.problem}", "", "", ""
    manifest = model.manifest
    return manifest.encoder.spec, manifest.mapper.kind, manifest.language_model.name, moment(manifest.created)


def _plain(value: Any) -> str:
    """`run food, step 1500` of {"run": "food", "step": 1500}."""
    return ", ".join(f"{key} {below}" for key, below in value.items()) if isinstance(value, dict) else str(value)
