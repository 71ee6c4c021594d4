"""What recurs: the networks of the three patterns against their definition."""

from typing import Any

import numpy as np
import pytest
import torch

from backtime import nn
from backtime.data.batching.streams import Streams, shifted
from backtime.data.timeseries.windows import Frame, every_step, make_batch
from backtime.models.aligned import LanguageModel
from backtime.models.config import LanguageConfig
from backtime.models.file import ModelFile
from backtime.models.forecast_config import ForecastConfig
from backtime.models.forecaster import Forecaster
from backtime.models.jordan import ACTIVATIONS
from backtime.reference import Weights, jordan
from backtime.runtime.forecast_network import ForecastNetwork
from backtime.runtime.model import Model

V, H, T, S, B = 5, 6, 4, 3, 2
pytestmark = pytest.mark.usefixtures("quick_runs")


def arrays(model: Any) -> dict[str, Any]:
    return {name: own.detach().numpy() for name, own in model.state_dict().items()}


def language(**options: Any) -> LanguageModel:
    torch.manual_seed(1)
    config = LanguageConfig("rnn", H, 1, V, output_recurrence=True, **options)
    model = LanguageModel(config).double().eval()
    shapes = {name: own.shape for name, own in arrays(model).items()}
    if config.tie_weights:
        del shapes["embedding.weight"]  # the head's
    assert shapes == config.shapes()
    return model


def forecaster(strategy: str, known: int = 2, **options: Any) -> tuple[Forecaster, Frame, ForecastNetwork]:
    torch.manual_seed(2)
    anchor = options.pop("anchor", "none")
    sizes: dict[str, Any] = {"targets": 2, "past": 0, "known": known, "horizon": S, "strategy": strategy}
    model = Forecaster(ForecastConfig(cell="rnn", hidden_size=H, **sizes, **options)).double().eval()
    frame = Frame(T, S, 2, known, 2, anchor, strategy)
    assert {name: own.shape for name, own in arrays(model).items()} == model.config.shapes()
    return model, frame, ForecastNetwork(model.config, frame, arrays(model))


def windows(columns: int = 4) -> Any:
    return np.random.default_rng(3).standard_normal((B, T + S, columns))


def outputs(model: Any, rows: Any, frame: Frame) -> Any:
    """What the torch network says of the horizon, (S, B, K)."""
    batch = make_batch(rows, frame)
    with torch.no_grad():
        out = model(torch.from_numpy(batch.x), torch.from_numpy(batch.known))
    return batch.base + out[..., 0].numpy()


# What the output's recurrence is.


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_language_model_is_the_jordan_network_under_teacher_forcing(activation: str) -> None:
    """The reference's equations; the output before a symbol is that symbol, and there is no other input."""
    model = language(activation=activation)
    own, tokens = arrays(model), np.random.default_rng(0).integers(0, V, (T, B))
    weights = Weights(
        np.zeros((H, 1)), own["rnn.weight_hh_l0"], np.zeros(H), own["rnn.bias_hh_l0"],
        Wy=own["head.weight"], by=own["head.bias"],
    )  # fmt: skip
    expected, _ = jordan.forced(np.zeros((T, B, 1)), np.eye(V)[tokens], weights, activation=activation)
    with torch.no_grad():
        h, state = model(torch.from_numpy(tokens))
        np.testing.assert_allclose(model.head.logits(h).numpy(), expected, atol=1e-12)
    assert state is None and model.initial_state(B) is None


@pytest.mark.parametrize("known", [0, 2])
def test_a_forecast_is_the_jordan_layer_on_its_own_outputs(known: int) -> None:
    """``nn.Jordan`` with the same weights reads what is known ahead, its state the last value of the past."""
    model, _, runtime = forecaster("recursive", known, output_recurrence=True)
    layer = nn.Jordan(max(known, 1), H, 2).double()
    own = {name.removeprefix("rnn."): value for name, value in model.state_dict().items()}
    own["weight_hr_l0"], own["bias_hr_l0"] = own.pop("head.weight"), own.pop("head.bias")
    if not known:  # the layer has at least one input
        own |= {"weight_ih_l0": torch.zeros(H, 1).double(), "bias_ih_l0": torch.zeros(H).double()}
    layer.load_state_dict(own)
    rows = windows(2 + known)
    x = torch.from_numpy(rows[:, T:, 2:] if known else np.zeros((B, S, 1))).transpose(0, 1)
    with torch.no_grad():
        y, _ = layer(x, torch.from_numpy(rows[:, T - 1, :2])[None].contiguous())
    found = runtime.forecast(rows)[..., 0].swapaxes(0, 1)
    np.testing.assert_allclose(found, y.numpy(), atol=1e-12)


def test_training_is_teacher_forcing() -> None:
    """All steps at once from the truth: the reference's ``forced``, and gradients that go through no step."""
    model, frame, _ = forecaster("recursive", output_recurrence=True)
    own, rows = arrays(model), windows()
    weights = Weights(
        *(own[f"rnn.{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")),
        Wy=own["head.weight"], by=own["head.bias"],
    )  # fmt: skip
    expected, saved = jordan.forced(
        rows[:, T:, 2:].swapaxes(0, 1), rows[:, T - 1 : -1, :2].swapaxes(0, 1), weights
    )
    np.testing.assert_allclose(outputs(model, rows, frame), expected, atol=1e-12)
    batch = make_batch(rows, frame)
    error = (
        torch.from_numpy(batch.targets)
        - model(torch.from_numpy(batch.x), torch.from_numpy(batch.known))[..., 0]
    )
    error.square().sum().backward()
    _, _, grads = jordan.forced_backward(saved, dy=2 * (expected - batch.targets))
    found = {name: own.grad.numpy() for name, own in model.named_parameters() if own.grad is not None}
    np.testing.assert_allclose(found["rnn.weight_hh_l0"], grads.Wh, atol=1e-12)
    np.testing.assert_allclose(found["rnn.weight_ih_l0"], grads.Wx, atol=1e-12)
    np.testing.assert_allclose(found["head.weight"], grads.Wy, atol=1e-12)


