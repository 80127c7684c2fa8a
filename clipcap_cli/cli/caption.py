"""`clipcap caption`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from clipcap_cli.cli import bulk, completion
from clipcap_cli.cli.captions import Format, sidecar_of, writing
from clipcap_cli.cli.inputs import find_pictures
from clipcap_cli.cli.options import command, home, settings
from clipcap_cli.cli.out import out
from clipcap_cli.cli.progress import progress
from clipcap_cli.errors import ClipcapError, InputError, PartialError
from clipcap_cli.words import count

_FORMATS = "text: `PICTURE: CAPTION` a line; jsonl: exact names, scores; csv: image, caption, score; sidecar: a .txt beside each picture."

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@command(
    app,
    "caption",
    examples=("clipcap caption *.jpg --beam 5", "find photos -name '*.jpg' -print0 | clipcap caption - -0 --format jsonl --output captions.jsonl"),
    json="a line for each picture, as --format jsonl: {image, caption, score, candidates: [{text, score}]}; with --engine one document, {output, pictures, "
    "captioned, failed, shards: [{shard, file, pictures, captioned, problems, was_there}]}.",
)
def caption(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Pictures, folders (with all below them), patterns; - for a list on stdin.")],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="NAME", help="A model, a run or a bundle's folder; else the model in use.", autocompletion=completion.captioners),
    ] = None,
    beam: Annotated[int | None, typer.Option("--beam", metavar="N", min=1, help="Beam search of this width.")] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="The likeliest token at each step.")] = False,
    sample: Annotated[bool, typer.Option("--sample", "--nucleus", help="Draw from the likeliest tokens (see --top-p, --top-k).")] = False,
    contrastive: Annotated[bool, typer.Option("--contrastive", help="Likely tokens that are unlike what was written before.")] = False,
    top_p: Annotated[
        float | None, typer.Option("--top-p", metavar="X", min=0.0, max=1.0, help="With --sample: probability of the tokens that are drawn from.")
    ] = None,
    top_k: Annotated[int | None, typer.Option("--top-k", metavar="N", min=1, help="With --sample, --contrastive: how many tokens are looked at.")] = None,
    contrast: Annotated[
        float | None, typer.Option("--contrast", metavar="X", min=0.0, max=1.0, help="With --contrastive: weight of being unlike, against being likely.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option("--samples", metavar="N", min=1, help="With --sample: captions drawn for each picture, the likeliest first.")
    ] = None,
    temperature: Annotated[float | None, typer.Option("--temperature", metavar="X", min=0.0, help="Logits are divided by this.")] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", metavar="N", min=1, help="Longest caption.")] = None,
    min_tokens: Annotated[int | None, typer.Option("--min-tokens", metavar="N", min=1, help="Shortest caption.")] = None,
    length_penalty: Annotated[
        float | None, typer.Option("--length-penalty", metavar="X", min=0.0, help="Beams are ranked by log-probability / length ** this.")
    ] = None,
    ban: Annotated[list[str] | None, typer.Option("--ban", metavar="WORD", help="A word or phrase that no caption contains; may be repeated.")] = None,
    require: Annotated[
        list[str] | None, typer.Option("--require", metavar="WORD", help="A word or phrase that every caption contains (beam search); may be repeated.")
    ] = None,
    no_repeat_ngram: Annotated[int | None, typer.Option("--no-repeat-ngram", metavar="N", min=1, help="No run of N tokens comes twice.")] = None,
    repetition_penalty: Annotated[
        float | None,
        typer.Option("--repetition-penalty", metavar="X", min=1.0, help="Tokens that the caption has already are made less likely; 1 changes nothing."),
    ] = None,
    stop: Annotated[str | None, typer.Option("--stop", metavar="TEXT", help="Text (one token) that ends a caption, in place of the end token.")] = None,
    candidates: Annotated[int, typer.Option("--candidates", metavar="N", min=1, help="Captions for each picture, best first (beam search, --sample).")] = 1,
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            "-f",
            metavar="text|jsonl|csv|sidecar",
            help=_FORMATS,
        ),
    ] = "text",
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Where to, instead of stdout; with --engine a folder or an address.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there; else they are left, and their pictures too.")] = False,
    nul: Annotated[bool, typer.Option("-0", "--null", help="The list on stdin is separated by NUL characters.")] = False,
    batch_size: Annotated[int, typer.Option("--batch-size", metavar="N", min=1, help="Pictures at once.")] = 32,
    workers: Annotated[int | None, typer.Option("--workers", metavar="N", min=1, help="How many read and decode pictures; as many as there are cores.")] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="With --sample: another seed, another caption.")] = 0,
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            metavar="fp32|bf16|auto",
            help="Of the language model; bf16 (auto: where it is faster) now and then chooses another word.",
        ),
    ] = "fp32",
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    devices: Annotated[
        str | None, typer.Option("--devices", metavar="N|auto|LIST", help="Several devices, each with a copy: how many, auto for all, or cuda:0,cuda:1.")
    ] = None,
    engine: bulk.EngineOption = None,
    address: bulk.Address = None,
    nodes: bulk.Nodes = None,
    shard_size: bulk.ShardSize = None,
    image_column: Annotated[
        str | None, typer.Option("--image-column", metavar="COLUMN", help="With --engine: column of a Parquet file that has the pictures.")
    ] = None,
) -> None:
    """Write captions for pictures. The defaults of decoding are the model's own. Pictures that cannot be read are named, and the others are captioned."""
    if sum((beam is not None, greedy, sample, contrastive)) > 1:
        raise typer.BadParameter("--beam, --greedy, --sample and --contrastive exclude each other.")
    if candidates > 1 and (greedy or contrastive):
        raise typer.BadParameter("--candidates are those of a beam search or of --sample.")
    if require and (greedy or sample or contrastive):
        raise typer.BadParameter("--require needs a beam search.")
    for option, value, needed, there in (
        ("--samples", samples, "--sample", sample),
        ("--top-p", top_p, "--sample", sample),
        ("--top-k", top_k, "--sample or --contrastive", sample or contrastive),
        ("--contrast", contrast, "--contrastive", contrastive),
    ):
        if value is not None and not there:
            raise typer.BadParameter(f"{option} needs {needed}.")
    if form == "sidecar" and output:
        raise typer.BadParameter("--output is one file, and --format sidecar writes one beside each picture.")
    if out.json:
        form = "jsonl"
    if sample and samples is None and candidates > 1:
        samples = candidates
    chosen = {"beam": beam is not None, "greedy": greedy, "sample": sample, "contrastive": contrastive}
    decode: dict[str, Any] = {
        "strategy": next((strategy for strategy, asked in chosen.items() if asked), None),
        "beams": beam,
        "top_p": top_p,
        "top_k": top_k,
        "contrast": contrast,
        "samples": samples,
        "banned": ban or None,
        "required": require or None,
        "no_repeat_ngram": no_repeat_ngram,
        "repetition_penalty": repetition_penalty,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "min_tokens": min_tokens,
        "length_penalty": length_penalty,
        "stop": stop,
    }
    others = {"format": form != "text" and not out.json, "overwrite": overwrite, "null": nul, "devices": devices}
    work = bulk.engine_of(engine, address, nodes, None, shard_size, **others)
    if work is not None:
        how: dict[str, Any] = {"model": model, "candidates": candidates, "seed": seed, "device": device, "precision": precision, "image_column": image_column}
        bulk.caption_with({**work, "batch_size": batch_size, "threads": workers}, paths, output, decode=decode, **how)
        return
    if image_column is not None:
        raise typer.BadParameter("--image-column needs --engine ray.")
    file = Path(output) if output is not None else None
    inputs = find_pictures(paths, nul=nul)
    failures: list[ClipcapError] = list(inputs.failures)
    pictures = list(inputs.pictures)
    if form == "sidecar":
        pictures = _without_sidecar(pictures, failures, overwrite)
    done = 0
    if pictures:
        from clipcap_cli.captioner.copies import load_copies
        from clipcap_cli.captioner.models import find_captioner
        from clipcap_cli.encoders.devices import choose_devices

        found = find_captioner(model, home())
        out.note(f"caption: {found.kind} {found.name!r} ({found.why})")
        captioner = load_copies(found.path, choose_devices(devices, device=device), home=home(), precision=precision)
        if samples is not None:
            candidates = max(candidates, samples)
        elif candidates > 1:  # a beam search has as many as it is wide
            decode |= {"strategy": "beam", "beams": max(candidates, beam or captioner.decode.beams)}
        settings.kept = "The captions that were written are complete."
        with progress(results_show_it=output is None and sys.stdout.isatty()) as events, writing(form, file, overwrite=overwrite) as put:
            written = captioner.caption(
                pictures,
                batch_size=batch_size,
                workers=workers,
                seed=seed,
                events=events,
                on_error="yield",
                **{key: value for key, value in decode.items() if value is not None},
            )
            for picture, result in zip(pictures, written, strict=True):
                if isinstance(result, ClipcapError):
                    failures.append(result)
                else:
                    put(picture, replace(result, candidates=result.candidates[:candidates]))
                    done += 1
    if form == "sidecar" or output:
        out.note(f"{count(done, 'picture')} captioned" + (f" in {output}" if output else ""))
    _tell(failures, done)


