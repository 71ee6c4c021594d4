"""torch, Keras and RTNeural: layers of other libraries load what was written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backtime.export import export, rtneural
from backtime.export.chain import chain_of
from export_models import ALIGNED, CELLS, LAYERS, OTHERS, H, V, language, other


@pytest.mark.parametrize("name", OTHERS)
def test_torch_has_every_tensor_under_its_name(name: str, tmp_path: Path) -> None:
    model = other(name)
    export(model, "torch", tmp_path / "model.pt")
    state = torch.load(tmp_path / "model.pt", weights_only=True)
    assert {key: value.shape for key, value in state.items()} == {
        key: torch.Size(value.shape) for key, value in model.tensors.items()
    }


def test_torch_layers_load_the_file(tmp_path: Path) -> None:
    model = language({"cell": "gru"}, ALIGNED[1])
    export(model, "torch", tmp_path / "model.pt")
    parts = torch.nn.ModuleDict(
        {
            "embedding": torch.nn.Embedding(V, 4),
            "rnn": torch.nn.GRU(4, H, LAYERS),
            "head": torch.nn.Linear(H, V),
        }
    )
    parts.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    tokens = torch.arange(V)
    with torch.no_grad():
        logits = parts["head"](parts["rnn"](parts["embedding"](tokens))[0])
    np.testing.assert_allclose(chain_of(model, "torch").run(tokens.numpy()), logits.numpy(), atol=2e-5)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_keras_lists_have_the_shapes_of_its_layers(cell: dict[str, Any], tmp_path: Path) -> None:
    export(language(cell, ALIGNED[1]), "keras", tmp_path / "model.npz")
    found = np.load(tmp_path / "model.npz")
    G = {"lstm": 4, "gru": 3, "rnn": 1}[cell["cell"]]
    two = (2, G * H) if cell["cell"] == "gru" and cell.get("reset_after", True) else (G * H,)
    assert found["embedding/0"].shape == (V, 4) and found["head/0"].shape == (H, V)
    assert [found[f"rnn_0/{n}"].shape for n in range(3)] == [(4, G * H), (H, G * H), two]
    assert found["rnn_1/0"].shape == (H, G * H)


@pytest.mark.parametrize("cell", CELLS[:2], ids=str)
def test_rtneural_json(cell: dict[str, Any], tmp_path: Path) -> None:
    model = language(cell, ALIGNED[0])
    export(model, "rtneural", tmp_path / "model.json")
    made = json.loads((tmp_path / "model.json").read_text())
    assert made["in_shape"] == [None, None, V]
    assert [own["type"] for own in made["layers"]] == [cell["cell"]] * 2 + ["dense"]
    assert [own["shape"][2] for own in made["layers"]] == [H, H, V]
    tokens = np.arange(V)
    np.testing.assert_allclose(
        rtneural.compute(made, np.eye(V)[tokens]), chain_of(model, "rtneural").run(tokens), atol=2e-5
    )
