"""The command line itself: verbs are imported when they run, every bad input is one line and status 2."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backtime import __version__
from backtime.cli.main import VERBS, main

SMALL = ["--hidden-size", "4", "--layers", "1", "--seq-length", "5", "--batch-size", "2", "--max-steps", "3"]


pytestmark = pytest.mark.usefixtures("quick_runs")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("to be or not to be, that is the question\n" * 20)
    return path


def status_of(*words: Any) -> int:
    try:
        return main([str(word) for word in words])
    except SystemExit as end:  # how argparse leaves
        return int(end.code or 0)


def refused(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    """The line with which a command is refused."""
    capsys.readouterr()
    assert status_of(*words) == 2
    out, error = capsys.readouterr()
    assert out == "" and error.startswith("backtime: ") and error.count("\n") == 1, (out, error)
    return error


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("--version") == 0
    assert capsys.readouterr().out == f"backtime {__version__}\n"
    assert status_of("--help") == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in VERBS) and len(shown.splitlines()) < 20
    for verb in ("train", "evaluate"):
        assert status_of(verb, "--help") == 0
        assert capsys.readouterr().out.startswith(f"usage: backtime {verb}")


def test_only_the_verb_that_runs_is_imported() -> None:
    code = """
import sys
from backtime.cli.main import main
try:
    main([{word!r}, "--help"])
except SystemExit:
    pass