@pytest.mark.parametrize("anchor", ["none", "last", "season"])
@pytest.mark.parametrize("options", [{"output_recurrence": True}, {"layers": 2, "skip_connections": True}])
def test_forecasts_go_on_from_themselves(anchor: str, options: dict[str, Any]) -> None:
    """By the definition: put each forecast in the place of the truth and read the whole window again."""
    model, frame, runtime = forecaster("recursive", anchor=anchor, output_layers=2, **options)
    rows = windows()
    told = rows.copy()
    for k in range(S):
        told[:, T + k, :2] = outputs(model, told, frame)[k]
    np.testing.assert_allclose(runtime.forecast(rows)[..., 0], told[:, T:, :2], atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"embedding_size": 3}, {"embedding_size": H, "tie_weights": True}])
def test_a_language_model_is_the_same_without_pytorch(options: dict[str, Any]) -> None:
    model = language(output_layers=2, **options)
    encoding = {"vocabulary": {"level": "char", "symbols": list("abcde")}}
    tensors = {name: own for name, own in arrays(model).items() if name not in model.tied()}
    own, tokens = Model(ModelFile("language", model.config, encoding, tensors)), [0, 3, 1, 1, 4]
    stream = own.stream()
    found = [stream.step(token) for token in tokens]
    with torch.no_grad():
        h, _ = model(torch.tensor(tokens)[:, None])
        np.testing.assert_allclose(found, model.head.logits(h)[:, 0].numpy(), atol=1e-12)
    assert np.array_equal(found[2], found[3])  # nothing but the symbol is seen
    text = "".join(own.sample("a", length=6, greedy=True))
    drawn, last = "", 0
    for _ in range(6):  # what was drawn is the output that comes back
        last = int(own.stream().step(last).argmax())
        drawn += "abcde"[last]
    assert text == drawn


# Output layers.


def test_output_layers_are_columns_above_each_step() -> None:
    torch.manual_seed(3)
    model = LanguageModel(LanguageConfig("gru", H, 2, V, output_layers=2)).double().eval()
    tokens = torch.randint(V, (T, B))
    with torch.no_grad():
        y, _ = model.rnn(tokens)
        first, second = model.columns
        z = torch.tanh(torch.tanh(y @ first.weight.T + first.bias) @ second.weight.T + second.bias)
        torch.testing.assert_close(model(tokens)[0], z)


# Where the loss is.


def test_the_last_loss_sees_the_last_output_alone() -> None:
    torch.manual_seed(4)
    model = LanguageModel(LanguageConfig("lstm", H, 1, V))
    tokens, targets = torch.randint(V, (T, B)), torch.randint(V, (B,))
    loss, state = model.last_loss(tokens, targets)
    z = model.head.logits(model(tokens)[0])
    expected = torch.nn.functional.cross_entropy(z[-1], targets)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(state, model(tokens)[1])


def test_every_token_is_a_last_one_in_one_of_the_epochs() -> None:
    tokens = np.arange(40)
    ends = []
    for epoch in range(T):
        streams = Streams(shifted(tokens, T, epoch), 3, T)
        assert len(streams) == 3
        ends += [streams.chunk(k)[1][-1] for k in range(3)]
    found = np.sort(np.concatenate(ends))
    assert len(set(found)) == 36 and (np.diff(found) >= 1).all()
    again = Streams(shifted(tokens, T, T), 3, T)
    assert np.array_equal(again.chunk(1)[0], Streams(shifted(tokens, T, 0), 3, T).chunk(1)[0])


@pytest.mark.parametrize("strategy", ["direct", "recursive"])
def test_an_output_at_every_step_is_the_forecast_of_what_was_read(strategy: str) -> None:
    model, frame, _ = forecaster(strategy)
    rows = windows()
    batch = every_step(rows, frame)
    x, known = torch.from_numpy(batch.x), torch.from_numpy(batch.known)
    with torch.no_grad():
        found = model.every_step(x, known)[..., 0].numpy()
    last = outputs(model, rows, frame)
    if strategy == "recursive":
        assert found.shape == batch.targets.shape == (T + S - 1, B, 2)
        np.testing.assert_allclose(found[-S:], last, atol=1e-12)
        np.testing.assert_array_equal(batch.targets, rows[:, 1:, :2].swapaxes(0, 1))
        return
    assert found.shape == batch.targets.shape == (S, T * B, 2)
    for t in range(T):  # as if the lookback ended there
        with torch.no_grad():
            ahead = torch.from_numpy(rows[:, t + 1 : t + 1 + S, 2:]).transpose(0, 1).contiguous()
            own = model(x[: t + 1], ahead)[..., 0].numpy()
        np.testing.assert_allclose(found[:, t * B : (t + 1) * B], own, atol=1e-12)
        truth = rows[:, t + 1 : t + 1 + S, :2].swapaxes(0, 1)
        np.testing.assert_array_equal(batch.targets[:, t * B : (t + 1) * B], truth)
    np.testing.assert_allclose(found[:, -B:], last, atol=1e-12)
