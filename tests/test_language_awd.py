"""AWD-LSTM: each kind of dropout, the weights' own, penalties on activations."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

import backtime.nn
from backtime.models.aligned import LanguageModel
from backtime.models.config import LanguageConfig
from backtime.training.state import RunState
from cases import engine_or_skip

T, B, V, H = 7, 3, 11, 6


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


def test_a_model_without_these_kinds_is_written_as_before() -> None:
    assert "weight_dropout" not in LanguageConfig("lstm", 2, 1, 3).to_json()
    config = LanguageConfig("lstm", 2, 1, 3, 2, input_dropout=0.0, weight_dropout=0.5)
    assert LanguageConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_a_run_of_before_goes_on() -> None:
    state = RunState(horizon=2).to_json()
    del state["validations"]
    assert RunState.from_json(state) == RunState(horizon=2)
