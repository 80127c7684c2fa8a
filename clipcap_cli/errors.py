"""What can go wrong, for people.

    ClipcapError              1   a bug of ours, if it is ever raised bare
    ├── InputError            3   the input is wrong or not found
    │   └── UsageError        2   what was asked for can never be, whatever is there
    ├── MissingError          4   weights or a package are missing (offline, extra not installed)
    ├── PartialError          5   finished, but some items failed
    ├── StoreError            6   the store is busy, full, damaged or read-only
    └── UnreachableError      7   another process or machine that the work needs is gone or does not answer

The message is one sentence that holds the offending value; `where` is the place (file:line, key, row); `hint` is the next thing to do. Errors are raised
where the fact is known and rendered only at the front desk (`clipcap_cli.cli`).
"""

from __future__ import annotations


class ClipcapError(Exception):
    """Base of every error that clipcap raises on purpose."""

    exit_code = 1

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        parts = [f"{self.where}: {self.message}" if self.where else self.message]
        if self.hint:
            parts.append(self.hint)
        return " ".join(parts)


class InputError(ClipcapError):
    """The input is wrong or was not found."""

    exit_code = 3


class UsageError(InputError):
    """What was asked for can never be, whatever is there: an option that has no effect, a value that is not written as one."""

    exit_code = 2


class MissingError(ClipcapError):
    """Weights or a package are missing and cannot be had now."""

    exit_code = 4


class PartialError(ClipcapError):
    """The work was finished, but some items failed."""

    exit_code = 5


class StoreError(ClipcapError):
    """The store is busy, full, damaged or read-only."""

    exit_code = 6


class UnreachableError(ClipcapError):
    """Another process or machine that the work needs is gone, or does not answer."""

    exit_code = 7
