"""A graph is tried out before anybody gets it: onnxruntime must compute what torch does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from clipcap_cli.captioner.language_models import LanguageModel
from clipcap_cli.errors import InputError
from clipcap_cli.exports.onnx.graphs import Graph

_TOLERANCE = 1e-3  # of the largest number compared; rounding alone stays below a hundredth of it
_COUNTS = (1, 3)  # rows of the trials; the example that graphs are made from has 2
Arrays = list[np.ndarray[Any, Any]]


@torch.no_grad()
def try_graph(graph: Graph, path: Path) -> None:
    """Hold a graph of one input and one output against its network.

    Raises:
        InputError: they do not compute the same.
    """
    session = _session(path)
    for count in _COUNTS:
        [example] = graph.example
        shape, chance = (count, *example.shape[1:]), torch.Generator().manual_seed(count)
        given = torch.randn(shape, generator=chance) if example.is_floating_point() else torch.randint(0, 256, shape, generator=chance, dtype=example.dtype)
        [found] = session.run(None, {graph.inputs[0]: given.numpy()})
        _compare(graph, [found], [graph.module(given).numpy()])


@torch.no_grad()
def try_language_model(graph: Graph, path: Path, language_model: LanguageModel, prefix_length: int) -> None:
    """Hold the graph of a language model against it: a prefix, then a token behind each of its rows in another order, then one more.

    Raises:
        InputError: they do not compute the same.
    """
    session = _session(path)
    sizes = [(value.shape[1], value.shape[3]) for value in session.get_inputs()[3:]]
    chance = torch.Generator().manual_seed(0)
    vectors = language_model.embed(torch.randint(0, language_model.vocabulary, (2, prefix_length), generator=chance))
    past: Arrays = [np.zeros((1, heads, 0, size), np.float32) for heads, size in sizes]
    no_prefix, no_tokens = np.zeros((3, 0, language_model.width), np.float32), np.zeros((2, 0), np.int64)
    logits, *past = session.run(None, dict(zip(graph.inputs, [vectors.numpy(), no_tokens, np.zeros(2, np.int64), *past], strict=True)))
    expected, cache = language_model.step(vectors, None)
    _compare(graph, [logits], [expected.numpy()])
    for rows in (torch.tensor([1, 0, 1]), torch.tensor([2, 0, 1])):
        tokens = torch.randint(0, language_model.vocabulary, (3, 1), generator=chance)
        logits, *past = session.run(None, dict(zip(graph.inputs, [no_prefix, tokens.numpy(), rows.numpy(), *past], strict=True)))
        expected, cache = language_model.step(language_model.embed(tokens), language_model.reorder(cache, rows))
        _compare(graph, [logits], [expected.numpy()])


def _compare(graph: Graph, found: Arrays, expected: Arrays) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        greatest = float(np.abs(theirs).max())
        distance = float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else float("nan")
        if not distance <= _TOLERANCE * max(1.0, greatest):
            raise InputError(
                f"onnxruntime does not compute what torch does with {graph.what}: numbers up to {greatest:.3g} differ by {distance:.3g}",
                hint="Export it with --format bundle.",
            )


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
