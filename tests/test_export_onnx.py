"""ONNX files of every network, run by the test itself at other sizes than the export's own check."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from backtime.errors import UsageError
from backtime.export import export
from backtime.export.chain import chain_of
from backtime.export.onnx import checks
from export_models import ALIGNED, CELLS, LAYERS, OTHERS, H, V, language, other


@pytest.mark.parametrize("way_in", ALIGNED, ids=["one-hot", "embedding", "tied"])
@pytest.mark.parametrize("cell", CELLS, ids=lambda own: " ".join(map(str, own.values())))
def test_onnx_of_a_language_model_by_another_batch_and_ragged(
    cell: dict[str, Any], way_in: dict[str, Any], tmp_path: Path
) -> None:
    model, out = language(cell, way_in), tmp_path / "model.onnx"
    line, written = export(model, "onnx", out)
    assert line.startswith("ONNX Runtime agrees on random inputs") and written.startswith(f"written: {out} (")
    run = onnxruntime.InferenceSession(out)
    tokens = np.random.default_rng(5).integers(0, V, (13, 5))
    lengths = np.array([13, 1, 7, 12, 2], np.int32)
    zeros = np.zeros((LAYERS, 5, H), np.float32)
    states = {own.name: zeros for own in run.get_inputs() if own.name in ("h_0", "c_0")}
    logits = run.run(None, {"tokens": tokens, "lengths": lengths, **states})[0]
    chain = chain_of(model, "onnx")
    for b, n in enumerate(lengths):
        np.testing.assert_allclose(logits[:n, b], chain.run(tokens[:n, b]), atol=2e-5)


@pytest.mark.parametrize("name", OTHERS)
def test_onnx_of_the_other_networks(name: str, tmp_path: Path) -> None:
    line, *_ = export(other(name), "onnx", tmp_path / "model.onnx")
    assert float(line.split("difference is ")[1].split(",")[0]) < 1e-5
    kinds = {node.op_type for path in tmp_path.iterdir() for node in onnx.load(path).graph.node}
    assert kinds & {"RNN", "GRU", "LSTM"} and not kinds & {"Loop", "Scan", "If"}


@pytest.mark.parametrize("name", ["piano", *OTHERS])
def test_a_wrong_weight_leaves_no_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: one gate's weights of the file are not those of the model."""
    built = checks.session

    def spoiled(content: bytes) -> Any:
        own = onnx.ModelProto.FromString(content)
        recurrent = [node for node in own.graph.node if node.op_type in ("RNN", "GRU", "LSTM")]
        for part in own.graph.initializer:  # a captioner's encoder has none
            if recurrent and part.name == recurrent[0].input[2]:
                value = onnx.numpy_helper.to_array(part).copy()
                value[:, :H] += 0.05
                part.CopyFrom(onnx.numpy_helper.from_array(value, part.name))
        return built(own.SerializeToString())

    monkeypatch.setattr(checks, "session", spoiled)
    with pytest.raises(UsageError, match="no file is written"):
        export(other(name), "onnx", tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cell", CELLS, ids=lambda own: " ".join(map(str, own.values())))
def test_onnx_of_float64_is_float32(cell: dict[str, Any], tmp_path: Path) -> None:
    model = language(cell, ALIGNED[1])
    double = {name: own.astype(np.float64) for name, own in model.tensors.items()}
    _, line, _ = export(model._replace(tensors=double), "onnx", tmp_path / "double.onnx")
    assert "written as float32" in line
    export(model, "onnx", tmp_path / "single.onnx")
    assert (tmp_path / "double.onnx").read_bytes() == (tmp_path / "single.onnx").read_bytes()


@pytest.mark.parametrize("place", [4, 5, 6], ids=["lengths", "h", "c"])
@pytest.mark.parametrize("name", ["language", "recursive forecaster"])
def test_lengths_or_a_state_that_is_not_read_leaves_no_file(
    name: str, place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without lengths the outputs are right, and the state is that of the padding."""
    built = checks.session

    def spoiled(content: bytes) -> Any:
        own = onnx.ModelProto.FromString(content)
        for node in own.graph.node:
            if node.op_type == "LSTM":
                node.input[place] = ""
        return built(own.SerializeToString())

    monkeypatch.setattr(checks, "session", spoiled)
    model = language({"cell": "lstm"}, ALIGNED[0]) if name == "language" else other(name)
    with pytest.raises(UsageError, match="no file is written"):
        export(model, "onnx", tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
