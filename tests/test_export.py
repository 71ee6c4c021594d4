"""Exported models against independent programs: ONNX Runtime, a C compiler, torch.nn, RTNeural's sums.

Each file is read back and run by the test itself, at other sizes than the export's own check.
"""

import ctypes
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from backtime import UsageError, nn
from backtime.cli.main import main
from backtime.data.labelled import Reading
from backtime.data.lexicon import Lexicon
from backtime.data.text.vocabulary import Vocabulary
from backtime.export import FORMATS, c_check, c_code, export, onnx_check, rtneural
from backtime.export.chain import chain_of
from backtime.interchange import to_onnx, torch_to_onnx
from backtime.interchange.agreement import agreement
from backtime.models.config import LanguageConfig
from backtime.models.encoder_decoder_config import EncoderDecoderConfig
from backtime.models.file import ModelFile, write_model
from backtime.models.forecast_config import ForecastConfig
from backtime.models.piano_config import PianoConfig
from backtime.models.reader_config import ReaderConfig
from backtime.models.recommender_config import RecommenderConfig
from backtime.models.regressor_config import RegressorConfig
from backtime.models.tagger_config import TaggerConfig
from backtime.models.transcriber_config import TranscriberConfig

V, H, LAYERS = 11, 6, 2
CELLS: list[dict[str, Any]] = [
    {"cell": "lstm"},
    {"cell": "gru"},
    {"cell": "gru", "reset_after": False},
    {"cell": "rnn"},
    {"cell": "rnn", "activation": "relu"},
    {"cell": "rnn", "activation": "sigmoid"},
]
SMALL: dict[str, Any] = {"hidden_size": H, "layers": LAYERS}


def model_of(config: Any, task: str = "language", seed: int = 0) -> ModelFile:
    """Random weights, larger than trained ones often are."""
    random = np.random.default_rng(seed)
    tensors = {
        name: random.uniform(-0.6, 0.6, shape).astype(np.float32) for name, shape in config.shapes().items()
    }
    return ModelFile(task, config, encoding_of(task, config), tensors)


def encoding_of(task: str, config: Any) -> dict[str, Any]:
    """As much of it as is read here."""
    if task == "language":
        return {"vocabulary": Vocabulary("char", list("abcdefghijk")).to_json()}
    if task not in ("reader", "regressor"):
        return {}
    common = {"labels": Lexicon("label", list("wxyz")).to_json(), "reading": Reading().to_json()}
    if config.symbols:
        return common | {"symbols": Lexicon("symbol", list("abcdefg")).to_json()}
    return common | {"scale": {"mean": [0.0] * config.channels, "deviation": [1.0] * config.channels}}


ALIGNED = [
    {"vocabulary_size": V},
    {"vocabulary_size": V, "embedding_size": 4},
    {"vocabulary_size": V, "embedding_size": H, "tie_weights": True},
]


def language(cell: dict[str, Any], way_in: dict[str, Any]) -> ModelFile:
    return model_of(LanguageConfig(**cell, **SMALL, **way_in))


OTHERS = {
    "recommender": RecommenderConfig(cell="gru", **SMALL, items=8, embedding_size=3),
    "piano": PianoConfig(cell="gru", **SMALL, keys=9),
    "reader of symbols": ReaderConfig(cell="lstm", **SMALL, symbols=7, embedding_size=3, classes=4),
    "reader both ways": ReaderConfig(cell="gru", **SMALL, channels=3, classes=4, bidirectional=True),
    "regressor": RegressorConfig(cell="lstm", **SMALL, channels=3),
    "regressor attention": RegressorConfig(
        cell="gru", **SMALL, symbols=7, embedding_size=3, pooling="attention"
    ),
    "reader mean": ReaderConfig(cell="rnn", **SMALL, channels=3, classes=4, pooling="mean"),
    "reader max": ReaderConfig(cell="lstm", **SMALL, channels=3, classes=4, pooling="max"),
    "reader attention": ReaderConfig(
        cell="lstm", **SMALL, channels=3, classes=4, pooling="attention", bidirectional=True
    ),
    "forecaster": ForecastConfig(
        cell="lstm", **SMALL, targets=2, past=1, known=0, horizon=3, strategy="direct", quantiles=(0.1, 0.5)
    ),
    "forecaster with known columns": ForecastConfig(
        cell="gru", **SMALL, targets=1, past=0, known=2, horizon=3, strategy="direct"
    ),
    "recursive forecaster": ForecastConfig(
        cell="lstm", **SMALL, targets=1, past=0, known=1, horizon=3, strategy="recursive"
    ),
    "transcriber": TranscriberConfig(cell="gru", **SMALL, channels=5, characters=4),
    "tagger": TaggerConfig(
        cell="lstm", **SMALL, words=8, characters=6, tags=4, word_size=5, character_size=3, spelling_size=4
    ),
}


