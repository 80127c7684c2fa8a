"""`clipcap dataset …`: its commands, in the order in which people need them."""

from clipcap_cli.cli.datasets import adding, looking, checking, changing, exporting  # noqa: F401, I001 - each declares its commands
from clipcap_cli.cli.datasets.group import app

__all__ = ["app"]
