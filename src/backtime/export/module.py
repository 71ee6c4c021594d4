"""A PyTorch module with recurrent layers in it as ONNX: exported, run, compared, kept."""

import contextlib
import io
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch

from backtime.export.agreement import agreement
from backtime.files import atomic_write


def to_onnx(
    module: torch.nn.Module, example: Any, out: Path | str, dynamic_shapes: Any = None, others: Any = ()
) -> float:
    """Write ``module`` to ``out``; the largest difference from it in ONNX Runtime.

    ``example`` is a tensor or a tuple of arguments, ``dynamic_shapes`` what ``torch.onnx.export`` takes: for
    each argument the axes of any length, ``({0: "T", 1: "B"},)``. Without it the first two axes of every
    floating point argument are so, and the only axis of one with whole numbers. ``others`` are further
    arguments of other sizes: the file is run on them and on ``example`` before it is kept. Layers become
    standard RNN, GRU and LSTM nodes; ragged batches come as ``lengths=`` in a tensor.

    Raises ``UsageError`` where the difference is more than 1e-4 of the largest output: no file is written.
    """
    given = example if isinstance(example, tuple) else (example,)
    shapes = _axes(given) if dynamic_shapes is None else dynamic_shapes
    was = module.training
    module.eval()
    try:
        content = _exported(module, given, shapes)
        cases = [given, *(own if isinstance(own, tuple) else (own,) for own in others)]
        worst = max(_difference(module, content, case) for case in cases)
    finally:
        module.train(was)
    with atomic_write(Path(out)) as file:
        file.write(content)
    return worst


def _axes(given: tuple[Any, ...]) -> tuple[Any, ...]:
    names = ("T", "B")
    return tuple({n: names[n] for n in range(min(2, x.ndim))} if x.ndim > 1 else {0: "B"} for x in given)


def _exported(module: torch.nn.Module, given: tuple[Any, ...], shapes: Any) -> bytes:
    """By the exporter that goes by ``torch.export``; its progress and its own deprecations are not ours."""
    with tempfile.TemporaryDirectory(prefix="backtime-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = os.path.join(folder, "model.onnx")  # noqa: PTH118 - the exporter wants text
        with contextlib.redirect_stdout(io.StringIO()):
            torch.onnx.export(
                module, given, path, dynamo=True, dynamic_shapes=shapes, external_data=False, verbose=False
            )
        return Path(path).read_bytes()


def _difference(module: torch.nn.Module, content: bytes, given: tuple[Any, ...]) -> float:
    import onnxruntime

    run = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    inputs = {own.name: x.detach().numpy() for own, x in zip(run.get_inputs(), given, strict=True)}
    with torch.no_grad():
        ours = _flat(module(*given))
    theirs = run.run(None, inputs)
    pairs = ((a.numpy(), b) for a, b in zip(ours, theirs, strict=True))
    return agreement(pairs, "ONNX Runtime and the module")[0]


def _flat(output: Any) -> list[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        return [output]
    return [own for part in output for own in _flat(part)]
