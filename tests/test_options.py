"""The options of the cells: numeric differentiation of each, and what they must come to in plain cases."""

import math
from typing import Any

import numpy as np
import pytest

from agreement import assert_chunks_are_the_whole, assert_close, check_layer
from backtime import UsageError, kernels
from backtime.reference import norm
from backtime.reference.weights import Array
from cases import OPTION_CASES, STATE, Case, cast, cast_options, dot, make, pack, train_step
from numeric import check_gradients

OPTIONED = pytest.mark.parametrize("name", OPTION_CASES)
KEEPERS = ["rnn", "gru", "lstm"]


def build(name: str, *sizes: int, **more: Any) -> tuple[str, Case, dict[str, Any]]:
    option = OPTION_CASES[name]
    return option.cell, *option.build(*sizes, **more)


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


@OPTIONED
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("one_hot", [False, True])
def test_gradient_is_the_numeric_one(name: str, one_hot: bool, reverse: bool) -> None:
    cell, case, options = build(name, 4, 2, 2, 3, one_hot=one_hot)
    check_layer(cell, case, "reference", reverse=reverse, **options)


@pytest.mark.slow
@OPTIONED
@pytest.mark.parametrize("reverse", [False, True])
def test_gradient_of_packed_rows_is_the_numeric_one(name: str, reverse: bool) -> None:
    cell, case, options = build(name, 4, 4, 2, 3)
    packed, own = pack(case, options, [2, 0, 4, 2])
    check_layer(cell, packed, "reference", reverse=reverse, **own)


@OPTIONED
def test_chunks_are_the_whole(name: str) -> None:
    cell, case, options = build(name, 7, 3, 4, 5)
    assert_chunks_are_the_whole(cell, case, **options)


@OPTIONED
def test_float32_stays_float32_and_is_near(name: str) -> None:
    """An eps of 6e-8 grows through 5 steps and the steep places of a layer norm by some hundreds at most."""
    cell, case, options = build(name, 5, 3, 4, 6, seed=4)
    found = train_step(cell, cast(case, np.float32), **cast_options(options, np.float32))
    assert {value.dtype for value in found.values()} == {np.dtype(np.float32)}
    assert_close(found, train_step(cell, case, **options), 2e-5)


@OPTIONED
def test_auto_answers(name: str) -> None:
    cell, case, options = build(name, 3, 2, 4, 5)
    y, last, tape = kernels.forward(cell, case.x, case.state, case.weights, **options)
    assert tape is not None
    found = kernels.backward(tape, case.dy, case.dstate, need_dx=False, need_dstate=False)
    expected = train_step(cell, case, **options)
    assert_close(
        {"y": y, f"{STATE[cell][0][0]}T": last[0]}, {n: expected[n] for n in ("y", *_end(cell))}, 1e-13
    )
    assert found.dx is None
    assert found.dstate is None


def _end(cell: str) -> tuple[str]:
    return (f"{STATE[cell][0][0]}T",)


# What an option must come to.


def assert_same(found: dict[str, Array], expected: dict[str, Array]) -> None:
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], value) for name, value in expected.items())


@pytest.mark.parametrize("cell", KEEPERS)
def test_neutral_options_are_no_options(cell: str) -> None:
    case = make(cell, 5, 3, 4, 6)
    plain = train_step(cell, case)
    zeros, ones = np.zeros((5, 3, 6)), np.ones((3, 6))
    neutral: list[dict[str, Any]] = [
        {"keep_h": 0.0},
        {"keep_h": 0},
        {"keep_h": zeros},
        {"h_mask": ones},
        {"h_mask": None, "reset": None},
        {"reset": np.zeros((5, 3), bool)},
    ]
    if cell == "lstm":
        neutral += [{"keep_c": 0.0}, {"keep_c": zeros}, {"coupled": False}]
    for options in neutral:
        assert_same(train_step(cell, case, **options), plain)


@pytest.mark.parametrize("cell", KEEPERS)
@pytest.mark.parametrize("keep", [1, 1.0, np.ones((5, 3, 6))], ids=["int", "float", "array"])
def test_a_state_that_is_kept_whole_is_carried(cell: str, keep: Any) -> None:
    case = make(cell, 5, 3, 4, 6)
    options = {"keep_h": keep} | ({"keep_c": keep} if cell == "lstm" else {})
    found = train_step(cell, case, **options)
    np.testing.assert_allclose(found["y"], np.broadcast_to(case.state[0], (5, 3, 6)), rtol=0, atol=1e-15)
    np.testing.assert_allclose(found["dh0"], case.dy.sum(0) + case.dstate[0], rtol=0, atol=1e-14)
    np.testing.assert_array_equal(found["dx"], 0)
    if cell == "lstm":
        np.testing.assert_allclose(found["cT"], case.state[1], rtol=0, atol=1e-15)
        np.testing.assert_array_equal(found["dc0"], case.dstate[1])