heavy = {{"torch", "rich", "matplotlib", "backtime.cli.train", "backtime.cli.evaluate"}} & set(sys.modules)
print(sorted(heavy), file=sys.stderr)
"""
    for word, expected in (
        ("train", ["backtime.cli.train"]),
        ("evaluate", ["backtime.cli.evaluate"]),
        ("-h", []),
    ):
        assert python(code.format(word=word)).stderr == f"{expected}\n"


@pytest.mark.parametrize("words", ["train", "evaluate model text"])
def test_without_pytorch_one_line_says_what_to_install(words: str) -> None:
    missing = "import sys; sys.modules['torch'] = None; from backtime.cli.main import main; "
    done = python(f"{missing} sys.exit(main({words.split()!r}))")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "pip install torch" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--hidden-size 0", "--hidden-size is 0; expected 1 or more"),
        ("--layers -1", "--layers is -1"),
        ("--seq-length 0", "--seq-length is 0"),
        ("--batch-size 0", "--batch-size is 0"),
        ("--dropout 1.5", "--dropout is 1.5"),
        ("--dropout nan", "--dropout is nan"),
        ("--lr 0", "--lr is 0.0"),
        ("--epochs 0", "--epochs is 0"),
        ("--minutes -1", "--minutes is -1.0"),
        ("--validation-fraction 1", "--validation-fraction is 1.0"),
        ("--hidden-size many", "--hidden-size: invalid int value: 'many'"),
        ("--cell transformer", "invalid choice: 'transformer'"),
        ("--preset none", "invalid choice: 'none'"),
        ("--wings 2", "unrecognized arguments: --wings 2"),
        ("--tie-weights --embedding-size 3", "--tie-weights"),
        ("--batch-size 5000", "batch"),
        ("--validation-fraction 0.0012", "1 token"),
        ("--device warp", "--device warp"),
        ("--init-from nowhere.safetensors", "nowhere.safetensors"),
        ("--level word --vocabulary-size 2", "vocabulary"),
        ("--out text.txt", "text.txt"),
    ],
)
def test_impossible_options(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: str, words: str
) -> None:
    before = tree(tmp_path)
    assert words in refused(capsys, "train", text, *SMALL, *options.split())
    assert tree(tmp_path) == before and [path.name for path in tmp_path.iterdir()] == ["text.txt"]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00broken", b"ab"])
@pytest.mark.parametrize("place", ["text.txt", "folder/text.txt"])
def test_impossible_texts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, place: str
) -> None:
    file = tmp_path / place
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    for out in ([], ["--out", "new/run"]):
        refused(capsys, "train", place.split("/")[0], *SMALL, *out)
    assert (
        list(tree(tmp_path)) == [place]
        and not (tmp_path / "runs").exists()
        and not (tmp_path / "new").exists()
    )
    assert "gone.txt" in refused(capsys, "train", "gone.txt")
    assert not (tmp_path / "runs").exists()


def test_resume_refuses_what_it_cannot_keep(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of("train", text, "--out", "run", *SMALL) == 0
    before = tree(tmp_path)
    for words, reason in (
        (["run", "--hidden-size", "5"], "--hidden-size 5 conflicts with the run's 4"),
        (["run", "--seed", "2"], "--seed 2 conflicts"),
        (["run", "--preset", "demo"], "--preset cannot be combined"),
        (["run", "--out", "other"], "--out cannot be combined"),
        (["run", "--init-from", "run"], "--init-from cannot be combined"),
        (["elsewhere"], "no run is there"),
        ([str(tmp_path)], "no run is there"),
    ):
        assert reason in refused(capsys, "train", "--resume", *words)
        assert tree(tmp_path) == before
    assert (
        status_of("train", "--resume", "run", "--hidden-size", "4", "--max-steps", "5", "--threads", "1") == 0
    )


def test_resume_needs_the_same_text(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("train", text, "--out", "run", *SMALL) == 0
    state = (tmp_path / "run/last/state.safetensors").read_bytes()
    original = text.read_text()
    for changed in (original + "question", original.replace("be", "eb", 1), original + "Δ"):
        text.write_text(changed)
        assert "has changed since run began" in refused(capsys, "train", "--resume", "run", "--max-steps", 9)
    assert (tmp_path / "run/last/state.safetensors").read_bytes() == state
    text.unlink()
    (tmp_path / "moved.txt").write_text(original)
    assert status_of("train", "moved.txt", "--resume", "run", "--max-steps", 9) == 0


def test_a_damaged_save_is_told(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("train", text, "--out", "run", *SMALL) == 0
    file = tmp_path / "run/last/state.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    assert "state.safetensors" in refused(capsys, "train", "--resume", "run", "--max-steps", 9)


def test_init_from_takes_the_model_and_its_symbols(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        status_of(
            "train", text, "--out", "first", *SMALL, "--cell", "gru", "--lr", "0.02", "--max-steps", 200
        )
        == 0
    )
    (tmp_path / "other.txt").write_text("be that the question to be\n" * 20)  # fewer symbols
    tiny = ["--seq-length", "5", "--batch-size", "2", "--max-steps", "3", "--lr", "1e-9"]
    assert status_of("train", "other.txt", "--out", "second", "--init-from", "first", *tiny) == 0
    config = json.loads((tmp_path / "second/config.json").read_text())
    assert (config["settings"]["cell"], config["settings"]["hidden_size"]) == ("gru", 4)
    assert (tmp_path / "second/vocabulary.json").read_bytes() == (
        tmp_path / "first/vocabulary.json"
    ).read_bytes()
    learnt = json.loads((tmp_path / "second/metrics.jsonl").read_text().splitlines()[-1])["val_loss"]
    assert learnt < 2.2  # an untrained model of these 17 symbols has ln 17 = 2.8
    assert status_of("train", "--resume", "second", "--max-steps", 5) == 0
    assert "--hidden-size 5 conflicts with 4" in refused(
        capsys, "train", "other.txt", "--init-from", "first", "--hidden-size", 5
    )
    (tmp_path / "strange.txt").write_text("Ωmega " * 50)
    assert "'Ω'" in refused(capsys, "train", "strange.txt", "--init-from", "first", *tiny)


def test_a_full_disk_at_any_save_leaves_the_one_before(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*SMALL[:-2], "--save-every", "2", "--max-steps", "10", "--quiet"]
    assert status_of("train", text, "--out", "whole", *options) == 0
    calls, limit = 0, 0

    def fsync(file: int) -> None:
        nonlocal calls
        calls += 1
        if calls >= limit:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    for limit in range(1, 26):
        calls, name = 0, f"run{limit}"
        if status_of("train", text, "--out", name, *options) == 0:
            break
        error = capsys.readouterr().err
        assert error.count("backtime: ") == 1 and "no space left on device" in error.lower(), error
        if (tmp_path / name).exists():
            monkeypatch.setattr(os, "fsync", lambda file: None)
            assert status_of("train", "--resume", name, "--quiet") == 0
            monkeypatch.setattr(os, "fsync", fsync)
            for file in ("last/model.safetensors", "best/model.safetensors"):
                assert (tmp_path / name / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert limit > 15


@pytest.mark.parametrize("variable", ["BACKTIME_ISA=nonsense", "BACKTIME_BACKEND=nonsense"])
@pytest.mark.parametrize("words", ["sample model --length 3", "train text.txt", "evaluate model text.txt"])
def test_a_wrong_variable_is_one_line(variable: str, words: str, text: Path, tmp_path: Path) -> None:
    """Also where it is refused as the engine is loaded, before the verb is known."""
    status_of("train", text, "--out", "model", "--quiet", *SMALL)
    name, value = variable.split("=")
    options = SMALL if words.startswith("train") else []
    command = [sys.executable, "-m", "backtime", *words.split(), *options]
    done = subprocess.run(
        command, env={**os.environ, name: value}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("backtime: ") and "nonsense" in done.stderr


def test_options_are_written_out(text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--init`` is no ``--init-from``: with the next version it might be something else."""
    for verb in ("train", "sample model", "evaluate model text.txt", "predict model"):
        for option in ("--wings", "--he", "--js", "--thread"):
            error = refused(capsys, *verb.split(), option)
            assert error == (
                f"backtime: unrecognized arguments: {option} (see backtime {verb.split()[0]} --help)\n"
            )


