"""A dataset as one HTML file that needs nothing else: its pictures with their captions, searched, filtered by split and problem, and gone through by keys."""

from clipcap_cli.datasets.preview.preview import LIMIT, Preview, write_preview

__all__ = ["LIMIT", "Preview", "write_preview"]
