"""A graph of ONNX in the making: nodes with names given by number, constants kept once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.interchange.onnx import Direction, to_onnx
from backtime.reference.weights import Weights

OPSET = 17
TYPES = {np.dtype(name): name for name in ("float32", "float64", "int64", "int32")}


class Graph:
    """Nodes, constants, inputs and outputs."""

    def __init__(self) -> None:
        """Empty."""
        import onnx

        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.notes: dict[str, str] = {}  # for the metadata of the file

    def input(self, name: str, dtype: Any, shape: Sequence[int | str]) -> str:
        """An input; a text in ``shape`` is an axis of any length."""
        self.inputs.append(self._value(name, dtype, shape))
        return name

    def output(self, value: str, name: str, dtype: Any, shape: Sequence[int | str]) -> None:
        """``value`` goes out under ``name``."""
        self.nodes.append(self.onnx.helper.make_node("Identity", [value], [name]))
        self.outputs.append(self._value(name, dtype, shape))

    def constant(self, value: Any) -> str:
        """An array that is part of the file."""
        name = f"c{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def numbers(self, *values: int, shape: tuple[int, ...] = (1,)) -> list[str]:
        """Whole numbers, each an array of its own."""
        return [self.constant(np.full(shape, value)) for value in values]

    def op(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output."""
        return self.ops(operator, inputs, 1, **attributes)[0]

    def ops(self, operator: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> list[str]:
        """A node with some outputs; an input that is not there is an empty text."""
        names = [f"v{len(self.nodes)}_{n}" for n in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(operator, list(inputs), names, **attributes))
        return names

    def linear(self, x: str, W: NDArray[Any], b: NDArray[Any]) -> str:
        """``x W^T + b``."""
        return self.op("Add", self.op("MatMul", x, self.constant(W.T)), self.constant(b))

    def layer(
        self, cell: str, options: dict[str, Any], each: list[Weights], x: str, lengths: str, start: list[str]
    ) -> tuple[str, list[str]]:
        """One layer of one or both directions: y (T, B, D H), and the last states (D, B, H).

        ``lengths`` is empty where all steps are there, ``start`` where the layer begins with zeros.
        """
        directions = [
            Direction(own, options, reverse) for own, reverse in zip(each, (False, True), strict=False)
        ]
        operator, parts, attributes = to_onnx(cell, directions)
        weights = [self.constant(parts[name]) for name in ("W", "R", "B")]
        states = [*start, "", ""][: 2 if cell == "lstm" else 1]
        Y, *last = self.ops(operator, [x, *weights, lengths, *states], 1 + len(states), **attributes)
        turned = self.op("Transpose", Y, perm=[0, 2, 1, 3])  # (T, D, B, H) to (T, B, D, H)
        return self.op("Reshape", turned, self.constant(np.array([0, 0, -1]))), last

    def bytes(self, name: str, notes: dict[str, str]) -> bytes:
        """The whole file, checked by ONNX's own checker."""
        helper = self.onnx.helper
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="backtime"
        )
        model.ir_version = 8
        for key, value in (notes | self.notes).items():
            entry = model.metadata_props.add()
            entry.key, entry.value = key, value
        self.onnx.checker.check_model(model, full_check=True)
        found: bytes = model.SerializeToString()
        return found

    def _value(self, name: str, dtype: Any, shape: Sequence[int | str]) -> Any:
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.onnx.helper.make_tensor_value_info(name, kind, shape)
