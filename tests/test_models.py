"""The language model and its file, as PyTorch sees them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from backtime import UsageError
from backtime.data.text.vocabulary import Vocabulary
from backtime.models import LanguageConfig, LanguageModel, load_model, save_model

V = 6
ENCODING = {"vocabulary": Vocabulary("char", list("abcde\n")).to_json()}
CONFIGS = [
    LanguageConfig("rnn", 5, 1, V, activation="relu"),
    LanguageConfig("gru", 5, 2, V, embedding_size=3),
    LanguageConfig("lstm", 5, 2, V, embedding_size=5, tie_weights=True, dropout=0.25),
    LanguageConfig("lstm", 5, 1, V),
]


def born(config: LanguageConfig, seed: int = 0) -> LanguageModel:
    torch.manual_seed(seed)
    return LanguageModel(config)


def tokens(seed: int = 0, T: int = 4, B: int = 3) -> torch.Tensor:
    return torch.randint(0, V, (T, B), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_loss_is_cross_entropy_of_the_logits(config: LanguageConfig) -> None:
    model = born(config).double().eval()
    x, targets = tokens(0), tokens(1)
    h, _ = model(x)
    loss, state = model.loss(x, targets, model.initial_state(3))
    expected = functional.cross_entropy(model.head.logits(h).flatten(0, 1), targets.flatten())
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    shapes = [tuple(s.shape) for s in (state if isinstance(state, tuple) else (state,))]
    assert shapes == [(config.layers, 3, 5)] * (2 if config.cell == "lstm" else 1)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_state_carried_over_reads_on(config: LanguageConfig) -> None:
    model = born(config).eval()
    x = tokens(T=6)
    whole, _ = model(x)
    first, state = model(x[:2])
    assert torch.equal(torch.cat([first, model(x[2:], state)[0]]), whole)


def test_tied_weights_are_one_tensor_and_get_both_gradients() -> None:
    model = born(CONFIGS[2]).double().eval()
    assert model.embedding is not None and model.embedding.weight is model.head.weight
    assert model.head.weight.abs().max() <= 5**-0.5  # the head's initial values, not the embedding's
    model.loss(tokens(0), tokens(1))[0].backward()
    both = model.head.weight.grad
    h, _ = model(tokens(0))
    logits = h @ model.head.weight.detach().T + model.head.bias
    (from_embedding,) = torch.autograd.grad(
        functional.cross_entropy(logits.flatten(0, 1), tokens(1).flatten()), model.head.weight
    )
    assert both is not None and from_embedding.abs().max() > 0
    loss = model.head(h.detach(), tokens(1))
    (from_head,) = torch.autograd.grad(loss, model.head.weight)
    torch.testing.assert_close(both, from_embedding + from_head, rtol=1e-11, atol=1e-13)


def test_dropout_falls_on_embedding_between_layers_and_before_the_head() -> None:
    config = LanguageConfig("lstm", 5, 2, V, embedding_size=3, dropout=0.5)
    model = born(config).double()
    x = tokens()
    torch.manual_seed(5)
    dropped, _ = model(x)
    torch.manual_seed(5)
    assert model.embedding is not None
    y = functional.dropout(model.embedding(x), 0.5)
    expected = functional.dropout(model.rnn(y)[0], 0.5)
    assert torch.equal(dropped, expected)
    assert (dropped == 0).any()
    assert torch.equal(model.eval()(x)[0], model.eval()(x)[0])


def test_one_hot_input_is_not_dropped() -> None:
    model = born(LanguageConfig("rnn", 5, 1, V, dropout=0.5))
    x = tokens()
    torch.manual_seed(5)
    dropped, _ = model(x)
    torch.manual_seed(5)
    assert torch.equal(dropped, functional.dropout(model.rnn(x)[0], 0.5))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_saved_and_loaded_is_the_same_model(
    config: LanguageConfig, dtype: torch.dtype, tmp_path: Path
) -> None:
    model = born(config).to(dtype)
    path = tmp_path / "model.safetensors"
    save_model(path, model, "language", ENCODING)
    before = torch.random.get_rng_state()
    loaded, file = load_model(path)
    assert torch.equal(torch.random.get_rng_state(), before)  # loading takes no random numbers
    assert loaded.config == config and file.encoding == ENCODING and loaded.training
    assert file.task == "language"
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert list(ours) == list(theirs)
    assert all(
        torch.equal(ours[name], theirs[name]) and ours[name].dtype == theirs[name].dtype for name in ours
    )
    if config.tie_weights:
        assert loaded.embedding is not None and loaded.embedding.weight is loaded.head.weight
    loaded.loss(tokens(0), tokens(1))[0].backward()  # its memory can be written to
    torch.optim.SGD(loaded.parameters(), 0.1).step()


def test_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_model(tmp_path / name, born(CONFIGS[1]), "language", ENCODING)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_run_folder_stands_for_its_best_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a model file or a run folder"):
        load_model(tmp_path)
    (tmp_path / "best").mkdir()
    save_model(tmp_path / "best" / "model.safetensors", born(CONFIGS[0]), "language", ENCODING)
    assert load_model(tmp_path)[0].config == CONFIGS[0]


def test_a_vocabulary_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="vocabulary has 2 symbols; expected vocabulary_size = 6"):
        two = {"vocabulary": Vocabulary("char", ["a", "b"]).to_json()}
        save_model(tmp_path / "m", born(CONFIGS[0]), "language", two)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cell": "grue"}, "cell is 'grue'; expected one of rnn, gru, lstm"),
        ({"hidden_size": 0}, "hidden_size is 0; expected a whole number from 1"),
        ({"layers": True}, "layers is True"),
        ({"vocabulary_size": 2.0}, "vocabulary_size is 2.0"),
        ({"embedding_size": -1}, "embedding_size is -1; expected a whole number from 0"),
        ({"dropout": 1.5}, r"dropout is 1.5; expected a number in \[0, 1\]"),
        ({"dropout": "0.5"}, "dropout is '0.5'"),
        ({"activation": "cos"}, "activation is 'cos'"),
        ({"reset_after": 1}, "reset_after is 1; expected true or false"),
        ({"tie_weights": True}, "tie_weights needs embedding_size equal to hidden_size; they are 0 and 5"),
    ],
)
def test_bad_configurations(fields: dict[str, Any], message: str) -> None:
    good = {"cell": "rnn", "hidden_size": 5, "layers": 1, "vocabulary_size": V}
    with pytest.raises(UsageError, match=message):
        LanguageConfig(**(good | fields))
    with pytest.raises(UsageError, match=message):
        LanguageConfig.from_json(good | fields)


def test_configuration_as_json() -> None:
    for config in CONFIGS:
        assert LanguageConfig.from_json(config.to_json()) == config
    for value, message in [
        ([], "expected an object"),
        ({"cell": "rnn"}, "lacks hidden_size"),
        (CONFIGS[0].to_json() | {"heads": 3}, "field 'heads' that this version does not know"),
    ]:
        with pytest.raises(UsageError, match=message):
            LanguageConfig.from_json(value)
