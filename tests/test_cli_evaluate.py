"""``backtime evaluate``: the numbers against a few lines of PyTorch, at every level."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from backtime.cli.main import main
from backtime.data.text.vocabulary import Vocabulary
from backtime.models.saving import load_model, save_model

TEXT = "naïve café, to be or not to be\nthat is the question — to be\n" * 10


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, quick_runs: None) -> None:
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")


def trained(*options: str) -> None:
    sizes = [
        "--hidden-size",
        "6",
        "--layers",
        "2",
        "--seq-length",
        "4",
        "--batch-size",
        "3",
        "--dropout",
        "0.5",
    ]
    assert main(["train", "text.txt", "--out", "run", "--quiet", "--max-steps", "30", *sizes, *options]) == 0


def scores(capsys: pytest.CaptureFixture[str], *words: Any) -> dict[str, float]:
    capsys.readouterr()
    assert main(["evaluate", *(str(word) for word in words), "--json"]) == 0
    found: dict[str, float] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("level", ["char", "byte", "word"])
def test_the_loss_is_the_mean_over_every_token_but_the_first(
    level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trained("--level", level)
    found = scores(capsys, "run", "text.txt")
    model, file = load_model("run")
    vocabulary = Vocabulary.from_json(file.encoding["vocabulary"])
    ids = torch.from_numpy(vocabulary.encode(TEXT)).long()[:, None]
    model.eval()
    with torch.no_grad():  # the whole text in one go, the loss by PyTorch
        h, _ = model(ids[:-1], None)
        expected = torch.nn.functional.cross_entropy(model.head.logits(h)[:, 0], ids[1:, 0]).item()
    # float32 sums of some hundred terms in another order
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(found["loss"]))
    assert found["tokens"] == len(ids) and found["characters"] == len(TEXT)
    bits = found["loss"] / math.log(2)
    assert found["bits_per_character"] == pytest.approx(bits * len(ids) / len(TEXT))
    if level == "char":
        assert "bits_per_char" not in found
    else:
        assert found[f"bits_per_{level}"] == pytest.approx(bits)


def test_batches_and_chunks_do_not_matter_much(capsys: pytest.CaptureFixture[str]) -> None:
    trained()
    whole = scores(capsys, "run", "text.txt")
    chunks = scores(capsys, "run/best/model.safetensors", "text.txt", "--seq-length", 7)
    assert chunks["loss"] == pytest.approx(whole["loss"], rel=1e-6)  # the state is carried
    batched = scores(capsys, "run", "text.txt", "--batch-size", 4, "--threads", torch.get_num_threads())
    assert batched["loss"] == pytest.approx(whole["loss"], rel=0.05)  # three streams more start from zeros
    assert batched["loss"] != whole["loss"] and batched["tokens"] == whole["tokens"]


def test_it_agrees_with_the_validation_of_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained("--validation-fraction", "0.3")
    val_loss = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])["val_loss"]
    (tmp_path / "held-out.txt").write_text(TEXT[-round(0.3 * len(TEXT)) :], encoding="utf-8")
    found = scores(capsys, "run", "held-out.txt", "--batch-size", 3, "--seq-length", 4)
    assert found["loss"] == val_loss


def test_plain_output(tmp_path: Path) -> None:
    trained()
    words = [sys.executable, "-m", "backtime", "evaluate", "run", "text.txt"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        *("loss", "perplexity", "bits_per_character", "tokens", "characters")
    ]
    assert done.stderr == ""


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained()
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "one.txt").write_text("t")
    (tmp_path / "greek.txt").write_text("καφές", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    for words, reason in (
        (["run", "gone.txt"], "gone.txt"),
        (["gone", "text.txt"], "gone"),
        (["text.txt", "text.txt"], "text.txt"),
        ([".", "text.txt"], "model"),
        (["run", "empty.txt"], "empty"),
        (["run", "one.txt"], "1 token"),
        (["run", "greek.txt"], "'κ'"),
        (["run", "latin.txt"], "UTF-8"),
        (["run", "text.txt", "--batch-size", "0"], "--batch-size is 0"),
        (["run", "text.txt", "--seq-length", "-2"], "--seq-length is -2"),
        (["run", "text.txt", "--threads", "0"], "--threads is 0"),
    ):
        capsys.readouterr()
        assert main(["evaluate", *words]) == 2
        out, error = capsys.readouterr()
        assert out == "" and error.startswith("backtime: ") and error.count("\n") == 1 and reason in error, (
            error
        )


def test_a_model_of_nan_is_no_score(capsys: pytest.CaptureFixture[str]) -> None:
    trained()
    model, file = load_model("run")
    for value in model.state_dict().values():
        value.fill_(math.nan)
    save_model("nan.safetensors", model, file.task, file.encoding)
    for words in ([], ["--json"]):
        capsys.readouterr()
        assert main(["evaluate", "nan.safetensors", "text.txt", *words]) == 2
        out, error = capsys.readouterr()
        assert out == "" and "its loss on text.txt is nan; its training has diverged" in error
        assert error.count("\n") == 1


def test_unknown_words_are_told_loudly_from_a_tenth_on(capsys: pytest.CaptureFixture[str]) -> None:
    trained("--level", "word")
    assert (
        "unknown" in scores(capsys, "run", "text.txt")
        and "not in the vocabulary" not in capsys.readouterr().err
    )
    Path("strange.txt").write_text("wholly other words " * 9 + "that is the question")
    assert main(["evaluate", "run", "strange.txt", "--json"]) == 0
    out, error = capsys.readouterr()
    assert json.loads(out)["unknown"] == 27 / 31
    assert error.startswith(
        "backtime: 87% of the words of strange.txt are not in the vocabulary and count as <unk>"
    )
    assert main(["predict", "run", "strange.txt"]) == 0
    assert json.loads(capsys.readouterr().out)["unknown"] == 27
    assert main(["sample", "run", "--prompt", "wholly that is", "--length", "2"]) == 0
    assert "1 of the 3 words of the prompt are not in the vocabulary" in capsys.readouterr().err
    few = "--level word --vocabulary-size 5 --out few --max-steps 1 --batch-size 2 --seq-length 4"
    assert main(["train", "text.txt", *few.split()]) == 0
    error = capsys.readouterr().err
    assert "% of the words of text.txt are not in the vocabulary" in error and "% of them <unk>" in error


@pytest.mark.parametrize("level", ["char", "byte", "word"])
def test_a_text_of_one_symbol_teaches_nothing(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("same.txt").write_text("a" * 500 if level != "word" else "a " * 500)
    assert main(["train", "same.txt", "--level", level]) == 2
    assert "same.txt is 'a' again and again" in capsys.readouterr().err