def test_what_is_kept_of_the_rnn_is_its_leak() -> None:
    """h = (1 - a) h + a f(z), in plain numbers; keep_h = 1 - a."""
    a, (T, B, I, H) = 0.3, (4, 2, 3, 5)
    case = make("rnn", T, B, I, H)
    Wx, Wh, bx, bh = case.weights[:4]
    y = kernels.forward("rnn", case.x, case.state, case.weights, keep_h=1 - a, backend="reference")[0]
    for b in range(B):
        h = list(case.state[0][b])
        for t in range(T):
            z = [dot(Wx[k], case.x[t, b]) + bx[k] + dot(Wh[k], h) + bh[k] for k in range(H)]
            h = [(1 - a) * h[k] + a * math.tanh(z[k]) for k in range(H)]
            np.testing.assert_allclose(y[t, b], h, rtol=0, atol=1e-14)


@pytest.mark.parametrize("cell", KEEPERS)
def test_a_unit_of_zoneout_stays_or_moves(cell: str) -> None:
    """keep of 0 and 1: each unit has its plain new value or its old one; h~ of the lstm sees c~, not c."""
    case = make(cell, 1, 3, 4, 6)
    plain = train_step(cell, case)
    keep = (np.arange(18).reshape(1, 3, 6) % 2).astype(float)
    found = train_step(cell, case, keep_h=keep)
    np.testing.assert_allclose(found["y"], np.where(keep, case.state[0], plain["y"]), rtol=0, atol=1e-15)
    if cell == "lstm":
        found = train_step(cell, case, keep_c=keep)
        np.testing.assert_array_equal(found["y"], plain["y"])
        np.testing.assert_allclose(
            found["cT"], np.where(keep[0], case.state[1], plain["cT"]), rtol=0, atol=1e-15
        )


@pytest.mark.parametrize("cell", [*KEEPERS, "jordan"])
def test_a_mask_scales_the_columns_of_wh(cell: str) -> None:
    """The same mask for each sequence is Wh with its columns scaled, but for the direct paths."""
    case = make(cell, 5, 3, 4, 6)
    width = case.state[0].shape[1]
    row = np.random.default_rng(0).uniform(size=width)
    found = train_step(cell, case, h_mask=np.tile(row, (3, 1)))
    scaled = train_step(cell, case._replace(weights=case.weights._replace(Wh=case.weights.Wh * row)))
    scaled["dWh"] = scaled["dWh"] * row
    assert_close(found, scaled, 1e-13)


def test_a_mask_differs_from_sequence_to_sequence() -> None:
    case = make("gru", 3, 2, 4, 6)
    mask = np.stack([np.ones(6), np.zeros(6)])
    y = train_step("gru", case, h_mask=mask)["y"]
    np.testing.assert_allclose(y[:, 0], train_step("gru", case)["y"][:, 0], rtol=0, atol=1e-14)
    deaf = case._replace(weights=case.weights._replace(Wh=np.zeros((18, 6))))
    np.testing.assert_allclose(y[:, 1], train_step("gru", deaf)["y"][:, 1], rtol=0, atol=1e-14)


@pytest.mark.parametrize("cell", [*KEEPERS, "jordan"])
def test_a_reset_at_every_step_is_as_many_sequences_of_one(cell: str) -> None:
    case = make(cell, 5, 3, 4, 6)
    found = train_step(cell, case, reset=np.ones((5, 3), bool))
    for t in range(5):
        zeros = tuple(map(np.zeros_like, case.state))
        last = tuple(map(np.zeros_like, case.state)) if t < 4 else case.dstate
        alone = train_step(
            cell, case._replace(x=case.x[t : t + 1], state=zeros, dy=case.dy[t : t + 1], dstate=last)
        )
        np.testing.assert_array_equal(found["y"][t], alone["y"][0])
        np.testing.assert_array_equal(found["dx"][t], alone["dx"][0])
    for name in STATE[cell]:
        np.testing.assert_array_equal(found[f"d{name}"], 0)


