"""AWD-LSTM as a run: the mean of the weights by ASGD, its trigger, saves, resume, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backtime.cli.main import main
from backtime.models.saving import load_model
from backtime.training import averaging, checkpoint
from backtime.training.averaging import AveragedSGD, averaged, is_due
from backtime.training.metrics import Metric
from backtime.training.settings import Settings
from backtime.training.state import RunState

TEXT = "to be or not to be, that is the question\n" * 20
SMALL = [
    "--hidden-size",
    "4",
    "--layers",
    "2",
    "--embedding-size",
    "4",
    "--seq-length",
    "5",
    "--batch-size",
    "2",
]
AWD = [
    *(
        "--weight-dropout",
        "0.5",
        "--input-dropout",
        "0.4",
        "--hidden-dropout",
        "0.3",
        "--output-dropout",
        "0.2",
    ),
    *("--embedding-dropout", "0.1", "--ar", "2", "--tar", "1", "--optimizer", "asgd", "--average-after", "0"),
]
LOSS = Metric("loss")


def test_the_mean_is_that_of_pytorchs_averaged_sgd() -> None:
    """Which has the first two steps of its average be the second alone."""
    ours, theirs = nn.Linear(4, 3).double(), nn.Linear(4, 3).double()
    theirs.load_state_dict(ours.state_dict())
    one = AveragedSGD(ours.parameters(), lr=0.1, weight_decay=0.01, fused=True)
    other = torch.optim.ASGD(theirs.parameters(), lr=0.1, lambd=0, t0=0, weight_decay=0.01)
    for step in range(9):
        x = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
        for layer, optimiser in ((ours, one), (theirs, other)):
            optimiser.zero_grad()
            layer(x).square().sum().backward()
            optimiser.step()
        if step == 0:
            one.begin()
    raw = [weight.detach().clone() for weight in ours.parameters()]
    with averaged(one):
        for weight, twin in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(weight.detach(), other.state[twin]["ax"])
            assert not torch.equal(weight, twin)
    assert all(torch.equal(a, b) for a, b in zip(raw, ours.parameters(), strict=True))


def test_the_weights_come_back_when_a_validation_fails() -> None:
    layer = nn.Linear(2, 2)
    optimiser = AveragedSGD(layer.parameters(), lr=0.1)
    optimiser.begin()
    with torch.no_grad():
        layer.weight.add_(1)
    before = layer.weight.detach().clone()
    with pytest.raises(KeyboardInterrupt), averaged(optimiser):
        assert not torch.equal(layer.weight, before)
        raise KeyboardInterrupt
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("interval", [0, 2, 5])
def test_the_trigger_is_the_papers(interval: int) -> None:
    """Algorithm 1 of Merity et al.: at the t-th validation, t > n and v > min of the logs before t - n."""
    values = [9.0, 8.0, 7.0, 7.5, 6.0, 6.1, 6.2, 6.3, 5.9, 6.0, 6.05]
    for t, value in enumerate(values):
        logs = values[:t]
        expected = t > interval and value > min(logs[: t - interval])
        assert is_due(value, logs, interval, LOSS) == expected
        better_is_more = Metric("accuracy", better="max")
        assert is_due(-value, [-one for one in logs], interval, better_is_more) == expected


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXT)
    return tmp_path


def train(out: str, steps: int, *options: str) -> None:
    words = ["train", "text.txt", "--out", out, *SMALL, *AWD, "--lr", "3", "--validate-every", "3", "--quiet"]
    assert main([*words, "--max-steps", str(steps), *options]) == 0


def weights_of(path: str) -> dict[str, Tensor]:
    found: dict[str, Tensor] = load_model(path)[0].state_dict()
    return found


def last_state(run: str) -> tuple[dict[str, Tensor], RunState]:
    tensors, metadata = checkpoint._read(Path(run, "last/state.safetensors"))
    return tensors, RunState.from_json(json.loads(metadata["state"]))


def first_average(run: str) -> int:
    """The step after which averaging begins, by the log alone."""
    lines = [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]
    found = [(line["step"], line["val_loss"]) for line in lines if line["val_loss"] is not None]
    values = [value for _, value in found]
    return next(step for k, (step, value) in enumerate(found) if k and value > min(values[:k]))


def test_what_is_saved_as_the_model_is_the_mean_and_steps_go_on_from_the_weights(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[int, Tensor]] = []
    step = AveragedSGD.step

    def watched(self: AveragedSGD, closure: Any = None) -> Any:
        found = step(self, closure)
        seen.append({n: w.detach().clone() for n, w in enumerate(self._weights())})
        return found

    monkeypatch.setattr(AveragedSGD, "step", watched)
    train("run", 30, "--save-every", "30")
    start = first_average("run")
    assert start < 27
    model = load_model("run/last/model.safetensors")[0]
    tensors, _ = last_state("run")
    for n, (name, weight) in enumerate(model.named_parameters()):
        mean = torch.stack([own[n].double() for own in seen[start:]]).mean(0)
        torch.testing.assert_close(weight.double(), mean, rtol=1e-4, atol=1e-6)
        assert torch.equal(tensors[f"model.{name}"], seen[-1][n])
        assert not torch.equal(weight, seen[-1][n])


def test_the_best_model_is_the_one_that_was_validated(place: Path) -> None:
    from backtime.tasks.evaluation import evaluate

    train("run", 60)
    _, state = last_state("run")
    assert state.best_step > first_average("run")  # so that the mean is what is tested here
    held_out = TEXT[len(TEXT) - round(len(TEXT) * 0.05) :]
    Path("held.txt").write_text(held_out)
    found = evaluate(Path("run"), Path("held.txt"), batch_size=2, seq_length=5)["loss"]
    assert found == pytest.approx(state.best, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [2, 9, 20, 31])
def test_a_resume_is_exact_before_and_after_averaging_has_begun(place: Path, steps: int) -> None:
    train("whole", 40)
    assert 9 <= first_average("whole") < 31
    train("parts", steps)
    assert main(["train", "--resume", "parts", "--max-steps", "40", "--quiet"]) == 0
    for name in ("last/model", "best/model"):
        ours, theirs = weights_of(f"whole/{name}.safetensors"), weights_of(f"parts/{name}.safetensors")
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    (ours, own), (theirs, other) = last_state("whole"), last_state("parts")
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert any(key.endswith("average") for key in ours)
    assert own.validations == other.validations and own.best == other.best


def test_a_save_without_a_mean_takes_the_mean_away(place: Path) -> None:
    """As a rollback does to a save from before averaging began."""
    layer = nn.Linear(2, 2)
    optimiser = AveragedSGD(layer.parameters(), lr=0.1)
    checkpoint.save(Path("state"), layer, optimiser, None, RunState(horizon=1))
    optimiser.begin()
    checkpoint.load(Path("state"), layer, optimiser, None)
    assert not optimiser.begun
    optimiser.begin()
    optimiser.step()
    checkpoint.save(Path("state"), layer, optimiser, None, RunState(horizon=1))
    checkpoint.load(Path("state"), layer, optimiser, None)
    assert optimiser.begun
    assert all(slot["step"] == 1 and slot["step"].dtype == torch.float32 for slot in optimiser.state.values())


def test_another_task_may_average_too(place: Path) -> None:
    from backtime.training.optimisers import make_optimiser

    layer = nn.Linear(2, 2)
    assert isinstance(make_optimiser(layer.parameters(), Settings(optimizer="asgd")), AveragedSGD)
    assert averaging.AveragedSGD is AveragedSGD


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            "--input-dropout 0.5",
            "--input-dropout 0.5 with --embedding-size 0; expected learned symbol vectors",
        ),
        ("--embedding-dropout 0.5", "--embedding-dropout 0.5 with --embedding-size 0"),
        ("--weight-dropout 1", "--weight-dropout is 1.0; expected 0 or more and less than 1"),
        ("--output-dropout -0.1", "--output-dropout is -0.1"),
        ("--ar -1", "--ar is -1.0"),
        ("--average-after 3", "--average-after 3 with --optimizer adam; expected --optimizer asgd"),
        ("--optimizer asgd --validation-fraction 0", "--optimizer asgd need a validation part"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    options: str, words: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "text.txt", "--out", "run", *options.split()]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not Path("run").exists()
