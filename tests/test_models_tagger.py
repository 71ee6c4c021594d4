"""The tagger: its field against all tag sequences, its runtime against PyTorch, each sentence alone."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backtime.data.batching.buckets import pack
from backtime.data.batching.words import word_batch
from backtime.data.lexicon import closed, opened
from backtime.errors import UsageError
from backtime.models.config import read_config
from backtime.models.crf import CRF, neighbours
from backtime.models.file import ModelFile, read_model
from backtime.models.saving import build_model, save_model
from backtime.models.tagger import Tagger
from backtime.models.tagger_config import TaggerConfig
from backtime.runtime import tagger as runtime
from backtime.runtime.viterbi import Field, best_path, best_paths

LENGTHS = [4, 3, 3, 1]
WORDS = [["Play", "the", "Tune", "again"], ["play", "it", "now"], ["the", "tune", "stops"], ["unheard"]]


def field(L: int) -> CRF:
    crf = CRF(L).double().requires_grad_(False)
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    return crf


def all_scores(crf: CRF, z: torch.Tensor) -> dict[tuple[int, ...], torch.Tensor]:
    """The score of every tag sequence, by the definition."""
    T, L = z.shape
    found = {}
    for y in itertools.product(range(L), repeat=T):
        score = crf.first[y[0]] + crf.last[y[-1]] + sum(z[t, y[t]] for t in range(T))
        found[y] = score + sum(crf.transitions[y[t - 1], y[t]] for t in range(1, T))
    return found


def test_the_field_is_its_definition() -> None:
    torch.manual_seed(1)
    L, crf = 3, field(3)
    each = [torch.randn(T, L, dtype=torch.double) for T in LENGTHS]
    tags = [torch.randint(L, (T,)) for T in LENGTHS]
    packed = pack([own.numpy() for own in each])
    right = torch.from_numpy(pack([own.numpy() for own in tags]).rows)
    expected = torch.zeros((), dtype=torch.double)
    for z, y in zip(each, tags, strict=True):
        scores = all_scores(crf, z)
        expected += torch.logsumexp(torch.stack(list(scores.values())), 0) - scores[tuple(y.tolist())]
        own = Field(*(part.detach().numpy() for part in (crf.first, crf.transitions, crf.last)))
        best = max(scores, key=lambda y: float(scores[y]))
        assert best_path(z.numpy(), own).tolist() == list(best)
    loss = crf(torch.from_numpy(packed.rows), right, packed.batch_sizes)
    torch.testing.assert_close(loss, expected)


def test_the_gradient_of_the_field() -> None:
    torch.manual_seed(2)
    crf = field(3)
    batch_sizes = pack([np.zeros(T) for T in LENGTHS]).batch_sizes
    z = torch.randn(sum(LENGTHS), 3, dtype=torch.double, requires_grad=True)
    tags = torch.randint(3, (sum(LENGTHS),))
    inputs = (z, *(p.detach().clone().requires_grad_() for p in crf.parameters()))

    def loss(z: torch.Tensor, *parameters: torch.Tensor) -> Any:
        names = [name for name, _ in crf.named_parameters()]
        return torch.func.functional_call(
            crf, dict(zip(names, parameters, strict=True)), (z, tags, batch_sizes)
        )

    assert torch.autograd.gradcheck(loss, inputs)


def test_a_field_of_zeros_is_the_softmax_of_each_word() -> None:
    torch.manual_seed(3)
    batch_sizes = pack([np.zeros(T) for T in LENGTHS]).batch_sizes
    z, tags = torch.randn(sum(LENGTHS), 5, dtype=torch.double), torch.randint(5, (sum(LENGTHS),))
    torch.testing.assert_close(
        CRF(5).double()(z, tags, batch_sizes),
        torch.nn.functional.cross_entropy(z, tags, reduction="sum"),
    )
    paths = best_paths(z.numpy(), batch_sizes, Field(np.zeros(5), np.zeros((5, 5)), np.zeros(5)))
    assert [path.tolist() for path in paths] == [p.tolist() for p in best_paths(z.numpy(), batch_sizes, None)]


def test_neighbours() -> None:
    before, ends = neighbours(np.array([3, 2, 2]))  # rows 0 1 2 | 3 4 | 5 6
    assert before.tolist() == [0, 1, 3, 4] and sorted(ends.tolist()) == [2, 5, 6]


LEXICONS = {
    "words": opened("word", {"play": 2, "the": 2, "tune": 1}),
    "characters": opened("character", dict.fromkeys("Paly the", 1)),
    "tags": closed("tag", ["O", "B-x", "I-x"]),
}


ENCODING: dict[str, Any] = {name: lexicon.to_json() for name, lexicon in LEXICONS.items()}
ENCODING["columns"] = {"word": 0, "tag": 0}


def network(**options: Any) -> Tagger:
    torch.manual_seed(5)
    sizes = {name: len(lexicon) for name, lexicon in LEXICONS.items()}
    chosen = {"cell": "lstm", "hidden_size": 6, "word_size": 5, "character_size": 4, "spelling_size": 3}
    model = Tagger(TaggerConfig(**{**chosen, **sizes, **options})).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return model


@pytest.mark.parametrize(
    "options",
    [
        {"crf": True},
        {"layers": 2, "dropout": 0.5},
        {"cell": "gru", "crf": True},
        {"cell": "gru", "reset_after": False},
        {"cell": "rnn", "activation": "relu"},
        {"bidirectional": False},
    ],
)
def test_the_runtime_tags_as_pytorch_does(tmp_path: Path, options: dict[str, Any]) -> None:
    model = network(**options)
    path = tmp_path / "model.safetensors"
    save_model(path, model, "tag", ENCODING)
    file = read_model(path)
    batch = word_batch(WORDS, LEXICONS["words"], LEXICONS["characters"])
    expected = model.scores(batch)
    torch.testing.assert_close(build_model(file).eval().scores(batch), expected)
    found, batch_sizes = runtime.Tagger(file).scores(WORDS)
    np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-5)  # two orders of float32 sums
    together = runtime.Tagger(file).tag(WORDS)
    assert [row["tags"] for row in runtime.Tagger(file).predict(WORDS)] == together
    assert batch_sizes.tolist() == [4, 3, 3, 1]


def test_a_sentence_has_the_scores_that_it_has_alone() -> None:
    model = network().double()
    lexicons = LEXICONS["words"], LEXICONS["characters"]
    z = model.scores(word_batch(WORDS, *lexicons)).detach().numpy()
    rows = [0, 4, 7, 10]  # those of the first sentence: the first row of each step
    alone = model.scores(word_batch(WORDS[:1], *lexicons)).detach().numpy()
    assert z[[0, 4, 7, 10]].shape == alone.shape
    np.testing.assert_allclose(z[rows], alone, rtol=1e-12)


def test_the_loss_is_that_of_its_scores() -> None:
    batch = word_batch(WORDS, LEXICONS["words"], LEXICONS["characters"])
    tags = torch.arange(len(batch.words)) % 3
    for crf in (False, True):
        model = network(crf=crf)
        loss = model.loss(batch, tags)
        torch.testing.assert_close(loss, model.loss_of(model.scores(batch), tags, batch.batch_sizes))
        loss.backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell": "cnn"}, "cell is 'cnn'; expected one of rnn, gru, lstm"),
        ({"tags": 0}, "tags is 0; expected a whole number from 1"),
        ({"tags": True}, "tags is True; expected a whole number"),
        ({"crf": 1}, "crf is 1; expected true or false"),
        ({"dropout": 2}, r"dropout is 2; expected a number in \[0, 1\]"),
        ({"strange": 2}, "a field 'strange' that this version does not know"),
    ],
)
def test_wrong_configurations(change: dict[str, Any], message: str) -> None:
    value = network().config.to_json()
    assert read_config("tagger", value) == network().config
    with pytest.raises(UsageError, match=message):
        read_config("tagger", value | change)
    with pytest.raises(UsageError, match="lacks tags"):
        read_config("tagger", {name: own for name, own in value.items() if name != "tags"})


def test_an_encoding_of_another_size_is_refused(tmp_path: Path) -> None:
    for change, message in (
        ({"tags": closed("tag", ["O"]).to_json()}, "tags has 1 symbols; expected 3"),
        ({"words": 3}, "a lexicon is 3; expected kind, symbols and open"),
        ({"columns": {"word": 1}}, "columns: it lacks tag"),
    ):
        with pytest.raises(UsageError, match=message):
            save_model(tmp_path / "m", network(), "tag", ENCODING | change)
    assert not list(tmp_path.iterdir())


def test_a_model_of_another_task_tags_nothing() -> None:
    other: Any = ModelFile("language", None, {}, {})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the task 'language'; expected one that tags words"):
        runtime.Tagger(other)