@pytest.mark.parametrize("level", ["char", "byte"])
def test_a_number_of_words_without_words_is_refused(
    level: str, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option, value in (("--vocabulary-size", "50"), ("--unk-token", "UNK"), ("--eos-token", "EOS")):
        expected = f"{option} {value} with --level {level}; expected --level word"
        expected += " or subword" if option == "--vocabulary-size" else ""
        assert expected in refused(capsys, "train", text, *SMALL, "--level", level, option, value)
    assert status_of("train", text, "--level", level, "--out", "run", *SMALL) == 0
    config = json.loads((tmp_path / "run/config.json").read_text())
    config["settings"]["vocabulary_size"] = 50  # as version 0.1.0 took it
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    assert status_of("train", "--resume", "run", "--max-steps", "5") == 0


def test_a_folder_says_what_was_read(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "books"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.txt").write_text(text.read_text())
    (folder / "cover.png").write_bytes(b"\x89PNG\0")
    assert status_of("train", "books", "--out", "run", *SMALL) == 0
    names = ", ".join(f"{number}.txt" for number in range(8))
    expected = f"from 10 files ({names} and 2 more; 1 skipped, which are no text: cover.png)"
    assert expected in capsys.readouterr().err


def test_a_short_text_is_told_in_its_own_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "short.txt").write_text("abcdefghijk")
    error = refused(capsys, "train", "short.txt")
    assert "this part of the text has 10 of its 11 tokens; batch-size 32 x seq-length 64 needs" in error


def test_text_options_in_a_plain_locale(text: Path, tmp_path: Path) -> None:
    (tmp_path / "cyrillic.txt").write_text("Привет, мир\n" * 50)
    status_of("train", "cyrillic.txt", "--out", "model", "--quiet", *SMALL)
    plain = {**os.environ, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "backtime", "sample", "model", "--prompt", "мир", "--length", "3"]
    done = subprocess.run(command, env=plain, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
