"""What the bindings alone must refuse, for the kernels would read or write where they must not."""

from typing import Any

import numpy as np
import pytest

from backtime import kernels
from cases import Case, make

if kernels.available():
    from backtime import _engine

pytestmark = pytest.mark.usefixtures("engine")

T, B, I, H = 3, 2, 4, 5
ALL_OF_THEM = ("tanh", "identity", False, 0.5, 0.5, None, None)


def zeros(*shape: int) -> Any:
    return np.zeros(shape, np.float32)


def layer(cell: str, *extras: str, shape: tuple[int, int, int, int] = (T, B, I, H)) -> Case:
    return make(cell, *shape, dtype=np.float32, extras=extras)


def two(state: tuple[Any, ...]) -> tuple[Any, Any]:
    return (*state, None)[:2]


def forward(cell: str, case: Case, options: tuple[Any, ...] = (), **given: Any) -> list[Any]:
    T, B, P = case.dy.shape
    last = tuple(np.zeros_like(s) for s in case.state)
    direction = (False, *two(case.state), tuple(case.weights), options, *two(last))
    call = {"x": case.x, "directions": [direction], "y": zeros(T, B, P)} | given
    saved = _engine.forward(cell, (T, B), None, call["x"], None, call["directions"], call["y"], True)
    return list(saved or [])


def side(saved: Any, case: Case, options: tuple[Any, ...] = (), dx: Any = None) -> tuple[Any, ...]:
    dweights = tuple(None if w is None else np.zeros_like(w) for w in case.weights)
    return (saved, *two(case.state), tuple(case.weights), options, None, None, dx, None, None, dweights)


@pytest.mark.parametrize("extras", [("norm",), ("Wy",), ("p",)])
def test_what_was_saved_without_a_weight_is_not_read_with_it(extras: tuple[str, ...]) -> None:
    plain, more = (layer("lstm", *names, shape=(T, B, I, 3)) for names in ((), extras))
    for first, second in ((plain, more), (more, plain)):
        [saved] = forward("lstm", first)
        with pytest.raises(ValueError, match=r"saved is of a call with other weights or options"):
            _engine.backward(first.x, None, first.dy, None, [side(saved, second)])


def test_what_was_saved_with_other_options_is_refused() -> None:
    case = layer("lstm")
    [saved] = forward("lstm", case, ALL_OF_THEM)
    _engine.backward(case.x, None, case.dy, None, [side(saved, case, ALL_OF_THEM)])
    for place, other in ((0, "relu"), (2, True), (3, None), (3, 0.25), (4, zeros(T, B, H))):
        options = tuple(other if n == place else option for n, option in enumerate(ALL_OF_THEM))
        with pytest.raises(ValueError, match=r"saved is of a call with other weights or options"):
            _engine.backward(case.x, None, case.dy, None, [side(saved, case, options)])


def test_directions_of_two_cells_or_with_one_dx_are_refused() -> None:
    rnn, gru = layer("rnn"), layer("gru")
    sides = [(forward(cell, case)[0], case) for cell, case in (("rnn", rnn), ("gru", gru))]
    y = zeros(T, B, 2 * H)
    with pytest.raises(ValueError, match="both directions must be of one cell"):
        _engine.backward(rnn.x, None, y, None, [side(*one) for one in sides])
    half = [side(*sides[0], dx=zeros(T, B, I)), side(*sides[0])]
    with pytest.raises(ValueError, match="and have dx or not"):
        _engine.backward(rnn.x, None, y, None, half)


def test_what_is_written_must_not_overlap_anything() -> None:
    case = layer("rnn", shape=(1, B, H, H))
    y, memory = zeros(1, B, H), zeros(3, B, H)
    own = (False, case.state[0], None, tuple(case.weights), ())
    for given, message in [
        ({"y": case.x}, "y overlaps x"),
        ({"y": y, "directions": [(*own, y[0], None)]}, "y overlaps hn"),
        ({"directions": [(*own, case.state[0], None)]}, "hn overlaps h0"),
        ({"y": memory[:1], "directions": [(*own, memory.reshape(-1)[3 : 3 + B * H], None)]}, "y overlaps hn"),
    ]:
        with pytest.raises(ValueError, match=message):
            forward("rnn", case, **given)
    forward("rnn", case, y=memory[:1], directions=[(*own, memory[1], None)])  # beside one another
    [saved] = forward("rnn", case)
    call = list(side(saved, case))
    call[-1] = tuple(call[-1][i] for i in (0, 0, 2, 3))
    with pytest.raises(ValueError, match="dWx overlaps dWh"):
        _engine.backward(case.x, None, case.dy, None, [tuple(call)])


