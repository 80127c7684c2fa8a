"""`clipcap serve`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipcap_cli.cli import completion
from clipcap_cli.cli.options import command, home
from clipcap_cli.cli.out import out
from clipcap_cli.cli.progress import progress
from clipcap_cli.errors import MissingError

if TYPE_CHECKING:
    from clipcap_cli.serving.keys import Keys
    from clipcap_cli.serving.models import Models

_MS = 1000.0
_MB = 1_000_000

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@command(
    app,
    "serve",
    examples=("clipcap serve --model food", "clipcap serve --host 0.0.0.0 --api-key-file keys.txt --model food --model birds"),
    json="{address, models: [name]}, once pictures are taken.",
)
def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="A model, a run or a bundle's folder; may be repeated, the first is the default. Else the model in use.",
            autocompletion=completion.captioners,
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where to listen; 0.0.0.0 for all addresses of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="0 for any that is free.")] = 8080,
    api_key_file: Annotated[Path | None, typer.Option("--api-key-file", metavar="FILE", help="Keys that clients need, one a line; # begins a comment.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Let other machines in without a key.")] = False,
    max_batch: Annotated[int, typer.Option("--max-batch", metavar="N", min=1, max=1024, help="Pictures that are captioned together, at most.")] = 32,
    max_wait_ms: Annotated[
        float, typer.Option("--max-wait-ms", metavar="T", min=0.0, max=10_000.0, help="How long a picture waits for others that are expected.")
    ] = 30.0,
    queue: Annotated[int, typer.Option("--queue", metavar="N", min=1, max=100_000, help="Pictures that wait at most; further ones are sent away (429).")] = 256,
    timeout: Annotated[float, typer.Option("--timeout", metavar="S", min=0.1, max=86_400.0, help="Seconds from the end of an upload to its answer.")] = 60.0,
    max_pictures: Annotated[int, typer.Option("--max-pictures", metavar="N", min=1, max=10_000, help="Pictures of one request.")] = 32,
    max_upload_mb: Annotated[
        int, typer.Option("--max-upload-mb", metavar="MB", min=1, max=10_000, help="Of one request; a fifth of it for one picture.")
    ] = 100,
    max_megapixels: Annotated[int, typer.Option("--max-megapixels", metavar="N", min=1, max=200, help="Of one picture, by its header.")] = 50,
    precision: Annotated[str, typer.Option("--precision", metavar="fp32|bf16|auto", help="Of the language model.")] = "fp32",
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
) -> None:
    """Caption pictures over HTTP, with a page for people at /. Ctrl-C finishes what was taken and ends; a second one ends at once."""
    _require_packages()
    from clipcap_cli.serving.logs import write_logs
    from clipcap_cli.serving.models import find_models, load_models
    from clipcap_cli.serving.running import check_exposure, listen, local_names, name_in_address, run
    from clipcap_cli.serving.service import Service
    from clipcap_cli.serving.settings import Limits, Settings

    limits = Limits(pictures=max_pictures, picture_bytes=max_upload_mb * _MB // 5, request_bytes=max_upload_mb * _MB, pixels=max_megapixels * 1_000_000)
    settings = Settings(max_batch=max_batch, max_wait_s=max_wait_ms / _MS, queue=queue, timeout_s=timeout, limits=limits)
    keys = _keys(api_key_file)
    check_exposure(host, has_keys=keys is not None, insecure=insecure)
    store = home()
    found = find_models(model or (), store)
    listening = listen(host, port)
    address = f"http://{name_in_address(host)}:{listening.getsockname()[1]}"
    for name, captioner in found.items():
        out.note(f"serve: {captioner.kind} {name!r} ({captioner.why})")

    def load() -> Models:
        with progress() as events:
            return load_models(found, store, device=device, precision=precision, events=events)

    def ready(models: Models) -> None:
        out.result({"address": address, "models": list(models.by_name)})
        out.text(f"{address} captions pictures, and has a page for people. Ctrl-C ends it.")

    write_logs(quiet=out.quiet)
    open_to_all = keys is not None or insecure
    run(Service(settings, keys=keys, hosts=None if open_to_all else local_names(host)), load, listening, ready=ready)


def _keys(path: Path | None) -> Keys | None:
    if path is None:
        return None
    from clipcap_cli.serving.keys import read_keys, readable_by_others

    keys = read_keys(path)
    if readable_by_others(path):
        out.warning(f"{path}: other users of this machine can read these keys (chmod 600 {path.name})")
    return keys


def _require_packages() -> None:
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingError(f"a server needs the package {error.name}, which is not installed", hint='pip install "clipcap-cli[serve]"') from error
