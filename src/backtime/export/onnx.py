"""ONNX: any model of ours, with any batch and lengths, its state going in and out where it can be stepped."""

import json
from pathlib import Path

import numpy as np

from backtime.errors import UsageError
from backtime.export.onnx_check import check
from backtime.export.onnx_graph import Graph
from backtime.export.onnx_networks import NETWORKS
from backtime.files import atomic_write
from backtime.models.file import ModelFile


def write(model: ModelFile, out: Path) -> list[str]:
    """Build the file, run it in ONNX Runtime, keep it if it agrees."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ModuleNotFoundError as error:
        raise UsageError(f"--to onnx needs {error.name}: pip install 'backtime[export]'") from error
    told = [
        f"the weights are {dtype}; written as float32, for ONNX Runtime has no other layers"
        for dtype in {str(own.dtype) for own in model.tensors.values()}
        if dtype != "float32"
    ]
    model = model._replace(tensors={name: own.astype(np.float32) for name, own in model.tensors.items()})
    content = build(model)
    worst, largest = check(model, content)
    with atomic_write(out) as file:
        file.write(content)
    agrees = f"ONNX Runtime agrees: the largest difference is {worst:.1e}, of outputs up to {largest:.3g}"
    return [agrees, *told]


def build(model: ModelFile) -> bytes:
    """The file's content; task and encoding stand in its metadata."""
    config = model.config
    if getattr(config, "cell", "") == "rnn" and getattr(config, "activation", "") == "identity":
        raise UsageError("activation is identity; ONNX's RNN has tanh, relu and sigmoid")
    if config.network not in NETWORKS:
        raise UsageError(f"a network of kind {config.network} cannot be exported to onnx")
    graph = Graph()
    NETWORKS[config.network](graph, model)
    notes = {"task": model.task, "encoding": json.dumps(model.encoding)}
    return graph.bytes(f"backtime {model.task}", notes)
