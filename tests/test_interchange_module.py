"""A PyTorch module with layers of backtime as an ONNX file that was run and compared."""

from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from backtime import nn
from backtime.errors import UsageError
from backtime.interchange import to_onnx, torch_to_onnx
from export_models import H


class Ragged(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, H, num_layers=2, bidirectional=True)
        self.head = torch.nn.Linear(2 * H, 2)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x, lengths=lengths)[0])  # type: ignore[no-any-return]


def test_a_module_is_exported_run_and_kept(tmp_path: Path) -> None:
    torch.manual_seed(0)
    own, out = Ragged(), tmp_path / "module.onnx"
    example = torch.randn(6, 3, 3), torch.tensor([6, 2, 4])
    bigger = torch.randn(11, 5, 3), torch.tensor([1, 11, 3, 2, 9])
    assert to_onnx(own, example, out, others=[bigger]) < 1e-5
    assert own.training
    assert [node.op_type for node in onnx.load(out).graph.node].count("LSTM") == 2


def test_a_module_that_differs_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = torch_to_onnx._exported

    def spoiled(own: torch.nn.Module, *arguments: Any) -> bytes:
        with torch.no_grad():
            own.head.bias += 0.1  # type: ignore[operator, union-attr]
            found = exported(own, *arguments)
            own.head.bias -= 0.1  # type: ignore[operator, union-attr]
        return found

    monkeypatch.setattr(torch_to_onnx, "_exported", spoiled)
    with pytest.raises(UsageError, match="ONNX Runtime and the module differ"):
        to_onnx(Ragged(), (torch.randn(6, 3, 3), torch.tensor([6, 2, 4])), tmp_path / "module.onnx")
    assert not list(tmp_path.iterdir())


def test_a_module_frozen_at_its_example_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other sizes are tried without being asked for."""
    exported = torch_to_onnx._exported
    monkeypatch.setattr(torch_to_onnx, "_exported", lambda own, given, shapes: exported(own, given, None))
    with pytest.raises(UsageError, match=r"does not run the file on arguments of \(1, 1, 3\), \(1,\)"):
        to_onnx(Ragged(), (torch.randn(6, 3, 3), torch.tensor([6, 2, 4])), tmp_path / "module.onnx")
    assert not list(tmp_path.iterdir())
