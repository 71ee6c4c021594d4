"""The whole state of a run in one file, for a resume that is exact to the bit. Tensors and JSON, no pickle.

One file, because one rename makes it whole: model, optimiser, carried state and random states can never
be of two different steps. Tensors are named ``model.KEY``, ``optimiser.N.NAME``, ``carried.N`` and
``random.DEVICE``; the rest is JSON in the metadata: ``state`` (see ``RunState``) and Python's and NumPy's
random states.
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from backtime.errors import UsageError, shown
from backtime.fields import read
from backtime.files import atomic_write
from backtime.training.carried import tensors_of, with_tensors
from backtime.training.state import RunState
from backtime.training.task import Carried

FORMAT, VERSION = "backtime-training", 2
KNOWN_VERSIONS = ("1", "2")  # 1: version 0.1.0, with other names in ``state``
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Generators:
    """The random states of Python and NumPy, as JSON."""

    python: list[Any]
    numpy: dict[str, Any]


def save(
    path: Path, model: torch.nn.Module, optimiser: torch.optim.Optimizer, carried: Carried, state: RunState
) -> None:
    """Write all that the next step depends on; the previous file stays until this one is complete."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for number, slots in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": value for name, value in slots.items() if value is not None}
    tensors |= {f"carried.{number}": value for number, value in enumerate(tensors_of(carried))}
    tensors |= _torch_random()
    metadata = {
        "format": FORMAT,
        "format_version": str(VERSION),
        "state": json.dumps(state.to_json()),
        "random": json.dumps(_python_random()),
    }
    # cloned: safetensors refuses tensors that share memory, and tied weights do
    content = safetensors.torch.save(
        {name: value.detach().cpu().clone() for name, value in tensors.items()}, metadata
    )
    with atomic_write(path) as file:
        file.write(content)


def load(
    path: Path, model: torch.nn.Module, optimiser: torch.optim.Optimizer, carried: Carried
) -> tuple[RunState, Carried]:
    """Bring ``model``, ``optimiser`` and all random states to where ``save`` found them.

    ``carried`` gives the form of the carried state; returns the run's state and the carried state. Raises
    ``UsageError`` when the file is missing, damaged or of a newer version.
    """
    tensors, metadata = _read(path)
    try:
        state = RunState.from_json(_value(metadata, "state"))
        generators = read(Generators, _value(metadata, "random"), "metadata random")
        _check_model(_under("model.", tensors), model)
        device = next(model.parameters()).device
        saved = _under("carried.", tensors)
        carried = _like(carried, [saved[name].to(device) for name in sorted(saved, key=int)])
        model.load_state_dict(_under("model.", tensors))
        _load_optimiser(optimiser, _under("optimiser.", tensors))
        _restore_random(_under("random.", tensors), generators)
    except UsageError as error:
        raise UsageError(f"cannot resume from {path}: {error}") from error
    except (LookupError, ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise UsageError(f"cannot resume from {path}: it is damaged: {shown(str(error))}") from error
    return state, carried


def _check_model(found: Tensors, model: torch.nn.Module) -> None:
    """Raise ``UsageError`` where the save is of another network than the settings say."""
    expected = model.state_dict()
    for name in sorted(found.keys() ^ expected.keys()):
        has = "has" if name in found else "lacks"
        raise UsageError(f"it {has} {shown(name)}; the settings say otherwise")
    for name, value in found.items():
        if value.shape != expected[name].shape:
            shapes = f"{tuple(value.shape)}; by the settings it has {tuple(expected[name].shape)}"
            raise UsageError(f"{name} has shape {shapes}")


def _like(form: Carried, saved: list[torch.Tensor]) -> Carried:
    """The saved carried state, in the form and shapes of ``form``."""
    expected = [tensor.shape for tensor in tensors_of(form)]
    if [tensor.shape for tensor in saved] != expected:
        raise UsageError("its carried state has other shapes than the settings say")
    return with_tensors(form, saved)


def _load_optimiser(optimiser: torch.optim.Optimizer, tensors: Tensors) -> None:
    slots: dict[int, Tensors] = {}
    for name, value in tensors.items():
        number, slot = name.split(".", 1)
        slots.setdefault(int(number), {})[slot] = value
    # the groups (rates and so on) are made anew from the settings; the loop sets the rate at each step
    groups = optimiser.state_dict()["param_groups"]
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    names = {name for found in slots.values() for name in found}
    for index, found in slots.items():
        if missing := sorted(names - found.keys()):
            raise UsageError(f"its optimiser lacks {missing[0]} of weight {index}")
        if any(value.dim() and value.shape != weights[index].shape for value in found.values()):
            raise UsageError("its optimiser has other shapes than the weights")
    optimiser.load_state_dict({"state": slots, "param_groups": groups})


def _read(path: Path) -> tuple[Tensors, dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"cannot resume from {path}: {error}") from error
    if metadata.get("format") != FORMAT:
        raise UsageError(f"cannot resume from {path}: it is no save of a backtime run")
    version = metadata.get("format_version")
    if version not in KNOWN_VERSIONS:
        expected = " or ".join(KNOWN_VERSIONS)
        raise UsageError(
            f"cannot resume from {path}: its format version is {shown(version)}; expected {expected}"
        )
    return tensors, metadata


def _value(metadata: dict[str, str], name: str) -> Any:
    try:
        return json.loads(metadata.get(name, ""))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"metadata {name} is no JSON") from error


def _under(prefix: str, tensors: Tensors) -> Tensors:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _torch_random() -> Tensors:
    states = {"random.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"random.cuda{n}": value for n, value in enumerate(torch.cuda.get_rng_state_all())}
    return states


def _python_random() -> dict[str, Any]:
    version, internal, gauss = random.getstate()
    numpy_state: Any = np.random.get_state(legacy=False)
    numpy_state["state"]["key"] = numpy_state["state"]["key"].tolist()
    return {"python": [version, list(internal), gauss], "numpy": numpy_state}


def _restore_random(tensors: Tensors, values: Generators) -> None:
    torch.set_rng_state(tensors.pop("cpu"))
    if tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([tensors[f"cuda{n}"] for n in range(len(tensors))])
    version, internal, gauss = values.python
    random.setstate((version, tuple(internal), gauss))
    values.numpy["state"]["key"] = np.array(values.numpy["state"]["key"], np.uint32)
    np.random.set_state(values.numpy)
