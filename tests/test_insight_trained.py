"""The verdict on models that were trained on a real text and on a series, and learned: nothing alarming."""

import json
import math
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtime.cli.main import main


def verdict(run: Path, capsys: Any, *flags: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["flow", str(run), "--json", *flags]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)["verdict"]
    return found


def sources(to: Path, size: int) -> Path:
    """Python's own sources: the beginning of its library, file by file."""
    text = ""
    for file in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text += file.read_text("utf-8", "ignore")
        if len(text) > size:
            break
    to.write_text("".join(c for c in text if c.isascii()))
    return to


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_model_of_python_sources_is_healthy(cell: str, tmp_path: Path, capsys: Any) -> None:
    text = sources(tmp_path / "sources.txt", 400_000)
    words = f"--cell {cell} --hidden-size 64 --layers 1 --seq-length 64 --batch-size 32 --max-steps 400"
    assert main(["train", str(text), *words.split(), "--quiet", "--out", str(tmp_path / "run")]) == 0
    found = verdict(tmp_path / "run", capsys)
    assert found["findings"] == [], found["line"]


@pytest.mark.slow
def test_the_same_with_its_forget_gates_shut_is_ill(tmp_path: Path, capsys: Any) -> None:
    """The check can fail: a trained model whose forget gates are shut afterwards."""
    import torch

    from backtime.models.saving import load_model, save_model

    text = sources(tmp_path / "sources.txt", 100_000)
    words = "--cell lstm --hidden-size 32 --layers 1 --seq-length 32 --batch-size 16 --max-steps 60"
    assert main(["train", str(text), *words.split(), "--quiet", "--out", str(tmp_path / "run")]) == 0
    model, file = load_model(tmp_path / "run")
    with torch.no_grad():
        model.rnn.bias_ih_l0[32:64] = -8.0
        model.rnn.weight_hh_l0 *= 0.2
    save_model(tmp_path / "ill.safetensors", model, file.task, file.encoding)
    found = verdict(tmp_path / "ill.safetensors", capsys, "--data", str(text))
    assert [own["illness"] for own in found["findings"]] == ["vanishing"], found["line"]


@pytest.mark.slow
def test_a_forecaster_of_a_generated_series_is_healthy(tmp_path: Path, capsys: Any) -> None:
    begin, rows = np.datetime64("2020-01-01T00:00"), []
    for hour in range(24 * 60):
        value = math.sin(hour * math.tau / 24) + 0.5 * math.sin(hour * math.tau / 168)
        rows.append(f"{begin + np.timedelta64(hour, 'h')},{value:.4f}")
    (tmp_path / "load.csv").write_text("time,load\n" + "\n".join(rows) + "\n")
    words = "--task forecast --lookback 48 --horizon 12 --hidden-size 32 --max-steps 300"
    run = tmp_path / "run"
    assert main(["train", str(tmp_path / "load.csv"), *words.split(), "--quiet", "--out", str(run)]) == 0
    found = verdict(run, capsys)
    assert found["findings"] == [], found["line"]
