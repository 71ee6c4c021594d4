"""What the engine promises beyond agreement with the reference: the same bits in any surroundings."""

import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from backtime import UsageError, kernels
from backtime.reference.weights import Weights, each

pytestmark = pytest.mark.skipif(not kernels.available(), reason="the engine is not built")

CELLS = ("rnn", "gru", "lstm")


@pytest.fixture(autouse=True)
def threads_as_before():
    before = kernels.engine_info()["threads"]
    yield
    kernels.set_threads(before)


def layer(cell, I, H, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    G = kernels.GATES[cell]
    shapes = ((G * H, I), (G * H, H), (G * H,), (G * H,))
    return Weights(*((rng.uniform(-1, 1, s) / np.sqrt(H)).astype(dtype) for s in shapes))


def call(cell, T, B, I, H, dtype=np.float32, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((T, B, I)).astype(dtype)
    state = tuple(rng.standard_normal((B, H)).astype(dtype) for _ in range(2 if cell == "lstm" else 1))
    return x, state, layer(cell, I, H, dtype)


def everything(cell, x, state, weights):
    """All that a training step computes, as one list of arrays."""
    y, last, tape = kernels.forward(cell, x, state, weights, backend="native")
    dy = np.cos(np.arange(y.size, dtype=y.dtype)).reshape(y.shape)
    dx, dstate, dweights = kernels.backward(tape, dy, last)
    return [y, *last, dx, *dstate, *dweights[:4]]


def same(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("sizes", [(20, 1, 70, 200), (9, 5, 33, 65), (6, 40, 16, 64), (3, 130, 20, 48)])
def test_bits_do_not_depend_on_the_number_of_threads(cell, sizes):
    found = []
    for threads in (1, 2, 3, 5):
        kernels.set_threads(threads)
        found.append(everything(cell, *call(cell, *sizes)))
    assert all(same(found[0], other) for other in found[1:])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("H", [24, 50, 135])  # weights in a first cache; only the rnn's; none
def test_bits_do_not_depend_on_the_batch_around_a_sequence(cell, H):
    x, state, weights = call(cell, 7, 45, 19, H)
    whole = kernels.forward(cell, x, state, weights, backend="native")[0]
    for rows in ([0], [44], [3, 17, 40], list(range(20)), list(range(45))[::-1]):
        part = kernels.forward(
            cell, x[:, rows].copy(), tuple(s[rows] for s in state), weights, backend="native"
        )[0]
        assert np.array_equal(part, whole[:, rows])


@pytest.mark.parametrize("cell", CELLS)
def test_bits_do_not_depend_on_how_a_sequence_is_cut(cell):
    x, state, weights = call(cell, 23, 3, 19, 50)
    whole, end, _ = kernels.forward(cell, x, state, weights, backend="native")
    pieces = []
    for begin, stop in ((0, 1), (1, 8), (8, 9), (9, 23)):
        y, state, _ = kernels.forward(cell, x[begin:stop], state, weights, save=False, backend="native")
        pieces.append(y)
    assert np.array_equal(np.concatenate(pieces), whole)
    assert same(end, state)


@pytest.mark.parametrize("cell", CELLS)
def test_one_hot_integers_and_their_vectors_give_the_same_bits(cell):
    _, state, weights = call(cell, 6, 4, 30, 40)
    tokens = np.random.default_rng(3).integers(0, 30, (6, 4))
    vectors = np.eye(30, dtype=np.float32)[tokens]
    by_tokens = kernels.forward(cell, tokens, state, weights, backend="native")[0]
    assert np.array_equal(by_tokens, kernels.forward(cell, vectors, state, weights, backend="native")[0])


@pytest.mark.parametrize("cell", CELLS)
def test_a_stack_streams_the_bits_of_a_whole_sequence(cell):
    layers = [layer(cell, 11, 24, seed=1), layer(cell, 24, 24, seed=2)]
    Wy, by = np.eye(24, dtype=np.float32), np.zeros(24, np.float32)
    x = np.random.default_rng(4).standard_normal((12, 2, 11)).astype(np.float32)
    y = x
    for weights in layers:
        y = kernels.forward(cell, y, None, weights, backend="native")[0]
    stack = kernels.Stack(layers, cell, Wy, by, backend="native")
    state = stack.zero_state(2)
    assert all(np.array_equal(stack.step(x[t], state), y[t]) for t in range(12))


def test_the_loss_has_the_same_bits_at_any_number_of_threads():
    rng = np.random.default_rng(5)
    h, Wy = rng.standard_normal((300, 40)).astype("f"), rng.standard_normal((3000, 40)).astype("f")
    targets, by = rng.integers(0, 3000, 300), np.zeros(3000, "f")
    found = []
    for threads in (1, 2, 3, 5):
        kernels.set_threads(threads)
        losses, grads = kernels.softmax_cross_entropy(h, Wy, by, targets, backend="native")
        found.append([losses, *grads])
    assert all(same(found[0], other) for other in found[1:])


def test_arrays_that_are_not_contiguous_or_not_writable():
    x, state, weights = call("lstm", 5, 6, 7, 9)
    expected = everything("lstm", x, state, weights)
    strided = np.asfortranarray(x)
    strided.flags.writeable = False
    turned = Weights(*(np.asfortranarray(w) for w in weights[:4]))
    assert same(everything("lstm", strided, tuple(np.asfortranarray(s) for s in state), turned), expected)


@pytest.mark.parametrize("cell", CELLS)
def test_nan_stays_in_its_sequence_and_reaches_its_output(cell):
    x, state, weights = call(cell, 6, 9, 5, 20)
    clean = kernels.forward(cell, x, state, weights, backend="native")[0]
    x[2, 4, 0] = np.nan
    y = kernels.forward(cell, x, state, weights, backend="native")[0]
    others = [b for b in range(9) if b != 4]
    assert np.isnan(y[2:, 4]).all()
    assert np.array_equal(y[:, others], clean[:, others])


def test_empty_sequences_and_batches():
    for T, B in ((0, 3), (4, 0)):
        x, state, weights = call("gru", T, B, 5, 8)
        y, last, tape = kernels.forward("gru", x, state, weights)
        dx, dstate, dweights = kernels.backward(tape, np.ones_like(y), last)
        assert y.shape == (T, B, 8)
        assert dx.shape == x.shape
        assert same(last, state)
        assert same(dstate, state)
        assert not any(w.any() for w in dweights[:4])


def test_what_the_engine_cannot_do_is_said_by_name():
    x, _, weights = call("gru", 2, 2, 3, 4)
    half = [each(lambda a: a.astype(np.float16), weights), x.astype(np.float16)]
    with pytest.raises(UsageError, match="dtype float16 is neither float32 nor float64"):
        kernels.forward("gru", half[1], None, half[0], backend="native")
    assert kernels.forward("gru", half[1], None, half[0])[2].backend == "reference"
    with pytest.raises(UsageError, match=r"x has values from -1 to 2; expected 0 to I - 1 = 2"):
        kernels.forward("gru", np.array([[-1, 2]]), None, weights, backend="native")


def test_python_threads_at_once_get_their_own_answers():
    calls = [call(cell, 30, 8, 16, 32, seed=s) for s in range(4) for cell in CELLS]
    cells = [cell for _ in range(4) for cell in CELLS]
    expected = [everything(cell, *c) for cell, c in zip(cells, calls, strict=True)]
    wrong = []

    def work(n):
        for _ in range(10):
            if not same(everything(cells[n], *calls[n]), expected[n]):
                wrong.append(n)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not any(worker.is_alive() for worker in workers)
    assert not wrong


def _child(queue):
    queue.put(kernels.forward(*_question())[0])


def _question():
    return ("lstm", *call("lstm", 10, 40, 16, 64))


@pytest.mark.filterwarnings("ignore:os.fork")  # and JAX, where a test of the benchmarks has imported it
@pytest.mark.filterwarnings("ignore:This process")  # Python warns of fork with threads: that is the test
def test_the_team_survives_fork():
    kernels.set_threads(2)
    expected = kernels.forward(*_question())[0]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_child, args=(queue,))
    child.start()
    assert np.array_equal(queue.get(timeout=30), expected)
    child.join(30)
    assert child.exitcode == 0
    assert np.array_equal(kernels.forward(*_question())[0], expected)


SMALL = """
import numpy as np
from backtime import kernels
from tests.test_engine import everything, call, CELLS
assert kernels.engine_info()["isa"] == "{isa}"
for dtype in (np.float32, np.float64):
    for cell in CELLS:
        for sizes in ((1, 1, 1, 1), (3, 7, 5, 17), (4, 26, 33, 40)):
            x, state, weights = call(cell, *sizes, dtype)
            y, last, tape = kernels.forward(cell, x, state, weights, backend="reference")
            dy = np.cos(np.arange(y.size, dtype=y.dtype)).reshape(y.shape)
            dx, dstate, dweights = kernels.backward(tape, dy, last)
            found = everything(cell, x, state, weights)
            for a, b in zip(found, [y, *last, dx, *dstate, *dweights[:4]], strict=True):
                size = max(1, np.abs(b).max())
                np.testing.assert_allclose(a, b, rtol=0, atol=100 * np.finfo(dtype).eps * size)
"""


def run_with(isa, program):
    environment = {
        **os.environ,
        "BACKTIME_ISA": isa,
        "PYTHONPATH": os.pathsep.join(p for p in (str(Path(__file__).parents[1]), *sys.path) if p),
    }
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_agrees_with_the_reference(isa):
    done = run_with(isa, SMALL.format(isa=isa))
    if "expected one that this machine has" in done.stderr:
        pytest.skip(f"this machine has no {isa}")
    assert done.returncode == 0, done.stderr


def test_an_unknown_instruction_set_is_refused():
    done = run_with("mmx", "import backtime.kernels")
    assert done.returncode != 0
    assert "BACKTIME_ISA is 'mmx'; expected one that this machine has" in done.stderr


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_arguments_are_refused_alike_whoever_answers(backend):
    x, state, weights = call("lstm", 2, 2, 3, 4)
    for cell, arguments, options, message in [
        ("lstm", (x.tolist(), state, weights), {}, "x is a list; expected a NumPy array"),
        ("lstm", (x, state, tuple(weights)), {}, r"weights is a tuple; expected Weights\(Wx, Wh, bx, bh\)"),
        ("elman", (x, state, weights), {}, "cell is 'elman'; expected one of rnn, gru, lstm, jordan"),
        ("lstm", (x, state, weights), {"activation": "relu"}, "option activation is not one of the lstm"),
        (
            "rnn",
            call("rnn", 2, 2, 3, 4),
            {"activation": "softplus"},
            "activation is 'softplus'; expected one",
        ),
    ]:
        with pytest.raises(UsageError, match=message):
            kernels.forward(cell, *arguments, backend=backend, **options)
    with pytest.raises(UsageError, match="h is a list; expected a NumPy array"):
        kernels.softmax_cross_entropy([[1.0]], weights.Wx, weights.bx, np.zeros(1, int), backend=backend)
