"""``backtime predict``: the scores of each line by their definition, as they come, as JSON or as a table."""

import csv
import io
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtime import runtime
from backtime.cli.main import main
from backtime.data.text.vocabulary import Vocabulary
from backtime.models.config import LanguageConfig
from backtime.models.file import ModelFile, write_model

WORDS = Vocabulary("word", ["<unk>", "<eos>", "the", "cat", "sat"])
CHARACTERS, NO_NEWLINE = Vocabulary("char", list("abé \n")), Vocabulary("char", list("abé "))
VOCABULARIES = [CHARACTERS, NO_NEWLINE, Vocabulary("byte"), WORDS]


def written(path: Path, vocabulary: Vocabulary, scale: float = 1.0) -> Path:
    config, rng = LanguageConfig("gru", 6, 1, len(vocabulary), embedding_size=3), np.random.default_rng(0)
    draws = {name: scale * rng.standard_normal(shape) for name, shape in config.shapes().items()}
    tensors = {name: value.astype(np.float32) for name, value in draws.items()}
    write_model(path, ModelFile("language", config, {"vocabulary": vocabulary.to_json()}, tensors))
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return written(tmp_path / "model.safetensors", CHARACTERS)


def output(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    capsys.readouterr()
    assert main(["predict", *map(str, words)]) == 0
    out, error = capsys.readouterr()
    assert error == ""
    return out


@pytest.mark.parametrize("vocabulary", VOCABULARIES, ids=["char", "no newline", "byte", "word"])
def test_scores_are_those_of_the_definition(tmp_path: Path, vocabulary: Vocabulary) -> None:
    model = runtime.load(written(tmp_path / "m", vocabulary))
    text = "the cat dog" if vocabulary is WORDS else "abé ba"
    [row] = model.predict([text])
    ids = vocabulary.encode(text).tolist()
    has_newline = "\n" in vocabulary.symbols or vocabulary.level != "char"
    read = [*(vocabulary.encode("\n").tolist() if has_newline else []), *ids]
    stream = model.stream()
    logits = [stream.step(token).astype(np.float64) for token in read]
    p = [np.exp(z) / np.exp(z).sum() for z in logits]
    scored = [-math.log(q[token]) for q, token in zip(p, read[1:], strict=False)]
    assert row["tokens"] == len(scored) == len(ids) - (not has_newline)
    assert row["loss"] == pytest.approx(sum(scored) / len(scored), rel=1e-12)
    assert row["perplexity"] == pytest.approx(math.exp(row["loss"]))
    assert row["bits_per_character"] == pytest.approx(sum(scored) / math.log(2) / len(text))
    assert row["next"] == vocabulary.symbols[int(p[-1].argmax())]
    assert row["next_probability"] == pytest.approx(p[-1].max())


def test_lines_do_not_depend_on_each_other(model: Path) -> None:
    loaded = runtime.load(model)
    rows = list(loaded.predict(["ab", "", "ba", "ab"]))
    assert rows[0] | {"line": 4} == rows[3] and rows[0]["loss"] != rows[2]["loss"]
    assert (rows[1]["tokens"], rows[1]["loss"], rows[1]["bits_per_character"]) == (0, None, None)
    assert rows[1]["next"] is not None  # what starts a line
    nothing = list(runtime.load(written(model.with_name("m"), NO_NEWLINE)).predict([""]))
    assert nothing[0]["next"] is None and nothing[0]["next_probability"] is None


def test_json_lines_and_tables_say_the_same(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "lines.txt"
    file.write_bytes('\ufeffab, "é"\r\nba\n\nab'.replace(",", "").replace('"', "").encode())
    rows = [json.loads(line) for line in output(capsys, model, file).splitlines()]
    assert [row["text"] for row in rows] == ["ab é", "ba", "", "ab"]
    assert rows == list(runtime.load(model).predict(["ab é", "ba", "", "ab"]))
    table = list(
        csv.DictReader(io.StringIO(output(capsys, model, file, "--format", "csv", "--threads", "1")))
    )
    assert [{k: str(v) if v is not None else "" for k, v in row.items()} for row in rows] == table


def test_rows_come_as_the_lines_come_and_without_pytorch(model: Path) -> None:
    code = (
        "import sys; from backtime.cli.main import main; status = main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules; sys.exit(status)"
    )
    words = [sys.executable, "-c", code, "predict", str(model), "-"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        for number, text in enumerate(("ab", "ba"), 1):
            process.stdin.write(f"{text}\n")
            process.stdin.flush()
            row = json.loads(process.stdout.readline())  # while the input is still open
            assert (row["line"], row["text"]) == (number, text)
        process.stdin.close()
        assert process.wait(timeout=20) == 0


def test_bad_input_is_one_line(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "latin.txt").write_bytes("ab\né\n".encode("latin-1"))
    (tmp_path / "greek.txt").write_text("ab\nΩ\n", encoding="utf-8")
    broken = written(tmp_path / "broken", CHARACTERS, math.nan)
    for words, reason in (
        (["gone"], "gone: no such file"),
        ([model, "gone.txt"], "cannot read gone.txt"),
        ([model, tmp_path], "Is a directory"),
        ([model, tmp_path / "latin.txt"], "latin.txt line 2 is not UTF-8: byte 0xe9"),
        ([model, tmp_path / "greek.txt"], "line 2: the character 'Ω'"),
        ([tmp_path / "greek.txt"], "is not a whole safetensors file"),
        ([broken, tmp_path / "greek.txt"], "not finite"),
        ([model, tmp_path / "greek.txt", "--threads", "0"], "threads is 0"),
    ):
        capsys.readouterr()
        assert main(["predict", *map(str, words)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("backtime: ") and error.count("\n") == 1 and reason in error, error