def other(name: str) -> ModelFile:
    return model_of(OTHERS[name], OTHERS[name].network)


def pairs() -> ModelFile:
    sizes = {"sources": 5, "targets": 4, "embedding_size": 3}
    return model_of(EncoderDecoderConfig(cell="gru", **SMALL, **sizes), "translate")


# ONNX


@pytest.mark.parametrize("way_in", ALIGNED, ids=["one-hot", "embedding", "tied"])
@pytest.mark.parametrize("cell", CELLS, ids=lambda own: " ".join(map(str, own.values())))
def test_onnx_of_a_language_model_by_another_batch_and_ragged(
    cell: dict[str, Any], way_in: dict[str, Any], tmp_path: Path
) -> None:
    model, out = language(cell, way_in), tmp_path / "model.onnx"
    (line,) = export(model, "onnx", out)
    assert line.startswith("ONNX Runtime agrees")
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
    (line,) = export(other(name), "onnx", tmp_path / "model.onnx")
    assert float(line.split("difference is ")[1].split(",")[0]) < 1e-5
    kinds = {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}
    assert kinds & {"RNN", "GRU", "LSTM"} and not kinds & {"Loop", "Scan", "If"}


@pytest.mark.parametrize("name", ["piano", *OTHERS])
def test_a_wrong_weight_leaves_no_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: one gate's weights of the file are not those of the model."""
    built = onnx_check.session

    def spoiled(content: bytes) -> Any:
        own = onnx.ModelProto.FromString(content)
        node = next(node for node in own.graph.node if node.op_type in ("RNN", "GRU", "LSTM"))
        for part in own.graph.initializer:
            if part.name == node.input[2]:
                value = onnx.numpy_helper.to_array(part).copy()
                value[:, :H] += 0.05
                part.CopyFrom(onnx.numpy_helper.from_array(value, part.name))
        return built(own.SerializeToString())

    monkeypatch.setattr(onnx_check, "session", spoiled)
    with pytest.raises(UsageError, match="no file is written"):
        export(other(name), "onnx", tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


class Ragged(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, H, num_layers=2, bidirectional=True)
        self.head = torch.nn.Linear(2 * H, 2)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x, lengths=lengths)[0])  # type: ignore[no-any-return]


def test_a_module_is_exported_run_and_kept(tmp_path: Path) -> None:
    torch.manual_seed(0)
    own, out = Ragged(), tmp_path / "module.onnx"
    example = torch.randn(6, 3, 3), torch.tensor([6, 2, 4])
    bigger = torch.randn(11, 5, 3), torch.tensor([1, 11, 3, 2, 9])
    assert to_onnx(own, example, out, others=[bigger]) < 1e-5
    assert own.training
    assert [node.op_type for node in onnx.load(out).graph.node].count("LSTM") == 2


# C


needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")


def c_steps(model: ModelFile, folder: Path, x: Any, int8: bool = False) -> Any:
    """The outputs of each step of the exported file, compiled as a library and called from Python."""
    export(model, "c", folder / "net.c", **({"int8": True} if int8 else {}))
    strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2", "-shared", "-fPIC"]
    subprocess.run(["gcc", *strict, "net.c", "-o", "net.so", "-lm"], cwd=folder, check=True)
    library, chain = ctypes.CDLL(str(folder / "net.so")), chain_of(model, "c")
    state, out = (ctypes.c_float * (4 * LAYERS * H))(), (ctypes.c_float * len(chain.by))()
    library.net_init(state)
    rows = []
    for row in x:
        given = int(row) if chain.symbols else np.ascontiguousarray(row, np.float32).ctypes
        library.net_step(state, given if chain.symbols else given.data_as(ctypes.c_void_p), out)
        rows.append(list(out))
    return np.array(rows)


