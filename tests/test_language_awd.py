"""AWD-LSTM: kinds of dropout with one mask over time, AR and TAR, averaged SGD that a resume repeats."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

import backtime.nn
from backtime.cli.main import main
from backtime.models.aligned import LanguageModel
from backtime.models.config import LanguageConfig
from backtime.models.saving import load_model
from backtime.training import averaging, checkpoint
from backtime.training.averaging import AveragedSGD, averaged, is_due
from backtime.training.metrics import Metric
from backtime.training.settings import Settings
from backtime.training.state import RunState
from cases import engine_or_skip

T, B, V, H = 7, 3, 11, 6
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


def model_of(**noise: Any) -> LanguageModel:
    torch.manual_seed(0)
    config = LanguageConfig("lstm", H, 2, V, embedding_size=H, **noise)
    return LanguageModel(config).double()


def batch() -> tuple[Tensor, Tensor]:
    both = torch.randint(V, (2, T, B), generator=torch.Generator().manual_seed(1))
    return both[0], both[1]


@pytest.mark.parametrize("name", ["input", "hidden", "output", "embedding", "weight"])
def test_each_kind_drops_in_training_alone_and_a_seed_repeats_it(name: str) -> None:
    model, plain = model_of(**{f"{name}_dropout": 0.5}), model_of()
    x, _ = batch()
    assert torch.equal(model.eval()(x)[0], plain(x)[0])
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(model.train()(x)[0])
    assert torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], outputs[2])


def test_the_inputs_mask_is_one_for_all_steps_and_another_for_each_stream() -> None:
    model = model_of(input_dropout=0.5)
    assert model.embedding is not None
    nn.init.ones_(model.embedding.weight)
    x = model._input(batch()[0])
    assert all(torch.equal(x[t], x[0]) for t in range(T))
    assert set(x.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(x[0, 0], x[0, 1])
    plain = model_of(dropout=0.5)
    assert plain.embedding is not None
    nn.init.ones_(plain.embedding.weight)
    x = plain._input(batch()[0])  # without it a mask is drawn at each step
    assert not all(torch.equal(x[t], x[0]) for t in range(T))


def test_a_dropped_symbol_is_gone_wherever_it_stands() -> None:
    model = model_of(embedding_dropout=0.5)
    assert model.embedding is not None
    tokens = torch.arange(V).repeat(4, 1)
    x, whole = model._input(tokens), model.embedding(tokens)
    kept = (x[0] != 0).any(1)
    assert 0 < kept.sum() < V
    torch.testing.assert_close(x, torch.where(kept[:, None], 2 * whole, 0.0))


def test_the_outputs_mask_is_one_for_all_steps() -> None:
    h, _ = model_of(output_dropout=0.5)(batch()[0])
    gone = h == 0
    assert gone.any() and not gone.all()
    assert all(torch.equal(gone[t], gone[0]) for t in range(T))


def between(x: Any, **call: Any) -> Any:
    """What the second layer reads: the first one's outputs, which are all 1, under the mask."""
    layer: Any = backtime.nn.RNN(2, 5, 2, nonlinearity="identity", dropout=0.5, variational_dropout=True)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            weight.fill_(float(name == "bias_ih_l0"))
        layer.weight_ih_l1.copy_(torch.eye(5))
    return layer(x, **call)[0]


def test_the_mask_between_layers_is_one_for_each_sequence() -> None:
    y = between(torch.zeros(T, 40, 2))
    assert set(y.unique().tolist()) == {0.0, 2.0}
    assert all(torch.equal(y[t], y[0]) for t in range(T))
    assert not torch.equal(y[0, 0], y[0, 1])


def test_it_follows_a_sequence_through_packed_and_padded_rows() -> None:
    lengths = [3, 7, 1, 5] * 5
    padded = between(torch.zeros(T, 20, 2), lengths=lengths)
    packed = between(pack_padded_sequence(torch.zeros(T, 20, 2), torch.tensor(lengths), enforce_sorted=False))
    for y in (padded, nn.utils.rnn.pad_packed_sequence(packed)[0]):
        for b, length in enumerate(lengths):
            assert all(torch.equal(y[t, b], y[0, b]) for t in range(length))
        assert len({tuple(y[0, b].tolist()) for b in range(20)}) > 10


def test_weight_dropout_stays_on_the_engine_and_drops_once_a_call() -> None:
    engine_or_skip()
    model, x = model_of(weight_dropout=0.5), batch()[0]
    assert model.rnn.explain().path == "native"
    torch.manual_seed(3)
    y, _ = model(x)
    y.sum().backward()
    plain = model_of()
    torch.manual_seed(3)
    masks = {name: functional.dropout(torch.ones_like(w), 0.5) for name, w in wh(plain).items()}
    for name, weight in wh(plain).items():
        weight.data.mul_(masks[name])
    expected, _ = plain(x)
    expected.sum().backward()
    torch.testing.assert_close(y, expected)
    for name, weight in wh(model).items():
        torch.testing.assert_close(weight.grad, wh(plain)[name].grad * masks[name])


def wh(model: LanguageModel) -> dict[str, Any]:
    return {name: weight for name, weight in model.named_parameters() if "weight_hh" in name}


def test_penalties_are_in_the_gradient_and_not_in_the_value() -> None:
    model, (x, targets) = model_of(output_dropout=0.5), batch()
    torch.manual_seed(2)
    loss, _ = model.loss(x, targets, None, ar=2.0, tar=3.0)
    loss.backward()
    other = model_of(output_dropout=0.5)
    torch.manual_seed(2)
    h, _ = other.rnn(other._input(x))
    d = other._dropped(h, 0.5)
    plain = functional.cross_entropy(other.head.logits(d).flatten(0, 1), targets.flatten())
    changes = h[1:] - h[:-1]
    (plain + 2 * d.pow(2).mean() + 3 * changes.pow(2).mean()).backward()
    torch.testing.assert_close(loss, plain)
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    model.eval()
    assert torch.equal(model.loss(x, targets, None, 2.0, 3.0)[0], model.loss(x, targets)[0])
    model.train().loss(x[:1], targets[:1], None, 2.0, 3.0)[0].backward()  # one step has no changes
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters() if weight.grad is not None)


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


def test_a_model_without_these_kinds_is_written_as_before() -> None:
    assert "weight_dropout" not in LanguageConfig("lstm", 2, 1, 3).to_json()
    config = LanguageConfig("lstm", 2, 1, 3, 2, input_dropout=0.0, weight_dropout=0.5)
    assert LanguageConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_a_run_of_before_goes_on() -> None:
    state = RunState(horizon=2).to_json()
    del state["validations"]
    assert RunState.from_json(state) == RunState(horizon=2)
