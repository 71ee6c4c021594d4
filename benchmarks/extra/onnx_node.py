"""The peer ONNX Runtime: a model of a single RNN, GRU or LSTM node. It has no training."""

from collections.abc import Callable

import numpy as np
import onnxruntime
from onnx import TensorProto, checker, helper, numpy_helper

from benchmarks.peers import GATES

OPSET, IR = 17, 8  # old enough for every ONNX Runtime that is still in use
# ONNX's order of the gates, each by its number in torch's (LSTM i f g o, GRU r z n):
ORDER = {"rnn": (0,), "gru": (1, 0, 2), "lstm": (0, 3, 1, 2)}  # GRU z r h, LSTM i o f c
Weights = tuple[np.ndarray, ...]  # Wx, Wh, bx, bh


def reorder(cell: str, a: np.ndarray) -> np.ndarray:
    """The blocks of rows of the gates in ONNX's order."""
    return np.concatenate([np.split(a, GATES[cell])[gate] for gate in ORDER[cell]])


def make_model(cell: str, weights: Weights) -> bytes:
    """x (T, B, I) and the state, (1, B, H) each, to y (T, 1, B, H) and the state after the last step."""
    Wx, Wh, bx, bh = (reorder(cell, a) for a in weights[:4])
    H, I = weights[1].shape[1], weights[0].shape[1]
    constants = {"W": Wx[None], "R": Wh[None], "bias": np.concatenate([bx, bh])[None]}
    states = ["h", "c"] if cell == "lstm" else ["h"]
    options = {"linear_before_reset": 1} if cell == "gru" else {}  # torch's form of the reset gate
    node = helper.make_node(
        cell.upper(),
        ["x", "W", "R", "bias", "", *(f"{s}0" for s in states)],
        ["y", *(f"{s}n" for s in states)],
        hidden_size=H,
        **options,
    )

    def value(name: str, *shape: str | int) -> object:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        [node],
        cell,
        [value("x", "T", "B", I), *(value(f"{s}0", 1, "B", H) for s in states)],
        [value("y", "T", 1, "B", H), *(value(f"{s}n", 1, "B", H) for s in states)],
        [numpy_helper.from_array(a, name) for name, a in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    checker.check_model(model)
    return model.SerializeToString()


def make_session(cell: str, weights: Weights, threads: int | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0  # 0: as many as there are cores
    options.inter_op_num_threads = 1
    # As it comes it spins on for tens of milliseconds after a run, into the turns of the other sides.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(
        make_model(cell, weights), options, providers=["CPUExecutionProvider"]
    )


def zero_state(cell: str, B: int, H: int) -> dict[str, np.ndarray]:
    """The model's inputs for a state of zeros."""
    return {f"{s}0": np.zeros((1, B, H), np.float32) for s in ("hc" if cell == "lstm" else "h")}


def inference(
    cell: str, x: np.ndarray, weights: Weights, threads: int | None = None
) -> Callable[[], np.ndarray]:
    """A call that gives y (T, B, H)."""
    session = make_session(cell, weights, threads)
    inputs = {"x": x, **zero_state(cell, x.shape[1], weights[1].shape[1])}
    return lambda: session.run(["y"], inputs)[0][:, 0]
