"""`clipcap doctor`."""

from __future__ import annotations

import typer

from clipcap_cli.cli.options import command, settings

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@command(
    app,
    "doctor",
    examples=("clipcap doctor", "clipcap doctor --json"),
    json="a list of {level, subject, message, hint}; level is good, warn or fail.",
)
def doctor() -> None:
    """Say what this machine has: versions, processor, store, encoders and language models. Ends with an error only if something is broken."""
    from clipcap_cli.cli.findings import show_findings
    from clipcap_cli.cli.machine import examine

    show_findings(examine(settings.home))
