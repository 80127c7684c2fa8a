"""From a network of torch to a file of onnx, quietly."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from clipcap_cli.errors import InputError
from clipcap_cli.exports.onnx.graphs import Graph

OPSET = 20  # the first with GELU as one operator; onnxruntime has it since 1.17
LARGEST = 1_900_000_000  # bytes of weights in the file itself; a file of this format ends at 2 GB


def write_graph(graph: Graph, path: Path) -> None:
    """Write a graph; its weights are in the file, or where they are too many in PATH.data beside it.

    Raises:
        InputError: the exporter cannot follow what the network does.
    """
    try:
        with quiet(), torch.enable_grad():  # without gradients, the language model would take matrices packed for this processor
            program: Any = torch.onnx.export(
                graph.module,
                graph.example,
                dynamo=True,
                dynamic_shapes=graph.free,
                input_names=graph.inputs,
                output_names=graph.outputs,
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:  # it fails in as many ways as there are networks
        reason = next(iter(str(error.__cause__ or error).strip().splitlines()), type(error).__name__)
        raise InputError(f"{graph.what} cannot be written as an onnx graph: {reason}", hint="Export it with --format bundle.") from error
    _tidy(program.model, graph)
    program.save(path, external_data=is_large(graph))


def is_large(graph: Graph) -> bool:
    """Whether the weights need a file of their own."""
    return sum(parameter.numel() * parameter.element_size() for parameter in graph.module.parameters()) > LARGEST


def _tidy(model: Any, graph: Graph) -> None:
    """Without lines and paths of this machine's torch, and with free dimensions that have names."""
    import onnx_ir as ir

    nodes = list(ir.traversal.RecursiveGraphIterator(model.graph))
    for part in (model, model.graph, *nodes, *model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()):
        part.metadata_props.clear()
        part.doc_string = None
    # The exporter lets names of its own stand beside the same ones that we ask for.
    for value in (value for node in nodes for value in node.outputs):
        if value.name in (*graph.inputs, *graph.outputs) and not value.is_graph_output():
            value.name = f"{value.name}.inside"
    for name in {*graph.inputs, *graph.outputs} & model.graph.initializers.keys():
        value = model.graph.initializers.pop(name)
        value.name = f"{name}.inside"
        model.graph.register_initializer(value)
    for output, sizes in zip(model.graph.outputs, graph.sizes, strict=True):
        output.shape = ir.Shape([sizes.get(number, size) for number, size in enumerate(output.shape)])


@contextmanager
def quiet() -> Iterator[None]:
    """Without log lines and warnings: what exporters and quantizers remark on is nothing that a user could mend."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
