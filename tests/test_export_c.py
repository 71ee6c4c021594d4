"""C files: compiled as a library and called step by step by the test itself."""

import ctypes
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtime.cli.main import main
from backtime.errors import UsageError
from backtime.export import c_check, c_code, c_int8, export
from backtime.export.chain import chain_of
from backtime.export.trials.drawn import drawn
from backtime.models.config import LanguageConfig
from backtime.models.file import ModelFile, write_model
from export_models import ALIGNED, CELLS, LAYERS, H, V, language, model_of, other

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")


def c_steps(model: ModelFile, folder: Path, x: Any, int8: bool = False) -> Any:
    """The outputs of each step of the exported file, compiled as a library and called from Python."""
    export(model, "c", folder / "net.c", **({"int8": True} if int8 else {}))
    strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2", "-shared", "-fPIC"]
    subprocess.run(["gcc", *strict, "net.c", "-o", "net.so", "-lm"], cwd=folder, check=True)
    library, chain = ctypes.CDLL(str(folder / "net.so")), chain_of(model, "c")
    state, out = (ctypes.c_float * (4 * LAYERS * H))(), (ctypes.c_float * len(chain.by))()
    library.net_init(state)
    rows = []
    for row in x:
        given = int(row) if chain.symbols else np.ascontiguousarray(row, np.float32).ctypes
        library.net_step(state, given if chain.symbols else given.data_as(ctypes.c_void_p), out)
        rows.append(list(out))
    return np.array(rows)


@needs_gcc
@pytest.mark.parametrize("way_in", ALIGNED, ids=["one-hot", "embedding", "tied"])
@pytest.mark.parametrize("cell", [*CELLS, {"cell": "rnn", "activation": "identity"}], ids=str)
def test_c_step_by_step(cell: dict[str, Any], way_in: dict[str, Any], tmp_path: Path) -> None:
    model = language(cell, way_in)
    tokens = np.random.default_rng(3).integers(0, V, 15)
    ours = chain_of(model, "c").run(tokens)
    np.testing.assert_allclose(c_steps(model, tmp_path, tokens), ours, rtol=2e-5, atol=2e-5)
    text = (tmp_path / "net.c").read_text()
    assert "malloc" not in text and "double" not in text


@needs_gcc
@pytest.mark.parametrize("name", ["piano", "forecaster", "recursive forecaster", "reader of symbols"])
def test_c_of_other_networks(name: str, tmp_path: Path) -> None:
    model = other(name)
    chain = chain_of(model, "c")
    x = drawn(model).plain()[-1][:9]
    np.testing.assert_allclose(c_steps(model, tmp_path, x), c_check.expected(chain, x), atol=2e-5)


@needs_gcc
def test_int8_is_a_quarter_of_the_size_and_says_what_it_costs(tmp_path: Path) -> None:
    config = LanguageConfig("lstm", 64, 2, V)
    model = model_of(config)
    lines = export(model, "c", tmp_path / "net.c", int8=True)
    assert any(line.startswith("int8 on random inputs: outputs differ by up to ") for line in lines)
    sizes = [c_code.generate(chain_of(model, "c"), "net", int8).constants for int8 in (False, True)]
    assert sizes[1] < 0.3 * sizes[0]
    tokens = np.arange(V)
    exact, rounded = (chain_of(own, "c").run(tokens) for own in (model, c_int8.quantised(model)))
    assert 0 < np.abs(exact - rounded).max() < 0.1 * np.abs(exact).max()


@needs_gcc
def test_a_wrong_c_file_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(c_code.CELLS, "lstm", c_code.CELLS["lstm"].replace("f * c[n]", "0.9f * f * c[n]"))
    with pytest.raises(UsageError, match="no file is written"):
        export(language({"cell": "lstm"}, ALIGNED[0]), "c", tmp_path / "net.c")
    monkeypatch.setitem(c_code.CELLS, "lstm", c_code.CELLS["lstm"] + "int unused(void) { int n; return 0; }")
    with pytest.raises(UsageError, match="the C compiler objects"):
        export(language({"cell": "lstm"}, ALIGNED[0]), "c", tmp_path / "net.c")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("taken", ["net.c", "net.h"])
def test_c_writes_both_files_or_neither(taken: str, tmp_path: Path) -> None:
    (tmp_path / taken).mkdir()
    with pytest.raises(UsageError, match=f"{taken} is a folder"):
        export(language({"cell": "lstm"}, ALIGNED[0]), "c", tmp_path / "net.c")
    assert [path.name for path in tmp_path.iterdir()] == [taken]


def test_int8_is_measured_on_data(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_model("book.safetensors", language({"cell": "lstm"}, ALIGNED[0]))
    Path("other.txt").write_text("abcdefghijk" * 40)
    words = ["export", "book.safetensors", "--to", "c"]
    assert main([*words, "--data", "other.txt"]) == 0
    assert "compiled and run on 11 sequences of other.txt, of 1 to 100 steps" in capsys.readouterr().out
    assert main([*words, "--int8", "--data", "other.txt"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("int8 on other.txt: ")]
    before, after = next(
        (float(line.split()[4]), float(line.split()[6])) for line in lines if line.split()[3] == "loss"
    )
    assert before != after and after == pytest.approx(before, abs=0.05)
    assert main(["evaluate", "book.safetensors", "other.txt", "--json"]) == 0
    assert before == pytest.approx(json.loads(capsys.readouterr().out)["loss"], rel=1e-5)
