"""``insight.flow`` against autograd: T separate passes over a stack unrolled with torch.nn's own cells."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

import backtime.nn
from backtime import UsageError
from backtime.insight import flow
from backtime.insight.gradient import rows
from backtime.insight.gradient.norms import norms as row_norms
from backtime.insight.layers.levels import Level
from backtime.insight.steps.general import AnyStep
from backtime.insight.steps.lstm import LstmStep
from unrolled import lag_gradients, norms, unroll

# float64 and some hundred sums on the way: what is right agrees to 1e-12, what is wrong does not
EXACT = {"rtol": 1e-10, "atol": 1e-14}
T, B, I, H = 9, 3, 4, 5


def make(cell: str, layers: int = 2, library: Any = torch.nn, **options: Any) -> Any:
    torch.manual_seed(3)
    if cell == "relu":
        return library.RNN(I, H, layers, nonlinearity="relu", dtype=torch.float64, **options)
    return getattr(library, cell.upper())(I, H, layers, dtype=torch.float64, **options)


def batch(*shape: int, seed: int = 5) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


SIGNS = batch(T, B, H, seed=11)
PASSES = ["rnn", "relu", "gru", "lstm"]


def weighed(output: Any) -> torch.Tensor:
    return (output[0] * SIGNS).sum()


@pytest.mark.parametrize("library", [torch.nn, backtime.nn])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", PASSES)
def test_every_loss_at_every_lag_is_autograds(cell: str, layers: int, library: Any) -> None:
    model, x = make(cell, layers, library), batch(T, B, I)
    found = flow(model, x, weighed)
    graph = unroll(model, x, cell)
    errors = [(graph.y[t] * SIGNS[t]).sum() for t in range(T)]
    for layer, level in enumerate(found.levels):
        right = norms(graph, errors, layer)
        np.testing.assert_allclose(10**level.map, right.mean(2), **EXACT)
        np.testing.assert_allclose(10**level.log_mean, right.flatten(1).nanmean(1), **EXACT)
        start = torch.where(right.isnan(), torch.nan, right[:1])
        relative = right.flatten(1).nanmean(1) / start.flatten(1).nanmean(1)
        np.testing.assert_allclose(10**level.log_relative, relative, **EXACT)
        middle = [sorted(own[~own.isnan()].tolist())[own[~own.isnan()].numel() // 2] for own in right]
        np.testing.assert_allclose(10 ** level.log_quantiles[2], middle, **EXACT)


@pytest.mark.parametrize("factor", [1, 1e-3, 10])  # of the recurrent weights: rows are rescaled on the way
@pytest.mark.parametrize("cell", PASSES)
def test_what_a_lag_adds_to_each_weight_is_autograds(cell: str, factor: float) -> None:
    model, x = make(cell), batch(T, B, I)
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.mul_(factor if "weight_hh" in name else 1)
    found = flow(model, x, weighed)
    graph = unroll(model, x, cell)
    errors = [(graph.y[t] * SIGNS[t]).sum() for t in range(T)]
    assert [own.name for own in found.parameters] == [name for name, _ in model.named_parameters()]
    for own in found.parameters:
        name, layer = own.name[:-3], int(own.name[-1])
        lags = torch.stack(lag_gradients(graph, errors, layer, name)).flatten(1)
        whole = lags.sum(0)
        np.testing.assert_allclose(own.norm, whole.norm(), **EXACT)
        np.testing.assert_allclose(own.lag_share, lags @ whole / whole.square().sum(), rtol=1e-9, atol=1e-13)
        assert abs(own.lag_share.sum() - 1) < 1e-12
        cuts = own.truncation
        assert cuts.lengths == [1, 2, 3, 4, 6, 8, 9]
        for m, n in enumerate(cuts.lengths):
            cut = lags[:n].sum(0)
            chunk = sum((1 - j / n) * lags[j] for j in range(n))
            for vector, cosine, ratio in (
                (cut, cuts.cosine, cuts.ratio),
                (chunk, cuts.chunk_cosine, cuts.chunk_ratio),
            ):
                assert abs(cosine[m] - torch.cosine_similarity(vector, whole, 0)) < 1e-12
                assert abs(ratio[m] - vector.norm() / whole.norm()) < 1e-12
    assert found.gap is not None and found.gap < 1e-13


def test_chunks_are_those_of_training_with_a_sequence_length() -> None:
    """The mean over the borders' places of the gradient with the state cut at each border."""
    model, x, n = make("lstm", 1), batch(T, B, I), 4
    graph = unroll(model, x, "lstm")
    errors = [(graph.y[t] * SIGNS[t]).sum() for t in range(T)]
    total = torch.zeros_like(model.weight_hh_l0)
    for shift in range(n):
        for t, error in enumerate(errors):
            border = t - (t + shift) % n  # the first step of the loss's chunk
            leaves = [graph.weights[0][s]["weight_hh"] for s in range(max(border, 0), t + 1)]
            total += sum(torch.autograd.grad(error, leaves, retain_graph=True))
    whole = sum(lag_gradients(graph, errors, 0, "weight_hh"))
    [own] = [p for p in flow(model, x, weighed).parameters if p.name == "weight_hh_l0"]
    right = torch.cosine_similarity(total.flatten(), whole.flatten(), 0)
    assert abs(own.truncation.chunk_cosine[own.truncation.lengths.index(n)] - right) < 1e-12


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("gru", {"reset_after": False}),
        ("gru", {"layer_norm": True}),
        ("gru", {"zoneout": 0.2}),
        ("rnn", {"nonlinearity": "sigmoid"}),
        ("rnn", {"nonlinearity": "identity"}),
        ("rnn", {"leak": 0.3}),
        ("lstm", {"peephole": True}),
        ("lstm", {"layer_norm": True, "learned_state": True}),
        ("lstm", {"proj_size": 3}),
        ("lstm", {"coupled": True, "zoneout": (0.1, 0.2)}),
        ("lstm", {"bias": False}),
        ("lstm", {"bidirectional": True}),
        ("gru", {"bidirectional": True, "merge": "sum"}),
        ("rnn", {"bidirectional": True}),
    ],
)
def test_every_option_adds_up_to_the_engines_gradient(cell: str, options: dict[str, Any]) -> None:
    model = make(cell, 2, backtime.nn, **options)
    found = flow(model, batch(T, B, I))
    assert found.gap is not None and found.gap < 1e-12
    assert {own.name for own in found.parameters} == {n for n, _ in model.named_parameters()} - {"h0", "c0"}


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_by_hand_and_by_autograd_are_the_same_step(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = make(cell), batch(T, B, I)
    by_hand = flow(model, x)
    monkeypatch.setattr("backtime.insight.gradient.through_time.step_of", AnyStep)
    general = flow(model, x)
    for a, b in zip(by_hand.levels, general.levels, strict=True):
        np.testing.assert_allclose(a.log_mean, b.log_mean, rtol=1e-10, atol=1e-10)
    for p, q in zip(by_hand.parameters, general.parameters, strict=True):
        np.testing.assert_allclose(p.lag_share, q.lag_share, rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(p.truncation.chunk_ratio, q.truncation.chunk_ratio, **EXACT)


def test_a_wrong_sign_shows_in_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    right = LstmStep.__init__

    def wrong(self: LstmStep, level: Level) -> None:
        right(self, level)
        self.to_h[0][:, :, 0, 0] *= -1  # a unit's output gate

    monkeypatch.setattr(LstmStep, "__init__", wrong)
    gap = flow(make("lstm", 1), batch(T, B, I)).gap
    assert gap is not None and gap > 1e-3


@pytest.mark.parametrize("form", ["lengths", "packed", "batch_first"])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True}])
def test_lengths_are_as_sequences_by_themselves(form: str, options: dict[str, Any]) -> None:
    model = make("lstm", 2, backtime.nn, batch_first=form == "batch_first", **options)
    x, lengths = batch(T, B, I), [4, T, 6]

    def ends(output: Any) -> torch.Tensor:
        return output[1][0].square().sum()

    if form == "packed":
        found = flow(model, pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False), ends)
    else:
        padded = x.clone()
        for b, n in enumerate(lengths):
            padded[n:, b] = torch.nan
        rows = padded.transpose(0, 1) if form == "batch_first" else padded
        found = flow(model, rows, ends, kwargs={"lengths": lengths})
    model.batch_first = False
    alone = [flow(model, x[:n, b : b + 1], ends) for b, n in enumerate(lengths)]
    for layer, level in enumerate(found.levels):
        for k, right in enumerate(level.log_mean):
            maps = [one.levels[layer].map for one in alone]
            rows = np.concatenate([own[k] for own in maps if k < len(own)])  # every loss of every sequence
            np.testing.assert_allclose(10**right, np.nanmean(10**rows), **EXACT)
    assert found.gap is not None and found.gap < 1e-12