@pytest.mark.parametrize("cell", [*KEEPERS, "jordan"])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_reset_cuts_at_the_same_place_in_both_directions(cell: str, reverse: bool) -> None:
    """A cut before step 2 is the sequences 0..1 and 2..4, each from zeros but where the whole one begins."""
    case = make(cell, 5, 2, 4, 6)
    reset = np.zeros((5, 2), bool)
    reset[2] = True
    y = train_step(cell, case, reset=reset, reverse=reverse)["y"]
    for part in (slice(0, 2), slice(2, 5)):
        begins = part.stop == 5 if reverse else part.start == 0
        start = case.state if begins else None
        alone = kernels.forward(
            cell, case.x[part], start, case.weights, reverse=reverse, backend="reference"
        )[0]
        np.testing.assert_array_equal(y[part], alone)


def test_a_reset_at_the_first_step_drops_the_first_state_going_forwards_alone() -> None:
    case = make("lstm", 3, 2, 4, 6)
    reset = np.array([[True, True], [False, False], [False, False]])
    found = train_step("lstm", case, reset=reset)
    assert not found["dh0"].any()
    assert not found["dc0"].any()
    assert_same(train_step("lstm", case, reset=reset, reverse=True), train_step("lstm", case, reverse=True))


@pytest.mark.parametrize("cell", [*KEEPERS, "jordan"])
def test_reverse_is_the_sequence_turned_round(cell: str) -> None:
    case = make(cell, 5, 2, 4, 6)
    found = train_step(cell, case, reverse=True)
    turned = train_step(cell, case._replace(x=case.x[::-1], dy=case.dy[::-1]))
    turned |= {name: turned[name][::-1] for name in ("y", "dx")}
    assert_close(found, turned, 0.0)


def test_layer_norm_is_its_definition() -> None:
    a = np.random.default_rng(0).normal(3, 2, (2, 3, 7))
    n = norm.standard(a)
    for row, found in zip(a.reshape(6, 7), n.reshape(6, 7), strict=True):
        mean = sum(row) / 7
        s = math.sqrt(sum((k - mean) ** 2 for k in row) / 7 + 1e-5)
        np.testing.assert_allclose(found, [(k - mean) / s for k in row], rtol=1e-13)
    torch = pytest.importorskip("torch")
    witness = torch.nn.functional.layer_norm(torch.tensor(a), (7,)).numpy()
    np.testing.assert_allclose(n, witness, rtol=0, atol=1e-14)


def test_the_gradient_of_layer_norm_is_the_numeric_one() -> None:
    rng = np.random.default_rng(1)
    check_gradients(
        lambda a, g: (norm.standard(a) * g,),
        lambda dz, a, g: {"a": norm.standard_backward(dz * g, a), "g": norm.gain_gradient(dz, a)},
        {"a": rng.standard_normal((3, 2, 5)), "g": rng.standard_normal(5)},
    )


@pytest.mark.parametrize("cell", [*KEEPERS, "jordan"])
def test_layer_norm_forgets_the_scale_of_a_product(cell: str) -> None:
    """LN(k a) = LN(a) but for eps: here 1e-5 beside variances of 1e10 and more."""
    case, options = OPTION_CASES[f"{cell} norm"].build(4, 3, 5, 6)
    found = []
    for k in (1e5, 1e7):
        weights = case.weights._replace(Wx=k * case.weights.Wx, Wh=k * case.weights.Wh)
        y, _, _ = kernels.forward(cell, case.x, case.state, weights, backend="reference", **options)
        found.append(y)
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-9)


# Refusals.

