"""Scores become one HTML file that needs nothing else: charts, tables, and every picture with its captions."""

from clipcap_cli.evaluation.report.report import write_report

__all__ = ["write_report"]
