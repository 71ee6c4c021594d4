"""What every format has in common: what cannot be, what is not finite, the command."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtime.cli.main import main
from backtime.errors import UsageError
from backtime.export import FORMATS, c_check, export
from backtime.interchange.agreement import agreement
from backtime.models.file import write_model
from export_models import ALIGNED, CELLS, language, other


@pytest.mark.parametrize(
    ("form", "model", "line"),
    [
        ("c", lambda: other("tagger"), "cannot be exported to c; it reads words and their letters"),
        ("c", lambda: other("encoder-decoder"), "it has an encoder and a decoder: expected --to onnx"),
        ("keras", lambda: other("captioner"), "it has an encoder and a decoder: expected --to onnx"),
        ("rtneural", lambda: other("similarity"), "it gives a vector for each text: expected --to onnx"),
        ("c", lambda: other("reader both ways"), "in both directions cannot be exported to c"),
        ("c", lambda: other("reader mean"), "its pooling looks at all steps"),
        ("keras", lambda: other("forecaster with known columns"), "columns that are known ahead"),
        ("torch", lambda: language(CELLS[2], ALIGNED[0]), "resets before the product"),
        ("torch", lambda: language(CELLS[5], ALIGNED[0]), "activation is sigmoid"),
        ("rtneural", lambda: language(CELLS[3], ALIGNED[0]), "the cell is rnn"),
        ("rtneural", lambda: language(CELLS[2], ALIGNED[0]), "resets before the product"),
        ("rtneural", lambda: language(CELLS[0], ALIGNED[1]), "has an embedding"),
        (
            "onnx",
            lambda: language({"cell": "rnn", "activation": "identity"}, ALIGNED[0]),
            "activation is identity",
        ),
        ("tensorflow", lambda: other("piano"), "--to tensorflow; expected one of onnx, c, torch"),
    ],
)
def test_what_a_format_has_no_place_for_is_named(form: str, model: Any, line: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=line):
        export(model(), form, tmp_path / "model.c")
    assert not list(tmp_path.iterdir())


def test_the_command(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_model("book.safetensors", language({"cell": "lstm"}, ALIGNED[0]))
    assert main(["export", "book.safetensors", "--to", "onnx"]) == 0
    assert "ONNX Runtime agrees" in capsys.readouterr().out and Path("book.onnx").is_file()
    assert main(["export", "book.safetensors", "--to", "onnx", "--int8"]) == 2
    assert main(["export", "nowhere", "--to", "c"]) == 2
    assert main(["export", "book.safetensors", "--to", "c", "--out", "no/such/book.c"]) == 2
    assert all(line.startswith("backtime: ") for line in capsys.readouterr().err.splitlines())


def test_a_nan_in_a_later_pair_is_not_lost() -> None:
    good = np.ones(3), np.ones(3) + 1e-6
    assert agreement([good, good], "both")[0] == pytest.approx(1e-6, rel=1e-3)
    for bad in (np.array([0.0, np.nan, 0.0]), np.array([0.0, np.inf, 0.0]), np.ones(3) + 3e-4):
        for pairs in ([good, (np.ones(3), bad)], [(bad, np.ones(3)), good]):
            with pytest.raises(UsageError, match="no file is written"):
                agreement(pairs, "both")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(
    form: str, bad: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no C compiler to object too."""
    monkeypatch.setattr(c_check.shutil, "which", lambda name: None)
    model = language({"cell": "lstm"}, ALIGNED[0])
    model.tensors["rnn.weight_hh_l1"][0, 0] = bad
    with pytest.raises(UsageError, match=r"tensor rnn\.weight_hh_l1 has numbers that are not finite"):
        export(model, form, tmp_path / f"net{FORMATS[form].ending}")
    assert not list(tmp_path.iterdir())
