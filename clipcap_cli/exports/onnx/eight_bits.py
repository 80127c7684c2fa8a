"""Weights in eight bits: what multiplies matrices is stored as integers, a scale a column, and multiplied as integers.

What comes into such a product is turned into integers as it comes, by one scale for all rows of the batch (onnxruntime's dynamic quantization). Weights use
seven of their eight bits: with all eight, processors without VNNI let sums overflow, and captions would depend on the machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clipcap_cli.exports.onnx.converting import quiet


def to_eight_bits(path: Path, made: Path, *, large: bool) -> None:
    """Write the graph in `path` with its matrices in eight bits to `made`.

    Args:
        large: its weights get a file of their own, MADE.data.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet():
        quantize_dynamic(
            path,
            made,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=large,
        )
    model = onnx.load(made, load_external_data=False)
    if _read_embeddings_from_integers(model):
        onnx.save(model, made)


def _read_embeddings_from_integers(model: Any) -> bool:
    """Let the embedding take its vectors out of the output layer's integers, so that their matrix is stored once; whether there was one to change."""
    from onnx import TensorProto, helper

    graph = model.graph
    names = {tensor.name for tensor in graph.initializer}
    changed = False
    for place, node in enumerate(list(graph.node)):
        table = node.input[0] if node.op_type == "Gather" else ""
        integers, scale = f"{table}_quantized", f"{table}_scale"
        if table not in names or integers not in names:
            continue
        tokens, vectors = node.input[1], node.output[0]
        # [width, tokens] integers, times [tokens] scales; their zero is 0.
        steps = [
            helper.make_node("Gather", [integers, tokens], [f"{vectors}_integers"], axis=1),
            helper.make_node("Cast", [f"{vectors}_integers"], [f"{vectors}_numbers"], to=TensorProto.FLOAT),
            helper.make_node("Gather", [scale, tokens], [f"{vectors}_scales"], axis=0),
            helper.make_node("Mul", [f"{vectors}_numbers", f"{vectors}_scales"], [vectors]),
        ]
        graph.node.remove(node)
        for number, step in enumerate(steps):
            graph.node.insert(place + number, step)
        for tensor in graph.initializer:
            if tensor.name == table:
                graph.initializer.remove(tensor)
                break
        changed = True
    return changed
