"""Captions and references become scores with intervals, baselines and a report."""
