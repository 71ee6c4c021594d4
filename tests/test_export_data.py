"""A file is tried on real data of every task: named by the user, or known to the folder of the run."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtime.cli.main import main
from backtime.errors import UsageError
from backtime.export import export
from backtime.export.onnx import checks
from backtime.export.trials.numbering import NUMBERINGS
from backtime.export.trials.records import SIZES, _spread, recorded
from backtime.models.config import NETWORKS
from backtime.models.file import read_model
from backtime.tasks import runs
from test_damaged_tasks import SAMPLES, Sample

EVERY = {
    **SAMPLES,
    "language": Sample("text.txt", lambda path: path.write_text("to be or not\n" * 40), "--seq-length 5"),
}
SHORT = "--hidden-size 4 --batch-size 4 --max-steps 3 --validation-fraction 0.2 --quiet"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of three steps of every task, each in a folder of its name beside its data."""
    folder = tmp_path_factory.mktemp("desk")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "draw_curves", lambda *parts: None)
        for task, sample in EVERY.items():
            (folder / task).mkdir()
            sample.write(folder / task / sample.file)
            words = ["train", str(folder / task / sample.file), "--task", task, *SHORT.split()]
            assert main([*words, *sample.options.split(), "--out", str(folder / task / "run")]) == 0
    yield folder


def exported(model: Path, *words: Any) -> int:
    out = model.parent / "out.onnx"
    return main(["export", str(model), "--to", "onnx", "--out", str(out), *map(str, words)])


@pytest.mark.parametrize("task", EVERY)
def test_the_data_of_the_run_are_found(task: str, desk: Path, capsys: Any) -> None:
    assert exported(desk / task / "run") == 0
    drawn, real, *written = capsys.readouterr().out.splitlines()
    source = desk / task / ("run" if task == "language" else EVERY[task].file)
    assert drawn.startswith(
        "ONNX Runtime agrees on random inputs, in batches of 1, 3 and 4: the largest difference is "
    )
    found = re.match(
        rf"ONNX Runtime agrees on (\d+) sequences? of {source}(?:, of \d+ to \d+ steps)?, "
        r"in batches of 1, 3 and 8: the largest difference is (\S+), of outputs up to (\S+)",
        real,
    )
    assert found and int(found[1]) > 1 and float(found[2]) < 1e-5
    assert all(Path(line.split()[1]).is_file() for line in written)
    assert len(written) == (2 if task in ("translate", "caption") else 1)


@pytest.mark.parametrize("task", EVERY)
def test_data_are_named(task: str, desk: Path, tmp_path: Path, capsys: Any) -> None:
    model = tmp_path / "own.safetensors"
    shutil.copy(desk / task / "run" / "best" / "model.safetensors", model)
    assert exported(model) == 0
    assert "no --data: tried on random inputs alone" in capsys.readouterr().out
    assert exported(model, "--data", desk / task / EVERY[task].file) == 0
    assert f" of {desk / task / EVERY[task].file}, " in capsys.readouterr().out
    for wrong in (tmp_path / "absent", tmp_path / "empty.csv"):
        (tmp_path / "empty.csv").touch()
        (tmp_path / "out.onnx").unlink(missing_ok=True)
        assert exported(model, "--data", wrong) == 2
        error = capsys.readouterr().err
        assert error.startswith("backtime: ") and error.count("\n") == 1 and wrong.name in error
        assert not (tmp_path / "out.onnx").exists()


WRONG = [("classify", "translate"), ("tag", "classify"), ("forecast", "classify"), ("music", "language")]
WRONG += [("recommend", "forecast"), ("caption", "music"), ("transcribe", "tag"), ("language", "caption")]


@pytest.mark.parametrize(("task", "other"), WRONG)
def test_data_of_another_task_are_one_line(task: str, other: str, desk: Path, capsys: Any) -> None:
    for left in (desk / task).glob("out*"):
        left.unlink()
    assert exported(desk / task / "run", "--data", desk / other / EVERY[other].file) == 2
    error = capsys.readouterr().err
    assert error.startswith("backtime: ") and error.count("\n") == 1
    assert not list((desk / task).glob("out*"))