def test_only_steps_with_a_loss_send_one_back() -> None:
    model, x = make("gru", 1), batch(T, B, I)
    found = flow(model, x, lambda output: (output[0][-1] * SIGNS[-1]).sum())
    assert found.losses == 1
    graph = unroll(model, x, "gru")
    grads = torch.autograd.grad((graph.y[-1] * SIGNS[-1]).sum(), graph.h[0])
    np.testing.assert_allclose(
        10 ** found.levels[0].log_mean[::-1], [g.norm(dim=1).mean() for g in grads], **EXACT
    )


def test_a_reset_stops_the_gradient() -> None:
    model, x = make("lstm", 2, backtime.nn), batch(T, B, I)
    reset = torch.zeros(T, B, dtype=torch.bool)
    reset[5] = True
    found = flow(model, x, lambda out: out[0][-1].sum(), kwargs={"reset": reset})
    for level in found.levels:
        assert np.isfinite(level.log_mean[: T - 5]).all() and np.isneginf(level.log_mean[T - 5 :]).all()
    assert found.gap is not None and found.gap < 1e-12


class Tagger(torch.nn.Module):
    """Two recurrent modules, one used through its last state only, with things between them."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(7, I)
        self.reader = torch.nn.GRU(I, H, batch_first=True)
        self.dropout = torch.nn.Dropout(0.5)
        self.decoder = torch.nn.LSTM(H, H, 2, batch_first=True)
        self.head = torch.nn.Linear(H, 7)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        rows, last = self.reader(self.embedding(tokens))
        y, _ = self.decoder(self.dropout(rows), (last.expand(2, -1, -1), last.expand(2, -1, -1)))
        logits: torch.Tensor = self.head(y)
        return logits


def test_a_model_of_others_is_measured_and_left_alone() -> None:
    torch.manual_seed(0)
    model = Tagger().double()
    model.head.eval()
    tokens = torch.randint(0, 7, (B, T))
    before, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    types = [type(m) for m in model.modules()]

    def loss(logits: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten())

    found = flow(model, tokens, loss)
    assert [level.name for level in found.levels] == ["reader layer 0", "decoder layer 0", "decoder layer 1"]
    assert found.gap is not None and found.gap < 1e-12
    assert [m.training for m in model.modules()] == modes and [type(m) for m in model.modules()] == types
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters()) and not model.decoder._forward_hooks
    model.eval()
    loss(model(tokens)).backward()
    by_name = dict(model.named_parameters())
    for own in found.parameters:
        np.testing.assert_allclose(own.norm, by_name[own.name].grad.norm(), **EXACT)


def test_frozen_and_normed_weights_are_measured() -> None:
    model, x = make("lstm", 1), batch(T, B, I)
    plain = flow(model, x, weighed)
    normed = torch.nn.utils.parametrizations.weight_norm(copy.deepcopy(model), "weight_hh_l0")
    for other in (copy.deepcopy(model).requires_grad_(False), normed):
        np.testing.assert_allclose(
            flow(other, x, weighed).levels[0].log_mean, plain.levels[0].log_mean, **EXACT
        )


@pytest.mark.parametrize("factor", [0.05, 30.0])
def test_no_size_of_gradient_is_lost(factor: float) -> None:
    """An identity rnn with Wh = a I: |dE_t/dh_{t-k}| = a^k, far beyond what float32 holds."""
    model = backtime.nn.RNN(1, 2, nonlinearity="identity", bias=False)
    with torch.no_grad():
        model.weight_hh_l0.copy_(factor * torch.eye(2))
        model.weight_ih_l0.zero_()  # h stays zero
    found = flow(model, torch.zeros(200, 2, 1), contributions=False)
    right = np.arange(200) * np.log10(np.float32(factor)) + np.log10(2**0.5)
    np.testing.assert_allclose(found.levels[0].log_mean, right, rtol=1e-5)  # float32, 200 products


def test_norms_are_right_where_squares_are_not() -> None:
    sizes = torch.tensor([[0.0, 1e-30, 1e-12], [1.0, 1e25, torch.inf]])
    found = row_norms(sizes[..., None] * torch.tensor([3.0, 4.0]))
    np.testing.assert_allclose(found, 5 * sizes.double(), rtol=1e-6)  # rows of float32


def test_bounded_lags_are_the_first_of_all() -> None:
    model, x = make("gru"), batch(T, B, I)
    some, every = flow(model, x, weighed, lags=4), flow(model, x, weighed)
    assert some.lags == 4 and some.gap is None
    np.testing.assert_allclose(some.levels[0].log_mean, every.levels[0].log_mean[:4], **EXACT)


@pytest.mark.parametrize("shape", [(1, 1, I), (1, B, I), (T, I)])
def test_one_step_one_row_one_sequence(shape: tuple[int, ...]) -> None:
    found = flow(make("lstm"), batch(*shape))
    assert found.gap is not None and found.gap < 1e-12 and found.lags == shape[0]


def test_what_does_not_fit_is_said() -> None:
    linear, model, x = torch.nn.Linear(4, 4), make("rnn"), batch(T, B, I)
    with pytest.raises(UsageError, match="module is a Linear without a recurrent layer"):
        flow(linear, x)
    with pytest.raises(UsageError, match="loss does not depend on a recurrent layer"):
        flow(model, x, lambda output: torch.ones(3, requires_grad=True))
    with pytest.raises(UsageError, match="loss gave a float"):
        flow(model, x, lambda output: 1.0)  # type: ignore[arg-type,return-value]
    with pytest.raises(UsageError, match="lags is 0"):
        flow(model, x, lags=0)


def test_the_straight_line_is_what_is_left_without_the_recurrent_weights() -> None:
    """Autograd with h cut off before ``Wh`` sees the cell line alone."""
    model, x = make("lstm", 1), batch(T, B, I)
    found = flow(model, x, weighed).levels[0].line_share
    assert found is not None
    cells: dict[bool, list[torch.Tensor]] = {}
    errors: dict[bool, list[torch.Tensor]] = {}
    for cut in (False, True):
        h = c = x.new_zeros(B, H)
        cells[cut], errors[cut] = [], []
        for t in range(T):
            before = h.detach() if cut else h
            h, c = torch._VF.lstm_cell(x[t], (before, c), *model.parameters())
            cells[cut].append(c)
            errors[cut].append((h * SIGNS[t]).sum())
    shares: list[list[torch.Tensor]] = [[] for _ in range(T)]
    for t in range(T):
        line, whole = (
            torch.autograd.grad(errors[cut][t], cells[cut][: t + 1], retain_graph=True)
            for cut in (True, False)
        )
        for s, (a, b) in enumerate(zip(line, whole, strict=True)):
            own, rest = a.square().sum(1), (b - a).square().sum(1)
            shares[t - s].append(own / (own + rest))
    np.testing.assert_allclose(found, [torch.cat(own).mean() for own in shares], rtol=1e-9)


def test_gates_and_still_units_are_counted() -> None:
    model, x = make("lstm", 1, backtime.nn), 8 * batch(T, B, I)
    with torch.no_grad():
        model.bias_ih_l0[3 * H] = -400.0  # the output gate of unit 0 is shut: h stays zero
    level = flow(model, x).levels[0]
    _, _, (trace,) = model(x, trace=True)
    for name, gate in level.gates.items():
        low, high = (-0.98, 0.98) if name == "g" else (0.01, 0.99)
        rows = trace.gates[name].flatten(0, 1)
        np.testing.assert_allclose(gate.closed, (rows < low).double().mean(0))
        np.testing.assert_allclose(gate.open, (rows > high).double().mean(0))
    assert level.unit_still.tolist() == [True, False, False, False, False]


@pytest.mark.parametrize("lags", [None, 4])
@pytest.mark.parametrize("block", [1, 2, 4])
@pytest.mark.parametrize("cell", PASSES)
def test_losses_come_and_go_in_blocks_of_any_size(
    cell: str, block: int, lags: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = make(cell, 2, bidirectional=cell == "gru"), batch(T, B, I)
    right = flow(model, x, lags=lags)
    monkeypatch.setattr(rows, "BLOCK", block)
    found = flow(model, x, lags=lags)
    for a, b in zip(found.levels, right.levels, strict=True):
        np.testing.assert_allclose(10**a.map, 10**b.map, **EXACT)
        if a.line_share is not None:
            np.testing.assert_allclose(a.line_share, b.line_share, **EXACT)
    for p, q in zip(found.parameters, right.parameters, strict=True):
        np.testing.assert_allclose(p.lag_share, q.lag_share, **EXACT)
        np.testing.assert_allclose(p.truncation.cosine, q.truncation.cosine, **EXACT)


@pytest.mark.parametrize("cell", PASSES)
def test_many_losses_are_autograds(cell: str) -> None:
    """More of them than room is made for at once."""
    steps = 2 * rows.BLOCK + 3
    model, x = make(cell, 1), batch(steps, B, I)
    signs = batch(steps, B, H, seed=7)
    found = flow(model, x, lambda output: (output[0] * signs).sum(), lags=rows.BLOCK + 2)
    graph = unroll(model, x, cell)
    right = norms(graph, [(y * own).sum() for y, own in zip(graph.y, signs, strict=True)], 0)
    right = right[: rows.BLOCK + 2]
    np.testing.assert_allclose(10 ** found.levels[0].map, right.mean(2), **EXACT)