def test_integers_must_not_be_overwritten_while_they_are_read() -> None:
    numbers = np.zeros(8, np.int64)
    memory = numbers.view(np.float32)
    h, Wy, by = zeros(8, H), zeros(3, H), zeros(3)
    with pytest.raises(ValueError, match="losses overlaps targets"):
        _engine.softmax_cross_entropy(h, Wy, by, numbers, None, memory[:8], None, None, None)
    stack = _engine.Stack32("rnn", (), [tuple(layer("rnn").weights)], None, None)
    with pytest.raises(ValueError, match="state overlaps x"):
        stack.step(None, numbers[:2], [memory[: 2 * H].reshape(2, H)], zeros(2, H))


@pytest.mark.parametrize("cell", ["rnn", "gru", "gru_before", "lstm"])
def test_a_stream_may_be_fed_its_own_output(cell: str) -> None:
    """A layer alone writes h where the stream gives its output: not before the input there is read."""
    weights = tuple(layer(cell.removesuffix("_before"), shape=(1, 1, 70, 70)).weights)
    fed, other = (_engine.Stream32(_engine.Stack32(cell, (), [weights], None, None), 2) for _ in range(2))
    x = zeros(2, 70) + 0.5
    for _ in range(3):
        expected = other.step(x.copy())
        x = fed.step(x)
        np.testing.assert_array_equal(x, expected)


def test_an_array_that_is_not_aligned_is_refused() -> None:
    crooked = np.zeros(4 * H + 1, np.uint8)[1:].view(np.float32)
    for x, y in ((crooked, zeros(H)), (zeros(H), crooked)):
        with pytest.raises(ValueError, match=r"^[xy] is not aligned"):
            _engine.elementwise("exp", x, y)
    weights = tuple(layer("gru").weights)
    with pytest.raises(ValueError, match=r"^by is not aligned"):
        _engine.Stack32("gru", (), [weights], zeros(H, H), crooked)


class Copies:
    """Gives a fresh copy each time it is asked for its array, which dies unless the call holds it."""

    def __init__(self, a: Any) -> None:
        self.a = a

    def __dlpack__(self, **_: Any) -> Any:
        return self.a.copy().__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


def test_arrays_made_for_the_call_live_until_its_end() -> None:
    case = layer("lstm", "norm", shape=(T, B, 400, 300))
    expected, found = zeros(T, B, 300), zeros(T, B, 300)
    for y, made in ((expected, np.array), (found, Copies)):
        weights = tuple(None if w is None else made(w) for w in case.weights)
        states = tuple(made(s) for s in case.state)
        last = tuple(np.zeros_like(s) for s in case.state)
        forward("lstm", case, directions=[(False, *states, weights, (), *last)], y=y)
    np.testing.assert_array_equal(found, expected)


def test_a_stream_of_a_size_that_cannot_be_and_a_stack_without_outputs_are_refused() -> None:
    weights = tuple(layer("rnn", shape=(1, 1, I, 1024)).weights)
    stack = _engine.Stack32("rnn", (), [weights], zeros(1, 1024), zeros(1))
    for count in (0, -1, 2**54, 2**62, 2**63 - 1):  # 2^54 times 1024 is 0
        with pytest.raises(ValueError, match=f"B is {count}; expected at least 1"):
            _engine.Stream32(stack, count)
    with pytest.raises(ValueError, match="by is empty"):
        _engine.Stack32("rnn", (), [weights], zeros(0, 1024), zeros(0))


def test_sizes_that_the_weights_do_not_have_are_refused() -> None:
    case = layer("rnn")
    for Wx, Wh in ((zeros(0, I), zeros(0, 2**40)), (case.weights.Wx, case.weights.Wh[:2])):
        weights = (Wx, np.ascontiguousarray(Wh), *case.weights[2:])
        direction = (False, case.state[0], None, weights, (), zeros(B, H), None)
        with pytest.raises(ValueError, match="rows"):
            forward("rnn", case, directions=[direction])


def test_an_array_of_too_many_dimensions_is_refused() -> None:
    with pytest.raises(ValueError, match="more dimensions"):
        _engine.empty32((1,) * 100)
