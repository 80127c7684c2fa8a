"""`clipcap cache …`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clipcap_cli.cli.options import Yes, command, home, settings
from clipcap_cli.cli.out import out
from clipcap_cli.cli.progress import progress
from clipcap_cli.words import count, moment, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clipcap_cli.upkeep.findings import Finding
    from clipcap_cli.upkeep.prunable import Removal
    from clipcap_cli.upkeep.stock import Item

app = typer.Typer(help="Look after the store: its size, whether it is whole, what may go.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)

_PARTS = ("best", "last", "checkpoints", "other")
_FINDING = "{kind, name, where, what, remedy}"
_REMOVAL = "{kind, path, why, size_bytes}"


@command(
    app,
    "info",
    examples=("clipcap cache info", "clipcap cache info --all"),
    json="{path, size_bytes, free_bytes, items: [{kind, name, files, size_bytes, used, parts: {best, last, checkpoints, other}, encoder}]}; used is a time, "
    "parts are those of a run.",
)
def info(everything: Annotated[bool, typer.Option("--all", help="List each dataset, model, run, …, not only the kinds.")] = False) -> None:
    """Say what the store holds, how large it is, and when it was last used."""
    from clipcap_cli.upkeep.stock import take_stock

    stock = take_stock(home())
    items = stock.items
    out.result({"path": str(home().root), "size_bytes": stock.size_bytes, "free_bytes": stock.free_bytes, "items": [_item(item) for item in items]})
    rows = [_row(f"{item.kind} {item.name}".strip(), item.encoder or "", [item]) for item in items] if everything else _by_kind(items)
    out.table(("what", "", "things", "size", "last used"), rows, right=("things", "size"))
    out.text(f"{home().root}: {size(stock.size_bytes)}, {size(stock.free_bytes)} are free")
    if not items:
        out.note("There is nothing yet.")
    elif any(item.kind == "leftovers" for item in items):
        out.hint("clipcap cache prune --dry-run")


@command(
    app,
    "verify",
    examples=("clipcap cache verify", "clipcap cache verify embeddings pictures"),
    json=f"{{whole, things: {{kind: count}}, without_checksums, findings: [{_FINDING}]}}.",
)
def verify(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KIND",
            help="datasets, embeddings, weights, models, runs, evaluations: all of these if you say nothing; pictures reads the pictures where they lie.",
        ),
    ] = None,
    add_checksums: Annotated[
        bool, typer.Option("--add-checksums", help="Give checksums to embeddings of earlier versions that have none, as they are now.")
    ] = False,
) -> None:
    """Work out every hash of the store again, and name what is not as it was written. Others may work in the store meanwhile."""
    from clipcap_cli.errors import StoreError
    from clipcap_cli.upkeep.verify import give_checksums
    from clipcap_cli.upkeep.verify import verify as look_through

    with progress() as events:
        given = give_checksums(home()) if add_checksums else 0
        found = look_through(home(), kinds or (), events=events)
    findings = found.findings
    lines = [_finding(finding) for finding in findings]
    out.result({"whole": not findings, "things": found.things, "without_checksums": found.without_checksums, "findings": lines})
    for finding in findings:
        out.text(f"{finding.kind} {finding.name}: {finding.where}: {finding.what}")
        out.text(f"  {finding.remedy}")
    if given:
        out.note(f"{count(given, 'embedding')} got a checksum.")
    if found.without_checksums:
        out.note(
            f"{count(found.without_checksums, 'embedding')} of an earlier version have no checksum: `clipcap cache verify --add-checksums` gives them one."
        )
    if findings:
        raise StoreError(f"{count(len(findings), 'thing')} in the store {'is' if len(findings) == 1 else 'are'} damaged", hint=_what_to_do(findings))
    out.text("whole: " + (", ".join(f"{number:,} {kind}" for kind, number in found.things.items() if number) or "there is nothing yet"))


@command(
    app,
    "prune",
    examples=("clipcap cache prune --dry-run", "clipcap cache prune embeddings logs --older-than 7 --yes"),
    json=f"{{dry_run, planned: [{_REMOVAL}], removed: [{_REMOVAL}], kept: [{{kind, path, why}}], freed_bytes}}; planned alone with --dry-run.",
)
def prune(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KIND",
            help="leftovers, embeddings, evaluations, logs, locks: all of these if you say nothing; versions (old ones of datasets, that nothing was made "
            "with), checkpoints (of finished runs) and damaged (what `cache verify` finds damaged and can be made anew) only if you name them.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")] = False,
    older_than: Annotated[float, typer.Option("--older-than", metavar="DAYS", min=0, help="Logs go when they are older.")] = 30.0,
    yes: Yes = False,
) -> None:
    """Remove what nothing refers to: first the plan, then the question. Pictures, models, runs and current datasets are never touched."""
    from clipcap_cli.upkeep.prune import carry_out, plan

    settings.kept = "What was removed until now is gone; the store is whole. Type the same line to go on."
    with progress() as events:
        planned = plan(home(), kinds or (), log_days=older_than, events=events)
    amount = sum(removal.size_bytes for removal in planned)
    shown = [_removal(removal) for removal in planned]
    out.table(
        ("kind", "size", "what", "why"), [(removal.kind, size(removal.size_bytes), _short(removal.path), removal.why) for removal in planned], right=("size",)
    )
    if not planned or dry_run:
        out.result({"dry_run": dry_run, "planned": shown, "removed": [], "kept": [], "freed_bytes": 0})
        out.text(f"{count(len(planned), 'thing')}, {size(amount)}, would go." if planned else "There is nothing to remove.")
        return
    if out.confirm(f"Remove {count(len(planned), 'thing')}, {size(amount)}?", yes=yes, otherwise="nothing was removed"):
        done = carry_out(home(), planned)
        freed = sum(removal.size_bytes for removal in done.removed)
        kept = [{"kind": removal.kind, "path": str(removal.path), "why": why} for removal, why in done.kept]
        removed = [_removal(removal) for removal in done.removed]
        out.result({"dry_run": False, "planned": shown, "removed": removed, "kept": kept, "freed_bytes": freed})
        for removal, why in done.kept:
            out.note(f"{_short(removal.path)} stays: {why}")
        out.text(f"{count(len(done.removed), 'thing')}, {size(freed)}, {'is' if len(done.removed) == 1 else 'are'} removed.")


def _item(item: Item) -> dict[str, Any]:
    line = {"kind": item.kind, "name": item.name, "files": item.files, "size_bytes": item.size_bytes, "used": _time(item.used), "encoder": item.encoder}
    return {**line, "parts": item.parts if item.kind == "runs" and item.name else None}


def _by_kind(items: Sequence[Item]) -> list[tuple[str, ...]]:
    """A row for each kind; for each encoder one, and of runs their parts."""
    rows = []
    for kind in dict.fromkeys(item.kind for item in items):
        mine = [item for item in items if item.kind == kind]
        rows.append(_row(kind, "", mine))
        if kind == "embeddings":
            rows += [_row("", item.encoder or "", [item]) for item in mine if item.name]
        if kind == "runs":
            parts = {part: sum(item.parts.get(part, 0) for item in mine if item.name) for part in _PARTS}
            rows += [("", part, "", size(amount), "") for part, amount in parts.items() if amount]
    return rows


def _row(what: str, more: str, items: Sequence[Item]) -> tuple[str, ...]:
    things = sum(1 for item in items if item.name) or sum(item.files for item in items)
    return what, more, f"{things:,}", size(sum(item.size_bytes for item in items)), moment(_time(max(item.used for item in items)))


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _finding(finding: Finding) -> dict[str, str]:
    return {"kind": finding.kind, "name": finding.name, "where": str(finding.where), "what": finding.what, "remedy": finding.remedy}


def _what_to_do(findings: Sequence[Finding]) -> str:
    anew = sum(finding.drop is not None for finding in findings)
    more = f" `clipcap cache prune damaged` removes {'the one' if anew == 1 else f'the {anew}'} that can be made anew." if anew else ""
    return f"The line below each says what makes it good.{more}"


def _removal(removal: Removal) -> dict[str, Any]:
    return {"kind": removal.kind, "path": str(removal.path), "why": removal.why, "size_bytes": removal.size_bytes}


def _short(path: Path) -> str:
    """A path as it lies in the store."""
    root = home().root
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
