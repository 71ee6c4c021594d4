"""ONNX: any model of ours, with any batch and lengths, its state going in and out where it can be stepped.

- ``graph``      a graph in the making
- ``layers``     recurrent layers and what stands above them
- ``networks``   the networks that are one file
- ``writers``    those that are two: what is read, and a step of the writing
- ``checks``     the files beside the engine, in ONNX Runtime
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from backtime.errors import UsageError
from backtime.export.made import Made
from backtime.export.onnx.checks import check
from backtime.export.onnx.graph import Graph
from backtime.export.onnx.networks import NETWORKS
from backtime.export.onnx.writers import WRITERS
from backtime.export.trials import Trial
from backtime.models.file import ModelFile


def make(model: ModelFile, out: Path, trials: Sequence[Trial]) -> Made:
    """Build the file, or both, and run them in ONNX Runtime; raises ``UsageError`` where they differ."""
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
    parts = build(model)
    lines = check(model, parts, trials)
    files = {out.with_name(f"{out.stem}{end}{out.suffix}"): content for end, content in parts.items()}
    return Made(files, [*lines, *told])


def build(model: ModelFile) -> dict[str, bytes]:
    """The content of each file by what is added to its name; task and encoding stand in their metadata."""
    config = model.config
    if getattr(config, "cell", "") == "rnn" and getattr(config, "activation", "") == "identity":
        raise UsageError("activation is identity; ONNX's RNN has tanh, relu and sigmoid")
    parts = WRITERS.get(config.network) or {"": NETWORKS[config.network]}
    notes = {"task": model.task, "encoding": json.dumps(model.encoding)}
    made = {}
    for end, add in parts.items():
        graph = Graph()
        add(graph, model)
        made[end] = graph.bytes(f"backtime {model.task}{end}", notes)
    return made
