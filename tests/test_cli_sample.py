"""``backtime sample``: the text alone on stdout, no PyTorch, and quiet ends."""

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backtime import UsageError, runtime
from backtime.cli import sample
from backtime.data.text.vocabulary import Vocabulary
from backtime.models.config import LanguageConfig
from backtime.models.file import ModelFile, write_model

CONFIG = LanguageConfig("lstm", 16, 1, 5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    tensors = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in CONFIG.shapes().items()}
    encoding = {"vocabulary": Vocabulary("char", list("abé \n")).to_json()}
    write_model(tmp_path / "model.safetensors", ModelFile("language", CONFIG, encoding, tensors))
    return tmp_path / "model.safetensors"


def run(*arguments: str | Path) -> int:
    parser, words = argparse.ArgumentParser(), ["sample", *map(str, arguments)]
    sample.add_parser(parser.add_subparsers(), words)
    return sample.run(parser.parse_args(words))


def text_of(path: Path, prompt: str = "", **arguments: object) -> str:
    return "".join(runtime.load(path).sample(prompt, **arguments))  # type: ignore[arg-type]


def test_prompt_and_text_alone_on_stdout(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(path, "--prompt", "ab", "--length", "200", "--seed", "3") == 0
    out, err = capsys.readouterr()
    assert out == "ab" + text_of(path, "ab", length=200, seed=3)
    assert err.startswith("200 characters in ") and err.endswith(" characters/s\n")


def test_every_option_reaches_the_sampler(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"length": 150, "temperature": 1.7, "top_k": 4, "top_p": 0.9, "seed": 8, "stop": "a a"}
    flags = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert run(path, "--quiet", "--threads", "1", *flags) == 0
    assert capsys.readouterr() == (text_of(path, **options), "")
    run(path, "--quiet", "--greedy", "--length", "40")
    assert capsys.readouterr().out == text_of(path, greedy=True, length=40)


def test_json(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(path, "--json", "--prompt", "é", "--length", "30") == 0
    out, err = capsys.readouterr()
    value = json.loads(out)
    assert err == "" and value["prompt"] == "é" and value["text"] == text_of(path, "é", length=30)
    assert value["characters"] == 30 and value["seconds"] > 0 and value["characters_per_second"] > 0


def test_bad_input_prints_nothing_on_stdout(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flags, message in [
        (["--prompt", "xyz"], "'x'"),
        (["--top-p", "0"], "top_p is 0.0"),
        (["--threads", "0"], "threads is 0"),
    ]:
        with pytest.raises(UsageError, match=message):
            run(path, *flags)
    assert capsys.readouterr().out == ""


COMMAND = """
import argparse, sys
from backtime.cli import sample
parser = argparse.ArgumentParser()
sample.add_parser(parser.add_subparsers(), sys.argv[1:])
status = sample.run(parser.parse_args(["sample", *sys.argv[1:]]))
# what makes a start slow
assert not {"torch", "rich", "matplotlib", "http.client", "multiprocessing"} & set(sys.modules)
sys.exit(status)
"""


def start(*arguments: str | Path, **options: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", COMMAND, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload,no-any-return]


def test_without_torch_in_utf8_on_a_pipe(path: Path) -> None:
    out, err = start(path, "--prompt", "é", "--length", "100", "--quiet").communicate()
    assert (out.decode(), err) == ("é" + text_of(path, "é", length=100), b"")


def test_a_terminal_that_cannot_show_a_character_shows_a_question_mark(path: Path) -> None:
    process = start(
        path, "--prompt", "é", "--length", "0", "--quiet", env=os.environ | {"PYTHONIOENCODING": "ascii"}
    )
    assert process.communicate() == (b"?", b"")


def test_a_closed_pipe_is_a_quiet_end(path: Path) -> None:
    with start(path, "--length", "100000000") as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.read(1000)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=20) == 0


def test_text_streams_and_ctrl_c_is_a_quiet_end(path: Path) -> None:
    process = start(path, "--length", "100000000")
    assert process.stdout is not None
    assert process.stdout.read(1000)  # comes long before the end
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, b"")
