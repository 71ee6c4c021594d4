"""Every file of a run folder and of a model, damaged in every place: one line, or a run that goes on."""

import json
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backtime.cli.main import main
from backtime.errors import UsageError
from backtime.models.file import read_model
from backtime.tasks import runs

SMALL = ["--hidden-size", "4", "--layers", "1", "--seq-length", "5", "--batch-size", "2", "--log-every", "2"]
WRONG = ("\x1b[31m", None, -1, 0.5, True, [], {"a": 1}, 10**12, 10**400)
HEAVY = 10**12  # what a size may be wrongly: nothing of it may be allocated


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of six steps, saved within an epoch."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "text.txt").write_text("to be or not to be, that is the question\n" * 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(os, "fsync", lambda file: None)
        patch.setattr(runs, "draw_curves", lambda *parts: None)
        words = ["--max-steps", "5", "--validate-every", "3", "--save-every", "5"]
        assert main(["train", "text.txt", "--out", "whole", "--quiet", *words, *SMALL]) == 0
        yield folder / "whole"


@pytest.fixture
def run(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(os, "fsync", lambda file: None)
    return Path(shutil.copytree(whole, tmp_path / "run"))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to every part of a JSON value; of a list its first two."""
    yield path
    if isinstance(value, dict):
        for name, part in value.items():
            yield from places(part, (*path, name))
    elif isinstance(value, list):
        for number, part in enumerate(value[:2]):
            yield from places(part, (*path, number))


def spoiled(value: Any, path: tuple[Any, ...], wrong: Any) -> Any:
    """A copy with another value in one place; with ``...`` the place is missing."""
    if not path:
        return wrong
    copy = value.copy()
    if len(path) == 1 and wrong is ...:
        del copy[path[0]]
    else:
        copy[path[0]] = spoiled(value[path[0]], path[1:], wrong)
    return copy


def damages(value: Any) -> Iterator[Any]:
    for path in places(value):
        yield from (spoiled(value, path, wrong) for wrong in (WRONG if not path else (*WRONG, ...)))


def ends_well(words: list[str], capsys: Any, hint: Any, verb: str = "train") -> bool:
    """Whether a command succeeds; else it has printed one line, short and printable, and has status 2.

    ``predict`` may have printed rows before: it streams.
    """
    capsys.readouterr()
    status = main([*words, "--quiet"] if "predict" not in words and "evaluate" not in words else words)
    out, error = capsys.readouterr()
    if status == 0:
        return True
    assert (
        status == 2
        and (out == "" or verb == "predict")
        and error.count("\n") == 1
        and error.startswith("backtime: ")
    ), (
        hint,
        error,
    )
    assert len(error) < 1100 and error[:-1].isprintable(), hint
    return False


def head_of(file: Path) -> tuple[dict[str, Any], bytes]:
    content = file.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def write_head(file: Path, head: dict[str, Any], rest: bytes) -> None:
    text = json.dumps(head).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + rest)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config.json", "vocabulary.json", "tokens.json"])
def test_a_json_file_with_a_wrong_value_in_any_place(name: str, whole: Path, run: Path, capsys: Any) -> None:
    value = json.loads((run / name).read_text())
    state = (run / "last" / "state.safetensors").read_bytes()
    refused = 0
    for damaged in damages(value):
        (run / name).write_text(json.dumps(damaged))
        well = ends_well(["train", "--resume", str(run), "--max-steps", "6"], capsys, (name, damaged))
        refused += not well
        if well:  # it has gone on: from the start again
            shutil.rmtree(run)
            shutil.copytree(whole, run)
        else:
            assert (run / "last" / "state.safetensors").read_bytes() == state
    assert refused > 30 or name == "tokens.json"  # which is made again from the text


@pytest.mark.slow
def test_a_save_with_a_wrong_value_in_any_place(whole: Path, run: Path, capsys: Any) -> None:
    file = run / "last" / "state.safetensors"
    head, rest = head_of(file)
    metadata = head["__metadata__"]
    for name in ("state", "random"):
        for damaged in damages(json.loads(metadata[name])):
            write_head(file, head | {"__metadata__": metadata | {name: json.dumps(damaged)}}, rest)
            if ends_well(["train", "--resume", str(run), "--max-steps", "6"], capsys, (name, damaged)):
                shutil.rmtree(run)
                shutil.copytree(whole, run)
    for name in metadata:
        for text in ("", "{", "[" * 10**5, "9" * 10**4, "Infinity"):
            write_head(file, head | {"__metadata__": metadata | {name: text}}, rest)
            assert not ends_well(["train", "--resume", str(run), "--max-steps", "6"], capsys, (name, text))
    for name in [name for name in head if name != "__metadata__"]:
        one = {key: value for key, value in head.items() if key != name} | {"strange": head[name]}
        write_head(file, one, rest)
        if ends_well(["train", "--resume", str(run), "--max-steps", "6"], capsys, name):
            shutil.rmtree(run)
            shutil.copytree(whole, run)


@pytest.mark.slow
def test_a_model_file_with_a_wrong_value_in_any_place(run: Path, capsys: Any) -> None:
    file = run / "best" / "model.safetensors"
    head, rest = head_of(file)
    metadata = head["__metadata__"]
    cases = [
        (name, json.dumps(d)) for name in ("config", "encoding") for d in damages(json.loads(metadata[name]))
    ]
    cases += [(name, text) for name in metadata for text in ("", "9" * 10**4, "²", "[" * 10**5, "x" * 10**6)]
    for name, text in cases:
        write_head(file, head | {"__metadata__": metadata | {name: text}}, rest)
        ends_well(["sample", str(file), "--length", "3"], capsys, (name, text[:100]))


@pytest.mark.parametrize("layers", [HEAVY, 10**6])
def test_a_model_of_more_layers_than_its_file_holds_allocates_nothing(layers: int, run: Path) -> None:
    file = run / "best" / "model.safetensors"
    head, rest = head_of(file)
    config = json.loads(head["__metadata__"]["config"]) | {"layers": layers}
    head["__metadata__"]["config"] = json.dumps(config)
    write_head(file, head, rest)
    with pytest.raises(UsageError, match=r"layers is .*; expected at most 1,000"):
        read_model(file)


@pytest.mark.parametrize(
    "change", [{"hidden_size": 5}, {"layers": 2}, {"cell": "gru"}, {"embedding_size": 3}]
)
def test_settings_that_are_not_those_of_the_save(change: dict[str, Any], run: Path, capsys: Any) -> None:
    config = json.loads((run / "config.json").read_text())
    config["settings"] |= change
    (run / "config.json").write_text(json.dumps(config))
    assert not ends_well(["train", "--resume", str(run), "--max-steps", "6"], capsys, change)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\n\n", b'{"step": 2, "lo', b"[1]\n5\nnull\n", b'{"step": "x"}\n', b"{\n" * 100, None],
)
def test_a_damaged_log_costs_its_lines_and_not_the_run(content: bytes | None, run: Path, capsys: Any) -> None:
    file = run / "metrics.jsonl"
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content + file.read_bytes()[:30])
    assert ends_well(["train", "--resume", str(run), "--max-steps", "9"], capsys, content)
    last = json.loads(file.read_bytes().splitlines()[-1])
    assert last["step"] == 9
    assert ends_well(["train", "--resume", str(run), "--max-steps", "12"], capsys, content)


def test_folders_and_files_that_are_gone(whole: Path, run: Path, capsys: Any) -> None:
    shutil.rmtree(run / "best")
    assert ends_well(["train", "--resume", str(run), "--max-steps", "9"], capsys, "best")
    assert ends_well(["sample", str(run), "--length", "3"], capsys, "best")
    for name in ("last", "config.json", "vocabulary.json"):
        shutil.rmtree(run)
        shutil.copytree(whole, run)
        shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()
        assert not ends_well(["train", "--resume", str(run), "--max-steps", "9"], capsys, name)
    for name in ("config.json", "metrics.jsonl", "tokens.json", "tokens.bin", "vocabulary.json"):
        shutil.rmtree(run)
        shutil.copytree(whole, run)
        (run / name).unlink()
        (run / name).mkdir()
        ends_well(["train", "--resume", str(run), "--max-steps", "9"], capsys, name)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--hidden-size 1000000", "needs 48 TB of memory"),
        ("--embedding-size 1000000000", "TB of memory"),
        ("--layers 100000000", "--layers is 100000000; expected 1 or more and less than 1,001"),
        ("--device meta", "--device meta"),
        ("--threads 100000", "--threads is 100000"),
        ("--epochs 9223372036854775808", "expected less than 2^63"),
    ],
)
def test_what_no_machine_has_is_one_line(options: str, words: str, whole: Path, capsys: Any) -> None:
    text = whole.parent / "text.txt"
    capsys.readouterr()
    try:
        status = main(
            ["train", str(text), "--out", str(whole.parent / "big"), "--seq-length", "5", *options.split()]
        )
    except SystemExit as end:
        status = int(end.code or 0)
    error = capsys.readouterr().err
    assert status == 2 and words in error and error.count("\n") == 1, error
    assert not (whole.parent / "big").exists()