def _without_sidecar(pictures: list[Path], failures: list[ClipcapError], overwrite: bool) -> list[Path]:
    """The pictures whose sidecar is to be written; two that would share one are a failure."""
    first: dict[Path, Path] = {}
    for picture in pictures:
        sidecar = sidecar_of(picture)
        if sidecar in first:
            failures.append(InputError(f"its sidecar {sidecar.name} belongs to {first[sidecar].name} already", where=str(picture), hint="Use --format jsonl."))
        else:
            first[sidecar] = picture
    there = [sidecar for sidecar in first if sidecar.exists() and not overwrite]
    if there:
        out.note(f"{count(len(there), 'sidecar')} there already and left as they are (--overwrite replaces them)")
    return [picture for sidecar, picture in first.items() if sidecar not in set(there)]


def _tell(failures: list[ClipcapError], done: int) -> None:
    """Name what failed.

    Raises:
        ClipcapError: something did.
    """
    if not failures:
        return
    if len(failures) == 1 and not done:
        raise failures[0]
    for failure in failures:
        out.warning(f"{failure.where}: {failure.message}" if failure.where else failure.message)
    if not done:
        raise InputError(f"none of the {len(failures):,} could be captioned", hint="The reasons are above.")
    raise PartialError(f"{len(failures):,} could not be captioned", hint="They are named above; the others are done.")