H6, TBH = (3, 6), (5, 3, 6)
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("rnn", {"keep_c": 0.5},
     "option keep_c is not one of the rnn; expected activation, keep_h, h_mask, reset"),
    ("jordan", {"keep_h": 0.5}, "option keep_h is not one of the jordan; expected activation, "
     "output_activation, h_mask, reset"),
    ("gru", {"coupled": True},
     "option coupled is not one of the gru; expected reset_after, keep_h, h_mask, reset"),
    ("lstm", {"coupled": 1}, "coupled is 1; expected True or False"),
    ("gru", {"reset_after": "no"}, "reset_after is 'no'; expected True or False"),
    ("jordan", {"output_activation": "elu"},
     "output_activation is 'elu'; expected one of tanh, relu, sigmoid, identity"),
    ("rnn", {"keep_h": 1.5}, "keep_h has values from 1.5 to 1.5; expected 0 to 1"),
    ("rnn", {"keep_h": float("nan")}, "keep_h has values from nan to nan; expected 0 to 1"),
    ("rnn", {"keep_h": np.full(TBH, -0.5)}, "keep_h has values from -0.5 to 0.0; expected 0 to 1"),
    ("rnn", {"keep_h": True}, "keep_h is a bool; expected a number or a NumPy array"),
    ("rnn", {"keep_h": None}, "keep_h is a NoneType; expected a number or a NumPy array"),
    ("gru", {"keep_h": np.zeros(H6)}, "keep_h has shape (3, 6); expected (T, B, H) = (5, 3, 6)"),
    ("gru", {"keep_h": np.zeros(TBH, bool)}, "keep_h is bool; expected float64 as the weights are"),
    ("lstm", {"keep_c": np.zeros((5, 3, 5))}, "keep_c has shape (5, 3, 5); expected (T, B, H) = (5, 3, 6)"),
    ("gru", {"h_mask": np.zeros(TBH)}, "h_mask has shape (5, 3, 6); expected (B, H) = (3, 6)"),
    ("jordan", {"h_mask": np.zeros(H6)}, "h_mask has shape (3, 6); expected (B, P) = (3, 3)"),
    ("gru", {"h_mask": np.zeros(H6, "f")}, "h_mask is float32; expected float64 as the weights are"),
    ("gru", {"h_mask": [1.0]}, "h_mask is a list; expected a NumPy array"),
    ("rnn", {"reset": np.zeros((5, 2), bool)}, "reset has shape (5, 2); expected (T, B) = (5, 3)"),
    ("rnn", {"reset": np.zeros((5, 3), int)}, "reset is int64; expected bool"),
]  # fmt: skip


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize(("cell", "options", "message"), REFUSED, ids=[m for *_, m in REFUSED])
def test_bad_options_are_refused_in_one_line(
    cell: str, options: dict[str, Any], message: str, backend: str
) -> None:
    case = make(cell, 5, 3, 4, 6)
    with pytest.raises(UsageError) as error:
        kernels.forward(cell, case.x, case.state, case.weights, backend=backend, **options)
    assert str(error.value) == message


ROW, UNITS = np.ones(6), np.ones((3, 6))
MISFITS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("gru", {"Wy": UNITS}, {}, "Wy is given; expected None, for the gru has no Wy"),
    ("rnn", {"p": UNITS}, {}, "p is given; expected None, for the rnn has no p"),
    ("lstm", {"by": ROW}, {}, "by is given; expected None, for the lstm has no by"),
    ("rnn", {"gc": ROW, "bc": ROW}, {}, "gc is given; expected None, for the rnn has no gc"),
    ("jordan", {"by": None}, {}, "by is None; expected an array, for the jordan needs it"),
    ("rnn", {"bh": None}, {}, "bh is None; expected an array, for the rnn needs it"),
    ("rnn", {"gx": ROW}, {}, "gh is None; expected gx, gh together (layer norm), or none of them"),
    ("lstm", {"gx": np.ones(24), "gh": np.ones(24)}, {},
     "gc is None; expected gx, gh, gc, bc together (layer norm), or none of them"),
    ("rnn", {"gx": np.ones(5), "gh": ROW}, {}, "gx has shape (5,); expected (G*H,) = (6,)"),
    ("rnn", {"gx": ROW.astype("f"), "gh": ROW}, {}, "gx is float32; expected float64 as Wx is"),
    ("rnn", {"gx": [1.0], "gh": ROW}, {}, "gx is a list; expected a NumPy array"),
    ("lstm", {"p": np.ones((4, 6))}, {}, "p has shape (4, 6); expected (3, H) = (3, 6)"),
    ("lstm", {"Wy": np.ones((2, 6))}, {}, "Wy has shape (2, 6); expected (P, H) = (6, 6)"),
    ("lstm", {"Wy": np.ones((6, 5))}, {}, "Wh has shape (24, 6); expected (G*H, P) = (20, 6)"),
    ("jordan", {"by": np.ones(4)}, {}, "by has shape (4,); expected (P,) = (3,)"),
    ("gru", {"gx": np.ones(18), "gh": np.ones(18)}, {"reset_after": False},
     "gx is given with reset_after=False; expected None: layer norm needs reset_after=True"),
    ("lstm", {"gx": np.ones(24), "gh": np.ones(24), "gc": ROW, "bc": ROW}, {"coupled": True},
     "gx is given with coupled=True; expected None: layer norm needs all four gates"),
]  # fmt: skip


@pytest.mark.parametrize(("cell", "changes", "options", "message"), MISFITS, ids=[m for *_, m in MISFITS])
def test_weights_that_do_not_fit_are_refused_in_one_line(
    cell: str, changes: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    case = make(cell, 5, 3, 4, 6)
    with pytest.raises(UsageError) as error:
        kernels.forward(cell, case.x, case.state, case.weights._replace(**changes), **options)
    assert str(error.value) == message
