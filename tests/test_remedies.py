"""What is chosen against vanishing and exploding gradients: initial weights, clipping, decay, layers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backtime import UsageError, nn
from backtime.cli.main import main
from backtime.data.batching.buckets import pack
from backtime.insight import flow
from backtime.models.chrono import set_time_scales
from backtime.models.config import NETWORKS, LanguageConfig
from backtime.models.file import ModelFile, write_model
from backtime.models.initial import initialise
from backtime.models.layers import both_ends, recurrent, run
from backtime.models.recurrent import OF_ITS_CELL, OF_LAYER_NORM, TENSORS, RecurrentConfig, layer_shapes
from backtime.models.saving import build_model, load_model
from backtime.nn.types import NAMES
from backtime.runtime.layers import Layers
from backtime.runtime.stacks import stack_of
from backtime.training.schedule import learning_rate
from backtime.training.settings import Settings
from backtime.training.state import RunState

I, H = 5, 8


def drawn(kind: Any, init: str, **options: Any) -> Any:
    torch.manual_seed(0)
    layer = kind(I, H, num_layers=2, bidirectional=True)
    initialise(layer, init, options.get("bound"), options.get("forget_bias"))
    return layer


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_orthogonal_keeps_lengths_in_every_gate(kind: Any) -> None:
    layer = drawn(kind, "orthogonal")
    for name in ("weight_hh_l0", "weight_hh_l1_reverse"):
        for block in getattr(layer, name).detach().split(H):
            torch.testing.assert_close(block @ block.T, torch.eye(H), atol=1e-5, rtol=0)
    assert not any(own.any() for name, own in layer.named_parameters() if name.startswith("bias"))


def test_identity_and_xavier() -> None:
    layer = drawn(nn.RNN, "identity")
    assert torch.equal(layer.weight_hh_l1, torch.eye(H)) and layer.weight_ih_l0.abs().max() < 0.01
    layer, bound = drawn(nn.GRU, "xavier"), (6 / (I + H)) ** 0.5
    assert bound * 0.8 < float(layer.weight_ih_l0.detach().abs().max()) <= bound


def test_the_forget_bias_is_that_of_the_forget_gate_alone() -> None:
    layer, plain = drawn(nn.LSTM, "torch", forget_bias=1.5), drawn(nn.LSTM, "torch")
    for name, own in layer.named_parameters():
        if name.startswith("bias"):
            i, f, g, o = own.chunk(4)
            assert (f == (1.5 if "ih" in name else 0)).all()
            assert all(torch.equal(a, b) for a, b in zip((i, g, o), _others(plain, name), strict=True))
        else:
            assert torch.equal(own, getattr(plain, name))
    with pytest.raises(UsageError, match="--forget-bias 1 with --cell gru"):
        drawn(nn.GRU, "torch", forget_bias=1.0)


def _others(layer: Any, name: str) -> Any:
    i, _, g, o = getattr(layer, name).chunk(4)
    return i, g, o


def test_a_range_is_that_of_all_weights() -> None:
    layer = drawn(nn.LSTM, "torch", bound=0.1)
    values = torch.cat([own.flatten() for own in layer.parameters()]).detach()
    assert 0.099 < float(values.abs().max()) <= 0.1


def test_the_rate_decays_after_whole_epochs() -> None:
    settings = Settings(lr=1.0, lr_decay=0.5, lr_decay_after=4)
    rates = [learning_rate(settings, RunState(horizon=13, epoch=epoch), 10) for epoch in range(7)]
    assert rates == [1, 1, 1, 1, 0.5, 0.25, 0.125]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("remedies")
    (folder / "words.txt").write_text("the D\ncat N\nsleeps V\n\na D\ndog N\n\n" * 8)
    (folder / "text.txt").write_text("to be or not to be, that is the question\n" * 20)
    return folder


TASKS = {
    "language": "text.txt --hidden-size 6 --layers 1 --seq-length 5 --batch-size 2",
    "tag": "words.txt --task tag --hidden-size 6 --word-size 3 --character-size 2 --spelling-size 2",
}


@pytest.mark.parametrize("task", TASKS)
def test_train_begins_with_what_was_chosen(task: str, home: Path, tmp_path: Path) -> None:
    words = [
        "train",
        *TASKS[task].split(),
        "--max-steps",
        "1",
        "--lr",
        "1e-9",
        "--quiet",
        "--out",
        str(tmp_path / "run"),
    ]
    words[1] = str(home / words[1])
    assert main([*words, "--init", "orthogonal", "--forget-bias", "2", "--clip-value", "0.5"]) == 0
    rnn = load_model(tmp_path / "run")[0].rnn
    block = rnn.weight_hh_l0.detach()[:6]
    torch.testing.assert_close(block @ block.T, torch.eye(6), atol=1e-4, rtol=0)
    np.testing.assert_allclose(rnn.bias_ih_l0.detach()[6:12], 2, atol=1e-4)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ("--cell gru --forget-bias 1", "--forget-bias 1 with --cell gru"),
        ("--cell rnn --time-scale 50", "--time-scale 50 with --cell rnn; expected --cell lstm or gru"),
        ("--forget-bias 1 --time-scale 50", "--forget-bias 1 with --time-scale 50"),
        ("--time-scale 2", "--time-scale is 2"),
        ("--init xavier --init-range 0.1", "--init xavier with --init-range 0.1"),
        ("--init best", "argument --init: invalid choice"),
        ("--lr-decay 0", "--lr-decay is 0"),
        ("--clip-value -1", "--clip-value is -1"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    flags: str, line: str, home: Path, tmp_path: Path, capsys: Any
) -> None:
    try:
        status = main(["train", str(home / "text.txt"), *flags.split(), "--out", str(tmp_path / "run")])
    except SystemExit as error:
        status = int(error.code or 0)
    found = capsys.readouterr().err
    assert status == 2 and line in found and found.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_clip_value_bounds_what_reaches_the_weights(home: Path, tmp_path: Path) -> None:
    """With plain SGD and a rate of 1 no weight moves further than the largest value in one step."""
    words = [
        "train",
        str(home / "text.txt"),
        *TASKS["language"].split()[1:],
        "--optimizer",
        "sgd",
        "--lr",
        "1",
    ]
    words += ["--clip-value", "1e-3", "--grad-clip", "0", "--quiet", "--save-every", "1"]
    ends = []
    for steps in ("1", "2"):
        assert main([*words, "--max-steps", steps, "--out", str(tmp_path / steps)]) == 0
        ends.append(load_model(tmp_path / steps / "last" / "model.safetensors")[0])
    moved = [
        float((a - b).detach().abs().max()) for a, b in zip(*(own.parameters() for own in ends), strict=True)
    ]
    assert 0.9e-3 < max(moved) <= 1.001e-3


def test_three_files_and_the_score_on_the_third(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gzip

    monkeypatch.chdir(tmp_path)
    text = "the cat <unk> on the mat\nthe dog sat\n"
    with gzip.open("train.txt.gz", "wt") as file:
        file.write(text * 40)
    Path("valid.txt").write_text(text)
    Path("test.txt").write_text(text + "the cat flew\n")
    files = ["--train-file", "train.txt.gz", "--valid-file", "valid.txt", "--test-file", "test.txt"]
    words = ["train", *files, "--preset", "zaremba-small", "--hidden-size", "8", "--embedding-size", "8"]
    words += ["--seq-length", "5", "--batch-size", "2", "--epochs", "2", "--out", "run"]
    assert main([*words, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert facts["test"]["tokens"] == 15 and facts["test"]["perplexity"] > 1
    config = json.loads(Path("run/config.json").read_text())
    assert config["settings"]["valid_file"] == str(tmp_path / "valid.txt")
    assert "11 to validate on" in config["about"]
    Path("train.txt.gz").unlink()
    Path("valid.txt").unlink()
    monkeypatch.chdir("/")
    assert (
        main(["train", "--resume", str(tmp_path / "run"), "--epochs", "3", "--quiet"]) == 0
    )  # from its tokens
    monkeypatch.chdir(tmp_path)
    assert main([*words[:-1], "other", "--train-file", "nowhere.txt"]) == 2
    assert main(["train", "test.txt", *files, "--out", "other"]) == 2
    told = capsys.readouterr().err
    assert "nowhere.txt" in told and "expected one of them" in told and not Path("other").exists()


def scaled(kind: Any, longest: int) -> Any:
    torch.manual_seed(0)
    layer = kind(I, 400, num_layers=2, bidirectional=True)
    set_time_scales(layer, longest)
    return layer


@pytest.mark.parametrize("longest", [3, 600])
def test_units_remember_for_as_long_as_was_chosen(longest: int) -> None:
    """1 / (1 - k) steps, with k the share of the state that a unit keeps; what is new has the rest."""
    lstm, gru = scaled(nn.LSTM, longest), scaled(nn.GRU, longest)
    for end in ("l0", "l1_reverse"):
        i, f, _, _ = (getattr(lstm, f"bias_ih_{end}") + getattr(lstm, f"bias_hh_{end}")).detach().chunk(4)
        torch.testing.assert_close(i.sigmoid() + f.sigmoid(), torch.ones(400))
        _, z, _ = (getattr(gru, f"bias_ih_{end}") + getattr(gru, f"bias_hh_{end}")).detach().chunk(3)
        for gate in (f, z):
            steps = 1 / (1 - gate.double().sigmoid())
            assert 2 <= steps.min() < 2 + 0.03 * longest and longest * 0.97 < steps.max() <= longest * 1.001
            assert float(steps.mean()) == pytest.approx((2 + longest) / 2, rel=0.1)
    with pytest.raises(UsageError, match="--time-scale 9 with --cell rnn"):
        scaled(nn.RNN, 9)


def test_a_unit_left_alone_forgets_at_its_time_scale() -> None:
    """With no weights but the biases, the state of a GRU falls to 1 - 1 / u at each step."""
    layer = scaled(nn.GRU, 50)
    with torch.no_grad():
        for name, own in layer.named_parameters():
            if name.startswith("weight"):
                own.zero_()
        h0 = torch.ones(4, 1, 400)
        y, _ = layer(torch.zeros(1, 1, I), h0)
        z = layer.bias_ih_l1[400:800].sigmoid()
        n = (
            layer.bias_ih_l1[800:]
            + layer.bias_hh_l1[800:] * (layer.bias_ih_l1 + layer.bias_hh_l1)[:400].sigmoid()
        ).tanh()
    torch.testing.assert_close(y[0, 0, :400], z + (1 - z) * n)


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


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ("--cell gru --reset-before --layer-norm", "--layer-norm with --reset-before"),
        ("--layers 1 --skip-connections", "--skip-connections with --layers 1; expected --layers 2"),
        ("--output-layers -1", "--output-layers is -1"),
    ],
)
def test_a_remedy_that_does_not_fit_is_one_line(
    flags: str, line: str, home: Path, tmp_path: Path, capsys: Any
) -> None:
    assert main(["train", str(home / "text.txt"), *flags.split(), "--out", str(tmp_path / "run")]) == 2
    found = capsys.readouterr().err
    assert line in found and found.count("\n") == 1 and not (tmp_path / "run").exists()


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
