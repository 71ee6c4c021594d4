"""What is done against a lost gradient: how weights begin, clipping, the decay of the rate, three files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backtime import UsageError, nn
from backtime.cli.main import main
from backtime.models.initial import initialise
from backtime.models.saving import load_model
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
