"""The files of evaluations/NAME: what `captioning` writes there, and what whoever looks after the store reads. Imports no torch."""

PREDICTIONS = "predictions.json"
FACTS = "captions.json"
FILES = "files.json"
