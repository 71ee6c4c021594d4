"""``backtime flow``: from a run to the verdict, the files, the page; and ``train --flow-every``."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import backtime.tasks.base
from backtime import tasks
from backtime.cli.main import main

TEXT = "def f(x):\n    return [x, (x + 1) * 2]  # a line of text\n" * 60


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flow")
    (folder / "book.txt").write_text(TEXT)
    for cell in ("rnn", "lstm"):
        words = (
            f"--cell {cell} --hidden-size 8 --layers 2 --seq-length 8 --batch-size 4 --max-steps 12 --quiet"
        )
        flags = f"--out {folder}/{cell} --flow-every 4 --log-every 3"
        assert main(["train", str(folder / "book.txt"), *words.split(), *flags.split()]) == 0
    return folder


SMALL = ["--steps", "24", "--batch-size", "2"]


def test_flow_prints_the_verdict_and_writes_the_files(desk: Path, capsys: Any) -> None:
    out = desk / "out"
    assert main(["flow", str(desk / "lstm"), *SMALL, "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "gradient through time" in shown and "check: the lags add up" in shown
    found = json.loads((out / "flow.json").read_text())
    assert found["trained_with_seq_length"] == 8 and found["gap"] < 1e-5
    assert [level["name"] for level in found["levels"]] == ["rnn layer 0", "rnn layer 1"]
    assert len(found["levels"][0]["log_mean"]) == 24 and found["verdict"]["line"]
    assert (out / "flow.png").read_bytes()[:4] == b"\x89PNG" and b"<svg" in (out / "flow.svg").read_bytes()


def test_the_page_is_whole_without_a_network(desk: Path) -> None:
    out = desk / "page"
    assert main(["flow", str(desk / "lstm"), *SMALL, "--out", str(out), "--quiet"]) == 0
    page = (out / "flow.html").read_text()
    assert len(page.encode()) < 6_000_000
    script = page.index("</script>")
    assert "src=" not in page[:200] and "<link" not in page and "http" not in page[script : script + 3000]


def test_what_the_problem_needs_is_in_every_output(desk: Path, capsys: Any) -> None:
    out = desk / "needs"
    assert main(["flow", str(desk / "rnn"), *SMALL, "--needs", "24", "--out", str(out)]) == 0
    assert "of the 24 steps that you need" in " ".join(capsys.readouterr().out.split())
    found = json.loads((out / "flow.json").read_text())
    assert found["needs"] == 24 and found["verdict"]["findings"][0]["illness"] == "vanishing"
    page = (out / "flow.html").read_text()
    assert "of the 24 steps that you need" in page and "needed: 24" in page
    assert b"needed: 24" in (out / "flow.svg").read_bytes()


def test_compare_puts_two_side_by_side(desk: Path, capsys: Any) -> None:
    models = [str(desk / "rnn"), str(desk / "lstm")]
    assert main(["flow", "--compare", *models, *SMALL, "--out", str(desk / "both")]) == 0
    shown = capsys.readouterr().out
    assert all(Path(model).name in shown for model in models)
    found = json.loads((desk / "both" / "flow.json").read_text())
    assert [own["model"] for own in found] == ["rnn", "lstm"]  # not the whole paths


def test_json_is_one_object_on_stdout(desk: Path, capsys: Any) -> None:
    model = str(desk / "lstm" / "best" / "model.safetensors")
    assert main(["flow", model, str(desk / "book.txt"), *SMALL, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["trained_with_seq_length"] is None


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["flow"], "MODEL is missing"),
        (["flow", "nowhere"], "nowhere: no such file"),
        (["flow", "{desk}/lstm", "--steps", "1"], "--steps is 1"),
        (["flow", "{desk}/lstm", "--needs", "0"], "--needs is 0"),
        (["flow", "{desk}/lstm", "--out", "{desk}/book.txt"], "book.txt is a file; expected a folder"),
        (
            ["flow", "{desk}/lstm", *SMALL, "--quiet", "--out", "{desk}/book.txt/x"],
            "--out {desk}/book.txt/x: ",
        ),
        (["flow", "{desk}/lstm/best/model.safetensors"], "DATA is missing"),
        (["flow", "{desk}/lstm", "--compare", "a", "b"], "--compare takes two models"),
    ],
)
def test_bad_input_is_one_line(words: list[str], line: str, desk: Path, capsys: Any) -> None:
    assert main([word.format(desk=desk) for word in words]) == 2
    complaint = capsys.readouterr().err
    assert line.format(desk=desk) in complaint and complaint.count("\n") == 1


def test_train_logs_the_short_form(desk: Path) -> None:
    lines = [json.loads(line) for line in (desk / "lstm" / "metrics.jsonl").read_text().splitlines()]
    looks = {line["step"]: line for line in lines if "flow_verdict" in line}
    assert sorted(looks) == [4, 8, 12]
    for line in looks.values():
        assert 0 < line["flow_half"] <= line["flow_percent"] <= 7 and line["flow_growth"] >= 1
    assert b"steps back" in (desk / "lstm" / "curves.svg").read_bytes()


def test_looking_changes_no_bit_of_the_run(desk: Path) -> None:
    def weights(*flags: str) -> Any:
        out = desk / f"same{len(flags)}"
        words = "--hidden-size 8 --layers 2 --dropout 0.3 --seq-length 8 --batch-size 4 --max-steps 9 --quiet"
        assert main(["train", str(desk / "book.txt"), *words.split(), "--out", str(out), *flags]) == 0
        return (out / "last" / "model.safetensors").read_bytes()

    assert weights() == weights("--flow-every", "2")


def test_a_run_that_stalls_ends_with_the_verdict(desk: Path, capsys: Any) -> None:
    words = "--hidden-size 4 --seq-length 8 --batch-size 4 --lr 1e-9 --validate-every 1 --patience 2"
    assert main(["train", str(desk / "book.txt"), *words.split(), "--out", str(desk / "stalled")]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "no better validation in 2; gradient through time: " in told


def test_a_run_that_diverges_ends_with_the_verdict(desk: Path, capsys: Any) -> None:
    words = "--cell rnn --activation identity --hidden-size 8 --seq-length 32 --batch-size 4 --grad-clip 0"
    flags = f"--optimizer sgd --lr 500 --epochs 3 --out {desk}/gone"
    assert main(["train", str(desk / "book.txt"), *words.split(), *flags.split()]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "training diverged" in told and "gradient through time: " in told.split("training diverged")[-1]


def test_a_tie_of_torch_threads_is_left(desk: Path) -> None:
    before = torch.get_num_threads()
    assert main(["flow", str(desk / "rnn"), *SMALL, "--out", str(desk / "threads"), "--quiet"]) == 0
    assert torch.get_num_threads() == before


# Other tasks


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One word decides: what stands around it is the same for both labels."""
    folder = tmp_path_factory.mktemp("reviews")
    rows = [f"the {word} film of {n % 7} o'clock,{word}" for n in range(60) for word in ("good", "bad")]
    (folder / "reviews.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    words = "--task classify --hidden-size 12 --embedding-size 8 --dropout 0 --word-dropout 0 --epochs 6"
    words += " --lr 0.02"
    assert (
        main(["train", str(folder / "reviews.csv"), *words.split(), "--quiet", "--out", f"{folder}/run"]) == 0
    )
    return folder


def test_flow_of_a_classifier_takes_the_loss_of_its_training(reviews: Path, capsys: Any) -> None:
    assert main(["flow", str(reviews / "run"), "--json", "--batch-size", "6"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sequences"] == 6 and found["losses"] == 1 and found["gap"] < 1e-5
    assert found["length_option"] == "" and found["trained_with_seq_length"] is None


def test_the_word_that_decides_is_found(reviews: Path, capsys: Any) -> None:
    out = reviews / "units"
    assert main(["flow", str(reviews / "run"), "--units", "2", "--out", str(out)]) == 0
    shown = capsys.readouterr().out.split("which steps decided")[1]
    rows = [line for line in shown.splitlines() if line.lstrip().startswith(("good  ", "bad  "))]
    first, second = sorted(rows, reverse=True)
    assert first.count("good") >= 2 and second.count("bad") >= 2
    page = (out / "steps.html").read_text()
    assert page.count("<h2>") == 2 and "occlusion" in page and "http" not in page
    assert "--seq-length" not in shown


def test_a_tagger_and_its_least_sure_word(tmp_path: Path, capsys: Any) -> None:
    lines = "the D\ncat N\nsleeps V\n\na D\ndog N\nbarks V\n\n" * 12
    (tmp_path / "words.txt").write_text(lines)
    words = "--task tag --hidden-size 8 --word-size 6 --character-size 4 --spelling-size 4 --epochs 3 --quiet"
    assert main(["train", str(tmp_path / "words.txt"), *words.split(), "--out", f"{tmp_path}/run"]) == 0
    assert main(["flow", f"{tmp_path}/run", "--units", "1", "--out", f"{tmp_path}/out"]) == 0
    shown = capsys.readouterr().out
    assert "spelling l0" in shown and " is " in shown.split("which steps decided")[1]


def test_a_forecast_recommends_its_lookback(tmp_path: Path, capsys: Any) -> None:
    rows = [f"2020-01-01T{h:02d}:00,{(h % 6) + d}" for d in range(1) for h in range(24)]
    rows += [f"2020-01-{d:02d}T{h:02d}:00,{(h % 6) + d % 3}" for d in range(2, 12) for h in range(24)]
    (tmp_path / "load.csv").write_text("time,load\n" + "\n".join(rows) + "\n")
    words = "--task forecast --lookback 12 --horizon 3 --hidden-size 8 --max-steps 20 --quiet"
    assert main(["train", str(tmp_path / "load.csv"), *words.split(), "--out", f"{tmp_path}/run"]) == 0
    assert main(["flow", f"{tmp_path}/run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["length_option"] == "--lookback" and found["trained_with_seq_length"] == 12


def test_units_are_in_the_numbers_and_on_a_page(desk: Path, reviews: Path, capsys: Any) -> None:
    out = desk / "with-units"
    assert main(["flow", str(desk / "lstm"), *SMALL, "--units", "3", "--out", str(out), "--quiet"]) == 0
    found = json.loads((out / "flow.json").read_text())["units"]
    assert len(found["units"]) == 3 and len(found["symbols"]) == len(found["following"]) == 25
    capsys.readouterr()
    assert main(["flow", str(reviews / "run"), "--units", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["decisions"]) == len(found["units"]["units"]) == 2
    assert len(found["units"]["symbols"]) == sum(len(own["steps"]) for own in found["decisions"])


def test_a_task_without_questions_says_so(reviews: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(type(tasks.find("classify")), "questions", backtime.tasks.base.TaskKind.questions)
    assert main(["flow", str(reviews / "run"), "--units"]) == 2
    assert "the task classify does not say what its answers are" in capsys.readouterr().err
