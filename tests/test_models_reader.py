"""The reader: each pooling by its definition, its runtime against PyTorch, each sequence alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backtime.data.batching.buckets import pack
from backtime.data.batching.steps import scale_of
from backtime.data.lexicon import closed, opened
from backtime.errors import UsageError
from backtime.models.config import read_config
from backtime.models.file import ModelFile, read_model
from backtime.models.reader import Reader, owners
from backtime.models.reader_config import POOLINGS, ReaderConfig
from backtime.models.saving import build_model, save_model
from backtime.runtime import reader as runtime

LENGTHS = [5, 3, 3, 1]
I, K = 3, 4


def network(**options: Any) -> Reader:
    torch.manual_seed(6)
    chosen = {"cell": "lstm", "hidden_size": 6, "classes": K, "channels": I}
    model = Reader(ReaderConfig(**{**chosen, **options})).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return model


def records() -> list[Any]:
    draw = np.random.default_rng(4)
    return [draw.standard_normal((T, I)) for T in LENGTHS]


def scores(model: Reader, each: list[Any]) -> torch.Tensor:
    packed = pack(each)
    return model.scores(torch.from_numpy(packed.rows), torch.from_numpy(packed.batch_sizes))


def pooled(model: Reader, y: torch.Tensor) -> torch.Tensor:
    """The definition, for the outputs (T, P) of one sequence."""
    H = model.config.hidden_size
    if model.config.pooling == "last":
        return torch.cat([y[-1, :H], y[0, H:]])
    if model.config.pooling == "attention":
        score = torch.tanh(y @ model.attention.weight.T + model.attention.bias) @ model.query
        return torch.softmax(score, 0) @ y
    return y.mean(0) if model.config.pooling == "mean" else y.amax(0)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("both", [False, True])
def test_pooling_is_its_definition(pooling: str, both: bool) -> None:
    model = network(pooling=pooling, bidirectional=both, layers=2)
    found = scores(model, records())
    for own, row in zip(records(), found, strict=True):
        y, _ = model.rnn(torch.from_numpy(own))
        torch.testing.assert_close(model.head.logits(pooled(model, y)[None])[0], row)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradients_reach_every_weight(pooling: str) -> None:
    model, packed = network(pooling=pooling), pack(records())
    arguments = torch.from_numpy(packed.rows), torch.from_numpy(packed.batch_sizes)
    model.loss(*arguments, torch.arange(4) % K).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    rows = arguments[0].requires_grad_()
    assert torch.autograd.gradcheck(lambda x: model.scores(x, arguments[1]), (rows,))


def test_an_answer_at_every_step() -> None:
    model, packed = network(), pack(records())
    rows, sizes = torch.from_numpy(packed.rows), torch.from_numpy(packed.batch_sizes)
    classes = torch.tensor([0, 3, 1, 2])
    expected = [
        torch.nn.functional.cross_entropy(scores(model, [own[: t + 1]]), classes[n : n + 1])
        for n, own in enumerate(records())
        for t in range(len(own))
    ]
    torch.testing.assert_close(model.loss(rows, sizes, classes, True), torch.stack(expected).mean())


def test_owners() -> None:
    assert owners(torch.tensor([3, 2, 2]), torch.device("cpu")).tolist() == [0, 1, 2, 0, 1, 0, 1]


LABELS = closed("label", "abcd").to_json()
READING = {"text": "text", "label": "label", "series": "series", "steps": "rows", "level": "char"}


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize(
    "options", [{}, {"cell": "gru", "bidirectional": True}, {"cell": "rnn", "layers": 2}]
)
def test_the_runtime_answers_as_pytorch_does(tmp_path: Path, pooling: str, options: dict[str, Any]) -> None:
    model = network(pooling=pooling, **options)
    scale = scale_of([np.concatenate(records())])
    encoding = {"labels": LABELS, "reading": READING, "scale": scale.to_json()}
    save_model(tmp_path / "m", model, "classify", encoding)
    file = read_model(tmp_path / "m")
    used = runtime.Reader(file)
    packed = used.encoder.batch(records())
    rows, sizes = torch.from_numpy(packed.rows).double(), torch.from_numpy(packed.batch_sizes)
    expected = build_model(file).eval().scores(rows, sizes)
    np.testing.assert_allclose(used.scores(packed), expected.detach().numpy(), rtol=1e-10)
    for row, p in zip(used.predict(records()), torch.softmax(expected, 1), strict=True):
        assert row["label"] == "abcd"[int(p.argmax())]
        # alone it has the probabilities that it has among others; it is scaled in float32
        np.testing.assert_allclose(list(row["probabilities"].values()), p.detach().numpy(), rtol=1e-6)
        assert row["probability"] == max(row["probabilities"].values())


def test_the_runtime_reads_text(tmp_path: Path) -> None:
    symbols = opened("symbol", dict.fromkeys("ab", 1))
    model = network(channels=0, symbols=len(symbols), embedding_size=5)
    encoding = {"labels": LABELS, "reading": READING, "symbols": symbols.to_json()}
    save_model(tmp_path / "m", model, "classify", encoding)
    used = runtime.Reader(read_model(tmp_path / "m"))
    rows = list(used.predict(["abz", "b"]))
    numbers = torch.tensor([1, 2, 2, 0]), torch.tensor([2, 1, 1])
    expected = torch.softmax(model.scores(*numbers), 1)[0]
    np.testing.assert_allclose(list(rows[0]["probabilities"].values()), expected.detach().numpy())
    with pytest.raises(UsageError, match="record 1 has an empty text"):
        list(used.predict([" "]))
    with pytest.raises(
        UsageError, match=r"record 1 has shape \(2,\), type float64; expected numbers \(T, I\)"
    ):
        list(used.predict([np.zeros(2)]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pooling": "sum"}, "pooling is 'sum'; expected one of last, mean, max, attention"),
        ({"channels": 0}, "symbols is 0, embedding_size 0, channels 0; expected symbols and their"),
        ({"symbols": 4}, "symbols is 4, embedding_size 0, channels 3; expected"),
        ({"classes": 0}, "classes is 0; expected a whole number from 1"),
    ],
)
def test_wrong_configurations(change: dict[str, Any], message: str) -> None:
    value = network().config.to_json()
    assert read_config("reader", value) == network().config
    with pytest.raises(UsageError, match=message):
        read_config("reader", value | change)


def test_an_encoding_of_another_size_is_refused(tmp_path: Path) -> None:
    right = {"labels": LABELS, "reading": READING, "scale": scale_of([np.ones((2, I))]).to_json()}
    for change, message in (
        ({"scale": scale_of([np.ones((2, 5))]).to_json()}, "the scale is that of 5 channels; expected 3"),
        ({"labels": closed("label", "ab").to_json()}, "labels has 2 symbols; expected 4"),
        ({"scale": 3}, "the scale is 3; expected mean and deviation"),
        ({"scale": {"mean": [1], "deviation": [1, 2]}}, "expected as many means as deviations"),
        ({"scale": {"mean": [1], "deviation": ["x"]}}, "expected mean and deviation"),
        ({"reading": {}}, "reading: it lacks text"),
        ({"reading": {**READING, "level": 3}}, "reading: level is 3; expected text"),
    ):
        with pytest.raises(UsageError, match=message):
            save_model(tmp_path / "m", network(), "classify", right | change)


def test_a_model_of_another_task_classifies_nothing() -> None:
    other: Any = ModelFile("language", None, {}, {})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the task 'language'; expected one that classifies"):
        runtime.Reader(other)
