"""A PyTorch module with recurrent layers in it as ONNX: exported, run, compared, kept."""

import contextlib
import io
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from backtime.errors import UsageError
from backtime.files import atomic_write
from backtime.interchange.agreement import agreement

Arguments = tuple[torch.Tensor, ...]


def to_onnx(
    module: torch.nn.Module, example: Any, out: Path | str, dynamic_shapes: Any = None, others: Any = ()
) -> float:
    """Write ``module`` to ``out``; the largest difference from it in ONNX Runtime.

    ``example`` is a tensor or a tuple of arguments, ``dynamic_shapes`` what ``torch.onnx.export`` takes: for
    each argument the axes of any length, ``({0: "T", 1: "B"},)``. Without it the first two axes of every
    argument are so, and the only axis of one that has no second. Before the file is kept it is run on
    ``example``, on the same with every such axis cut to one entry and repeated to 2 n + 1, and on ``others``:
    further arguments of the caller's. Layers become standard RNN, GRU and LSTM nodes; ragged batches come as
    ``lengths=`` in a tensor.

    Raises ``UsageError`` where the difference is more than 1e-4 of the largest output, and where ONNX Runtime
    does not run the file at one of these sizes: no file is written.
    """
    given = example if isinstance(example, tuple) else (example,)
    shapes = _axes(given) if dynamic_shapes is None else dynamic_shapes
    was = module.training
    module.eval()
    try:
        content = _exported(module, given, shapes)
        more = [own if isinstance(own, tuple) else (own,) for own in others]
        cases = [given, *_other_sizes(given, shapes), *more]
        worst = max(_difference(module, content, case) for case in cases)
    finally:
        module.train(was)
    with atomic_write(Path(out)) as file:
        file.write(content)
    return worst


def _axes(given: Arguments) -> tuple[dict[int, str], ...]:
    names = ("T", "B")
    return tuple({n: names[n] for n in range(min(2, x.ndim))} if x.ndim > 1 else {0: "B"} for x in given)


def _other_sizes(given: Arguments, shapes: Any) -> list[Arguments]:
    """The arguments with one entry in each axis of any length, and with twice as many as there are and one.

    Whole numbers in one axis are lengths: none may be more than the one step that is left.
    """
    if not isinstance(shapes, tuple | list) or not all(isinstance(axes, dict) for axes in shapes):
        return []  # in another form of torch.export's, which does not tell each argument's axes
    one = tuple(
        _resized(x.clamp(max=1) if x.ndim == 1 and not x.is_floating_point() else x, axes, lambda n: 1)
        for x, axes in zip(given, shapes, strict=True)
    )
    more = tuple(_resized(x, axes, lambda n: 2 * n + 1) for x, axes in zip(given, shapes, strict=True))
    return [one, more]


def _resized(x: torch.Tensor, axes: dict[int, Any], size: Callable[[int], int]) -> torch.Tensor:
    for axis in axes:
        n = x.shape[axis]
        x = x.index_select(axis, torch.arange(size(n)) % n)
    return x


def _exported(module: torch.nn.Module, given: Arguments, shapes: Any) -> bytes:
    """By the exporter that goes by ``torch.export``; its progress and its own deprecations are not ours."""
    with tempfile.TemporaryDirectory(prefix="backtime-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = os.path.join(folder, "model.onnx")  # noqa: PTH118 - the exporter wants text
        with contextlib.redirect_stdout(io.StringIO()):
            torch.onnx.export(
                module, given, path, dynamo=True, dynamic_shapes=shapes, external_data=False, verbose=False
            )
        return Path(path).read_bytes()


def _difference(module: torch.nn.Module, content: bytes, given: Arguments) -> float:
    import onnxruntime

    run = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    inputs = {own.name: x.detach().numpy() for own, x in zip(run.get_inputs(), given, strict=True)}
    with torch.no_grad():
        ours = _flat(module(*given))
    try:
        theirs = run.run(None, inputs)
    except Exception as error:  # ONNX Runtime's own, of no common kind
        sizes = ", ".join(str(tuple(x.shape)) for x in given)
        raise UsageError(
            f"ONNX Runtime does not run the file on arguments of {sizes}: {str(error).splitlines()[0]}"
        ) from error
    pairs = ((a.numpy(), b) for a, b in zip(ours, theirs, strict=True))
    return agreement(pairs, "ONNX Runtime and the module")[0]


def _flat(output: Any) -> list[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        return [output]
    return [own for part in output for own in _flat(part)]
