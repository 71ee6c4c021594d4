"""Layer norm and skip connections of a whole stack: without PyTorch, by steps, in files, exported."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backtime import nn
from backtime.cli.main import main
from backtime.data.batching.buckets import pack
from backtime.insight import flow
from backtime.models.config import NETWORKS, LanguageConfig
from backtime.models.file import ModelFile, write_model
from backtime.models.initial import initialise
from backtime.models.layers import both_ends, recurrent, run
from backtime.models.recurrent import OF_ITS_CELL, OF_LAYER_NORM, TENSORS, RecurrentConfig, layer_shapes
from backtime.models.saving import build_model
from backtime.nn.types import NAMES
from backtime.runtime.layers import Layers
from backtime.runtime.stacks import stack_of

I, H = 5, 8
# Layer norm and skip connections.

REMEDIES: list[dict[str, Any]] = [
    {"layer_norm": True},
    {"skip_connections": True},
    {"layer_norm": True, "skip_connections": True},
]
CELLS: list[dict[str, Any]] = [{"cell": "lstm"}, {"cell": "gru"}, {"cell": "rnn", "activation": "relu"}]
remedies = pytest.mark.parametrize("remedy", REMEDIES, ids=lambda own: "+".join(own))
cells = pytest.mark.parametrize("cell", CELLS, ids=lambda own: own["cell"])


def layers_of(**options: Any) -> tuple[RecurrentConfig, Any, dict[str, Any]]:
    """Layers with random weights in double precision: gains are not 1, and shifts not 0."""
    config = RecurrentConfig(hidden_size=H, layers=3, **options)
    torch.manual_seed(0)
    layers = recurrent(config, I).double().eval()
    for own in layers.parameters():
        torch.nn.init.normal_(own, std=0.5)
    tensors = {f"rnn.{name}": own.numpy() for name, own in layers.state_dict().items()}
    assert {name: own.shape for name, own in tensors.items()} == layer_shapes("rnn", config, I)
    return config, layers, tensors


def test_the_file_names_weights_as_the_layers_do() -> None:
    assert (TENSORS | OF_LAYER_NORM | OF_ITS_CELL).items() <= NAMES.items()


@cells
@remedies
@pytest.mark.parametrize("both", [False, True])
def test_ragged_layers_are_the_same_without_pytorch(
    cell: dict[str, Any], remedy: dict[str, Any], both: bool
) -> None:
    config, layers, tensors = layers_of(**cell, **remedy, bidirectional=both)
    random = np.random.default_rng(1)
    packed = pack([random.standard_normal((n, I)) for n in (5, 3, 3, 1)])
    with torch.no_grad():
        y, last = run(layers, torch.from_numpy(packed.rows), torch.from_numpy(packed.batch_sizes))
    own, end = Layers(config, tensors, "rnn").run(packed.rows, packed.batch_sizes)
    np.testing.assert_allclose(own, y.numpy(), atol=1e-12)
    np.testing.assert_allclose(end, both_ends(last, both).numpy(), atol=1e-12)


@cells
@remedies
def test_steps_are_those_of_the_whole(cell: dict[str, Any], remedy: dict[str, Any]) -> None:
    config, layers, tensors = layers_of(**cell, **remedy)
    x = np.random.default_rng(2).standard_normal((6, 2, I))
    with torch.no_grad():
        y, state = layers(torch.from_numpy(x))
        half, middle = layers(torch.from_numpy(x[:3]))
        rest, end = layers(torch.from_numpy(x[3:]), middle)
    torch.testing.assert_close(torch.cat([half, rest]), y, atol=1e-12, rtol=0)
    stack = stack_of(config, tensors, "rnn", head=False)
    stream, own = stack.stream(2), stack.zero_state(2)
    for step, expected in zip(x, y.numpy(), strict=True):
        np.testing.assert_allclose(stream.step(step), expected, atol=1e-12)
        np.testing.assert_allclose(stack.step(step, own), expected, atol=1e-12)
    ends = state if isinstance(state, tuple) else (state,)
    expected = [part[layer].numpy() for layer in range(3) for part in ends]
    np.testing.assert_allclose(np.concatenate(own), np.concatenate(expected), atol=1e-12)
    np.testing.assert_allclose(np.concatenate(stream.state), np.concatenate(expected), atol=1e-12)
    torch.testing.assert_close(end, state, atol=1e-12, rtol=0)


@pytest.mark.parametrize("both", [False, True])
def test_a_skip_adds_what_is_below(both: bool) -> None:
    """By the definition; and layers that give zero let all through, the gradient too."""
    _, layers, _ = layers_of(cell="rnn", skip_connections=True, bidirectional=both)
    x = torch.randn(4, 2, I, dtype=torch.double)
    y = layers[0](x)[0]
    for layer in list(layers)[1:]:
        y = layer(y)[0] + y
    torch.testing.assert_close(layers(x)[0], y, atol=0, rtol=0)
    for own in [*layers[1].parameters(), *layers[2].parameters()]:
        torch.nn.init.zeros_(own)
    first = layers[0](x)[0]
    assert torch.equal(layers(x)[0], first)
    arrived, expected = (
        torch.autograd.grad(out.sum(), layers[0].weight_ih_l0)[0] for out in (layers(x)[0], first)
    )
    assert torch.equal(arrived, expected) and arrived.abs().sum() > 0


def test_dropout_leaves_the_skipping_line() -> None:
    config = RecurrentConfig(cell="rnn", hidden_size=H, layers=2, dropout=1.0, skip_connections=True)
    layers, x = recurrent(config, I), torch.randn(4, 2, I)
    torch.nn.init.zeros_(layers[1].bias_ih_l0)
    torch.nn.init.zeros_(layers[1].bias_hh_l0)
    assert torch.equal(layers(x)[0], layers[0](x)[0])


@pytest.mark.slow  # the first jacobian of a process takes seconds
@remedies
def test_a_gradient_through_time_is_measured(remedy: dict[str, Any]) -> None:
    _, layers, _ = layers_of(cell="lstm", **remedy)
    found = flow(layers, torch.randn(6, 2, I, dtype=torch.double))
    assert len(found.levels) == 3 and found.steps == 6
    assert found.gap is not None and found.gap < 1e-9


def test_layer_norm_keeps_its_gains_whatever_the_range() -> None:
    layer = nn.LSTM(I, H, layer_norm=True)
    initialise(layer, "torch", 0.01, 1.0)
    assert (
        (layer.gain_hh_l0 == 1).all() and not layer.bias_c_l0.any() and layer.weight_ih_l0.abs().max() <= 0.01
    )
    assert (layer.bias_ih_l0[H : 2 * H] == 1).all()


@pytest.mark.parametrize("network", NETWORKS)
def test_a_configuration_of_before_has_neither(network: str) -> None:
    """As files of older versions have it: the fields are not there."""
    common = {"cell": "gru", "hidden_size": 4, "layers": 2}
    sizes: dict[str, dict[str, Any]] = {
        "aligned": {"vocabulary_size": 5},
        "tagger": {"words": 3, "characters": 3, "tags": 3},
        "reader": {"channels": 2, "classes": 2},
        "forecaster": {"targets": 1, "past": 0, "known": 0, "horizon": 2, "strategy": "direct"},
        "piano": {"keys": 3},
        "transcriber": {"channels": 2, "characters": 2},
        "encoder-decoder": {"sources": 3, "targets": 3, "embedding_size": 2},
        "recommender": {"items": 3, "embedding_size": 2},
        "regressor": {"channels": 2},
        "similarity": {"symbols": 3, "embedding_size": 2},
        "captioner": {
            "targets": 3,
            "embedding_size": 2,
            "rows": 4,
            "columns": 4,
            "channels": 1,
            "filters": 2,
            "blocks": 1,
        },
    }
    config = NETWORKS[network](**common, **sizes[network])
    value = config.to_json()
    for name in ("layer_norm", "skip_connections", "output_layers", "output_recurrence"):
        assert value.pop(name) in (False, 0)
    assert NETWORKS[network].from_json(value) == config


@pytest.mark.parametrize("form", ["onnx", "c", "torch", "keras", "rtneural"])
@pytest.mark.parametrize("beyond", ["layer_norm", "skip_connections", "output_layers"])
def test_export_of_a_remedy_or_one_line(form: str, beyond: str, tmp_path: Path, capsys: Any) -> None:
    config = LanguageConfig("gru", 6, 2, 5, **{beyond: True if beyond != "output_layers" else 2})
    random = np.random.default_rng(0)
    tensors = {name: random.uniform(-1, 1, shape).astype("f4") for name, shape in config.shapes().items()}
    encoding = {"vocabulary": {"level": "char", "symbols": list("abcde")}}
    write_model(tmp_path / "model.safetensors", ModelFile("language", config, encoding, tensors))
    ending = {"onnx": "onnx", "c": "c", "torch": "pt", "keras": "npz", "rtneural": "json"}[form]
    out = tmp_path / f"out.{ending}"
    status = main(["export", str(tmp_path / "model.safetensors"), "--to", form, "--out", str(out)])
    told = capsys.readouterr()
    if form == "onnx" and beyond != "layer_norm":
        assert status == 0 and out.exists() and "agrees" in told.out
    else:
        name = beyond.replace("_", " ")
        assert status == 2 and f"the model has {name}, for which there is no place in {form}" in told.err
        assert told.err.count("\n") == 1 and not out.exists()
    assert main(["derive", "--weights", str(tmp_path / "model.safetensors"), "--text", "abc"]) == 2


def test_build_model_gives_the_weights_back() -> None:
    config = LanguageConfig("lstm", 6, 3, 5, skip_connections=True, layer_norm=True, output_layers=2)
    random = np.random.default_rng(0)
    tensors = {name: random.uniform(-1, 1, shape).astype("f4") for name, shape in config.shapes().items()}
    network = build_model(ModelFile("language", config, {}, tensors))
    again = {name: own.numpy() for name, own in network.state_dict().items()}
    assert again.keys() == tensors.keys()
    assert all(np.array_equal(again[name], own) for name, own in tensors.items())
