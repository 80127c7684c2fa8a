"""The commands that mend what is found, each in one place."""

from __future__ import annotations

import shlex

from clipcap_cli.datasets.places import by_engine


def fix(name: str) -> str:
    """Mend what can be mended safely."""
    return f"clipcap dataset check {name} --fix"


def leave_out(name: str, kind: str) -> str:
    """A version without what a finding of this kind names."""
    return f"clipcap dataset filter {name} --problem {kind}"


def edit(name: str) -> str:
    """Correct captions by hand."""
    return f"clipcap dataset edit {name} --export {name}.csv"


def by_hand(name: str, kind: str, what: str) -> str:
    """Two ways: do `what` by hand, or leave out what a finding of this kind names."""
    return f"{what} ({edit(name)}), or leave them out: {leave_out(name, kind)}"


def split(name: str) -> str:
    """A split for the pictures that have none."""
    return f"clipcap dataset split {name}"


def split_anew(name: str, group: str | None = None) -> str:
    """Other splits than those of the source, which tear no group apart."""
    return f"{split(name)} --anew{f' --group {group}' if group else ''}"


def split_larger(name: str) -> str:
    """Other shares, by which each split has enough."""
    return f"{split(name)} --anew --shares 60,20,20 (gives up the splits that are there)"


def look(name: str) -> str:
    """See for oneself."""
    return f"clipcap dataset preview {name}"


def add_again(name: str, source: str) -> str:
    """Take the source as it is now."""
    return f"clipcap dataset add {shlex.quote(source)} --name {name}{by_engine(source)}"