@needs_gcc
@pytest.mark.parametrize("way_in", ALIGNED, ids=["one-hot", "embedding", "tied"])
@pytest.mark.parametrize("cell", [*CELLS, {"cell": "rnn", "activation": "identity"}], ids=str)
def test_c_step_by_step(cell: dict[str, Any], way_in: dict[str, Any], tmp_path: Path) -> None:
    model = language(cell, way_in)
    tokens = np.random.default_rng(3).integers(0, V, 15)
    ours = chain_of(model, "c").run(tokens)
    np.testing.assert_allclose(c_steps(model, tmp_path, tokens), ours, rtol=2e-5, atol=2e-5)
    text = (tmp_path / "net.c").read_text()
    assert "malloc" not in text and "double" not in text


@needs_gcc
@pytest.mark.parametrize("name", ["piano", "forecaster", "recursive forecaster", "reader of symbols"])
def test_c_of_other_networks(name: str, tmp_path: Path) -> None:
    model = other(name)
    chain = chain_of(model, "c")
    x = chain.example(9, np.random.default_rng(1))
    np.testing.assert_allclose(c_steps(model, tmp_path, x), c_check.expected(chain, x), atol=2e-5)


@needs_gcc
def test_int8_is_a_quarter_of_the_size_and_says_what_it_costs(tmp_path: Path) -> None:
    config = LanguageConfig("lstm", 64, 2, V)
    model = model_of(config)
    lines = export(model, "c", tmp_path / "net.c", int8=True)
    assert any(line.startswith("int8: outputs differ by up to ") for line in lines)
    sizes = [c_code.generate(chain_of(model, "c"), "net", int8).constants for int8 in (False, True)]
    assert sizes[1] < 0.3 * sizes[0]
    tokens = np.arange(V)
    exact, rounded = (chain_of(own, "c").run(tokens) for own in (model, c_code.quantised(model)))
    assert 0 < np.abs(exact - rounded).max() < 0.1 * np.abs(exact).max()


@needs_gcc
def test_a_wrong_c_file_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(c_code.CELLS, "lstm", c_code.CELLS["lstm"].replace("f * c[n]", "0.9f * f * c[n]"))
    with pytest.raises(UsageError, match="no file is written"):
        export(language({"cell": "lstm"}, ALIGNED[0]), "c", tmp_path / "net.c")
    monkeypatch.setitem(c_code.CELLS, "lstm", c_code.CELLS["lstm"] + "int unused(void) { int n; return 0; }")
    with pytest.raises(UsageError, match="the C compiler objects"):
        export(language({"cell": "lstm"}, ALIGNED[0]), "c", tmp_path / "net.c")
    assert not list(tmp_path.iterdir())


# torch, Keras, RTNeural


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


# What cannot be


@pytest.mark.parametrize(
    ("form", "model", "line"),
    [
        ("c", lambda: other("tagger"), "cannot be exported to c; it reads words and their letters"),
        ("onnx", lambda: pairs(), "of kind encoder-decoder cannot be exported to onnx"),
        ("c", lambda: pairs(), "it is more than one chain of layers"),
        ("c", lambda: other("reader both ways"), "in both directions cannot be exported to c"),
        ("c", lambda: other("reader mean"), "its pooling looks at all steps"),
        ("keras", lambda: other("forecaster with known columns"), "columns that are known ahead"),
        ("torch", lambda: language(CELLS[2], ALIGNED[0]), "resets before the product"),
        ("torch", lambda: language(CELLS[5], ALIGNED[0]), "activation is sigmoid"),
        ("rtneural", lambda: language(CELLS[3], ALIGNED[0]), "the cell is rnn"),
        ("rtneural", lambda: language(CELLS[2], ALIGNED[0]), "resets before the product"),
        ("rtneural", lambda: language(CELLS[0], ALIGNED[1]), "has an embedding"),
        (
            "onnx",
            lambda: language({"cell": "rnn", "activation": "identity"}, ALIGNED[0]),
            "activation is identity",
        ),
        ("tensorflow", lambda: other("piano"), "--to tensorflow; expected one of onnx, c, torch"),
    ],
)
def test_what_a_format_has_no_place_for_is_named(form: str, model: Any, line: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=line):
        export(model(), form, tmp_path / "model.c")
    assert not list(tmp_path.iterdir())