@pytest.mark.parametrize("what", ["gone", "changed"])
def test_a_run_whose_data_are_gone_says_so(what: str, desk: Path, tmp_path: Path, capsys: Any) -> None:
    shutil.copytree(desk / "classify", tmp_path, dirs_exist_ok=True)
    config, data = tmp_path / "run" / "config.json", tmp_path / "reviews.csv"
    config.write_text(config.read_text().replace(str(desk / "classify"), str(tmp_path)))
    data.unlink() if what == "gone" else data.write_text("something,else\n1,2\n")
    assert exported(tmp_path / "run") == 0
    first, second, _ = capsys.readouterr().out.splitlines()
    assert (
        first.startswith("tried on random inputs alone, for the data of the training ") and str(data) in first
    )
    assert second.startswith("ONNX Runtime agrees on random inputs, ")


@pytest.mark.parametrize("task", EVERY)
def test_batches_are_of_several_sizes_and_ragged(task: str, desk: Path) -> None:
    """Images alone cannot be of different lengths."""
    trial = recorded(read_model(desk / task / "run"), desk / task / EVERY[task].file)
    assert [len(batch) for batch in trial.batches] == list(SIZES)
    lengths = [{len(own[0] if isinstance(own, tuple) else own) for own in batch} for batch in trial.batches]
    assert task == "caption" or max(map(len, lengths)) > 1


def test_the_sequences_are_those_of_the_file(desk: Path) -> None:
    """What is tried is what the model reads of these records, not anything of that shape."""
    model = read_model(desk / "classify" / "run")
    symbols = model.encoding["symbols"]["symbols"]
    trial = recorded(model, desk / "classify" / "reviews.csv")
    words = [[symbols[n] for n in own] for batch in trial.batches for own in batch]
    assert words[0] == ["a", "good", "film", "0"] and words[-1] == ["a", "bad"]
    assert set(NUMBERINGS) == set(NETWORKS)


@pytest.mark.parametrize("count", [0, 1, 5, 12, 47, 48, 1000, 99_999])
def test_records_come_from_all_over_the_data(count: int) -> None:
    found = _spread(iter(range(count)), 12)
    assert len(found) == min(count, 12) and sorted(set(found)) == found
    assert not found or (found[0] == 0 and found[-1] >= 0.9 * (count - 1))
    gaps = np.diff(found)
    assert not gaps.size or gaps.max() <= 3 * gaps.min() + 3


def test_a_difference_on_real_data_alone_leaves_no_file(
    desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is right on random inputs and wrong on what is in the data is not kept."""
    model, built = read_model(desk / "forecast" / "run"), checks.session
    trial = recorded(model, desk / "forecast" / "load.csv")
    real = {own.tobytes() for batch in trial.batches for own, _ in batch}

    def spoiled(content: bytes) -> Any:
        run = built(content)

        def other(given: dict[str, Any]) -> Any:
            is_real = np.ascontiguousarray(given["x"][: given["lengths"][0], 0]).tobytes() in real
            return {name: value + 1e-2 * is_real for name, value in run(given).items()}

        return other

    monkeypatch.setattr(checks, "session", spoiled)
    export(model, "onnx", tmp_path / "drawn.onnx")
    with pytest.raises(
        UsageError, match=r"on 12 sequences of .*load\.csv.* differ by 0\.01, .*no file is written"
    ):
        export(model, "onnx", tmp_path / "real.onnx", [trial])
    assert [path.name for path in tmp_path.iterdir()] == ["drawn.onnx"]


@pytest.mark.parametrize("form", ["c", "torch", "keras", "rtneural"])
def test_the_other_formats_are_tried_on_data_too(form: str, desk: Path, tmp_path: Path, capsys: Any) -> None:
    words = ["export", str(desk / "language" / "run"), "--to", form, "--out", str(tmp_path / f"own.{form}")]
    assert main(words) == 0
    assert len(re.findall("on .*: the largest difference is", capsys.readouterr().out)) == 2