def test_the_command(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_model("book.safetensors", language({"cell": "lstm"}, ALIGNED[0]))
    assert main(["export", "book.safetensors", "--to", "onnx"]) == 0
    assert "ONNX Runtime agrees" in capsys.readouterr().out and Path("book.onnx").is_file()
    assert main(["export", "book.safetensors", "--to", "onnx", "--int8"]) == 2
    assert main(["export", "nowhere", "--to", "c"]) == 2
    assert main(["export", "book.safetensors", "--to", "c", "--out", "no/such/book.c"]) == 2
    assert all(line.startswith("backtime: ") for line in capsys.readouterr().err.splitlines())


# What is not finite, and what cannot be written


def test_a_nan_in_a_later_pair_is_not_lost() -> None:
    good = np.ones(3), np.ones(3) + 1e-6
    assert agreement([good, good], "both")[0] == pytest.approx(1e-6, rel=1e-3)
    for bad in (np.array([0.0, np.nan, 0.0]), np.array([0.0, np.inf, 0.0]), np.ones(3) + 3e-4):
        for pairs in ([good, (np.ones(3), bad)], [(bad, np.ones(3)), good]):
            with pytest.raises(UsageError, match="no file is written"):
                agreement(pairs, "both")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(
    form: str, bad: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no C compiler to object too."""
    monkeypatch.setattr(c_check.shutil, "which", lambda name: None)
    model = language({"cell": "lstm"}, ALIGNED[0])
    model.tensors["rnn.weight_hh_l1"][0, 0] = bad
    with pytest.raises(UsageError, match=r"tensor rnn\.weight_hh_l1 has numbers that are not finite"):
        export(model, form, tmp_path / f"net{FORMATS[form].ending}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cell", CELLS, ids=lambda own: " ".join(map(str, own.values())))
def test_onnx_of_float64_is_float32(cell: dict[str, Any], tmp_path: Path) -> None:
    model = language(cell, ALIGNED[1])
    double = {name: own.astype(np.float64) for name, own in model.tensors.items()}
    _, line = export(model._replace(tensors=double), "onnx", tmp_path / "double.onnx")
    assert "written as float32" in line
    export(model, "onnx", tmp_path / "single.onnx")
    assert (tmp_path / "double.onnx").read_bytes() == (tmp_path / "single.onnx").read_bytes()


@pytest.mark.parametrize("taken", ["net.c", "net.h"])
def test_c_writes_both_files_or_neither(taken: str, tmp_path: Path) -> None:
    (tmp_path / taken).mkdir()
    with pytest.raises(UsageError, match=f"{taken} is a folder"):
        export(language({"cell": "lstm"}, ALIGNED[0]), "c", tmp_path / "net.c")
    assert [path.name for path in tmp_path.iterdir()] == [taken]


def test_a_module_that_differs_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = torch_to_onnx._exported

    def spoiled(own: torch.nn.Module, *arguments: Any) -> bytes:
        with torch.no_grad():
            own.head.bias += 0.1  # type: ignore[operator, union-attr]
            found = exported(own, *arguments)
            own.head.bias -= 0.1  # type: ignore[operator, union-attr]
        return found

    monkeypatch.setattr(torch_to_onnx, "_exported", spoiled)
    with pytest.raises(UsageError, match="ONNX Runtime and the module differ"):
        to_onnx(Ragged(), (torch.randn(6, 3, 3), torch.tensor([6, 2, 4])), tmp_path / "module.onnx")
    assert not list(tmp_path.iterdir())


def test_a_module_frozen_at_its_example_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other sizes are tried without being asked for."""
    exported = torch_to_onnx._exported
    monkeypatch.setattr(torch_to_onnx, "_exported", lambda own, given, shapes: exported(own, given, None))
    with pytest.raises(UsageError, match=r"does not run the file on arguments of \(1, 1, 3\), \(1,\)"):
        to_onnx(Ragged(), (torch.randn(6, 3, 3), torch.tensor([6, 2, 4])), tmp_path / "module.onnx")
    assert not list(tmp_path.iterdir())


def test_int8_is_measured_on_data(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_model("book.safetensors", language({"cell": "lstm"}, ALIGNED[0]))
    Path("other.txt").write_text("abcdefghijk" * 40)
    words = ["export", "book.safetensors", "--to", "c"]
    assert main([*words, "--data", "other.txt"]) == 2
    assert "expected it with --int8" in capsys.readouterr().err
    assert main([*words, "--int8", "--data", "other.txt"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("int8 on other.txt: ")]
    before, after = next(
        (float(line.split()[4]), float(line.split()[6])) for line in lines if line.split()[3] == "loss"
    )
    assert before != after and after == pytest.approx(before, abs=0.05)
    assert main(["evaluate", "book.safetensors", "other.txt", "--json"]) == 0
    assert before == pytest.approx(json.loads(capsys.readouterr().out)["loss"], rel=1e-5)
