"""What each task asks its model: scores as predict has them, figures as differences, which step decides."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch.nn.utils.rnn import PackedSequence

from backtime import tasks
from backtime.cli.main import main
from backtime.insight.decisions import Question, contributions, decide
from backtime.insight.decisions.question import units_of
from backtime.models.file import read_model

WORDS = {"cat": "chat", "dog": "chien", "sees": "voit", "eats": "mange", "red": "rouge", "fish": "poisson"}
TONES = {"a": 400, "b": 900, "c": 1700}
QUIET = ["--quiet", "--dropout", "0", "--hidden-size"]


def texts(folder: Path) -> Path:
    """The one number in a text is its target."""
    rows = [f"the {word} film of {n % 7} o'clock,{stars}" for n in range(40) for word, stars in
            (("good", 4), ("bad", 1))]  # fmt: skip
    return written(folder / "stars.csv", ["text,target", *rows])


def sums(folder: Path) -> Path:
    """The adding problem: two of ten numbers are marked."""
    file = folder / "adding.csv"
    words = f"bench memory --write {file} --delay 10 --count 600"
    assert main(words.split()) == 0
    return file


def clicks(folder: Path) -> Path:
    """The next item follows from the last alone, seven times of ten."""
    random, rows = np.random.default_rng(6), ["session,item,time"]
    for session in range(100):
        item = int(random.integers(6))
        for time in range(6):
            rows.append(f"s{session},i{item},{session * 10 + time}")
            item = (item + 1) % 6 if random.random() < 0.7 else int(random.integers(6))
    return written(folder / "clicks.csv", rows)


def phrases(folder: Path) -> Path:
    """Word by word."""
    random = np.random.default_rng(1)
    chosen = [random.choice(list(WORDS), 4) for _ in range(300)]
    rows = [" ".join(own) + "\t" + " ".join(WORDS[word] for word in own) for own in chosen]
    return written(folder / "phrases.txt", rows)


def twins(folder: Path) -> Path:
    random = np.random.default_rng(2)
    rows = []
    for _ in range(80):
        first = random.choice(list(WORDS), 3)
        other = first if random.random() < 0.5 else random.choice(list(WORDS), 3)
        rows.append(f"a {' '.join(first)}\tthe {' '.join(other)}\t{int((first == other).all())}")
    return written(folder / "twins.tsv", rows)


def bars(folder: Path) -> Path:
    """A bright column, left or right of the middle."""
    random = np.random.default_rng(3)
    images = random.integers(0, 40, (120, 8, 16)).astype(np.uint8)
    places = random.integers(0, 16, 120)
    images[np.arange(120), :, places] = 220
    np.savez(folder / "bars.npz", images=images, texts=np.array(["left", "right"])[(places > 7).astype(int)])
    return folder / "bars.npz"


def tones(folder: Path) -> Path:
    random, rows = np.random.default_rng(4), ["file\ttext"]
    for n in range(60):
        letters = "".join(random.choice(list(TONES), 3))
        pause = np.zeros(400)
        parts = [0.5 * np.sin(2 * np.pi * TONES[c] * np.arange(900) / 8000) for c in letters]
        sound = np.concatenate([pause, *[own for part in parts for own in (part, pause)]])
        soundfile.write(folder / f"{n}.wav", (sound + random.normal(0, 0.01, len(sound))).astype("f4"), 8000)
        rows.append(f"{n}.wav\t{letters}")
    return written(folder / "tones.tsv", rows)


def rolls(folder: Path) -> Path:
    random = np.random.default_rng(5)
    pieces = {f"piece{n}": (random.random((12, 88)) < 0.03).astype("f4") for n in range(6)}
    np.savez(folder / "rolls.npz", **pieces)
    return folder / "rolls.npz"


def tagged(folder: Path) -> Path:
    return written(
        folder / "words.txt", ["the D", "cat N", "sleeps V", "", "a D", "dog N", "barks V", ""] * 12
    )


def written(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


STEADY = "--batch-size 16 --lr 0.01"
ADDING = "--series-column sequence --target sum --past number,mark --lookback 10 --horizon 1 --anchor none "
ADDING += "--scale none --loss mse --validation-fraction 0 --batch-size 32 --cell gru --lr 0.01 --epochs 30"
CASES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "regress": (texts, "12 --embedding-size 8 --epochs 8 --lr 0.02 --word-dropout 0"),
    "forecast": (sums, f"16 {ADDING}"),
    "recommend": (clicks, "12 --embedding-size 8 --epochs 12 --lr 0.02"),
    "translate": (phrases, "24 --embedding-size 12 --attention --lr 0.02 --batch-size 32 --epochs 25"),
    "similar": (twins, "8 --embedding-size 6 --epochs 3"),
    "caption": (bars, f"12 --embedding-size 6 --filters 4 --blocks 2 --attention {STEADY} --epochs 30"),
    "transcribe": (tones, "16 --layers 1 --epochs 20 --lr 0.02 --batch-size 8"),
    "music": (rolls, "8 --epochs 1"),
    "tag": (tagged, "8 --word-size 6 --character-size 4 --spelling-size 4 --epochs 2"),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """The run and the data of a task, trained when it is first asked for."""
    done: dict[str, tuple[Path, Path]] = {}

    def of(task: str) -> tuple[Path, Path]:
        if task not in done:
            folder = tmp_path_factory.mktemp(task)
            make, words = CASES[task]
            data, run = make(folder), folder / "run"
            line = ["train", str(data), "--task", task, *QUIET, *words.split(), "--out", str(run)]
            assert main(line) == 0
            done[task] = run, data
        return done[task]

    return of


@pytest.fixture
def asked(trained: Any) -> Callable[[str, int], list[Question]]:
    def of(task: str, count: int = 2) -> list[Question]:
        run, data = trained(task)
        return list(tasks.find(task).questions(read_model(run), data, count))

    return of


def with_step(question: Question, t: int, factor: float) -> Any:
    """The scores with step t of the layer's input times a factor: written here anew, as a witness."""

    def scale(_: Any, args: Any) -> Any:
        packed = isinstance(args[0], PackedSequence)
        rows = (args[0].data if packed else args[0]).clone()
        rows.narrow(question.axis, t, 1).mul_(factor)
        return (args[0]._replace(data=rows) if packed else rows, *args[1:])

    handle = question.layer.register_forward_pre_hook(scale)
    with torch.no_grad():
        found = question.scores().double().numpy()
    handle.remove()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("task", CASES)
def test_both_figures_are_differences_of_the_scores(task: str, asked: Any) -> None:
    question = asked(task)[0]
    gradient, occlusion = contributions(question.layer, question.scores, question.axis)
    T = len(question.steps)
    assert gradient.shape == occlusion.shape == (len(question.answers), T)
    whole = with_step(question, 0, 1.0)
    # In float32 a score has an error of 1e-7 of itself, which the difference divides by 2e-2; the third
    # derivative adds 1e-4 of the score's size.
    size = max(1.0, abs(whole).max())
    for t in range(0, T, max(1, T // 7)):
        slope = (with_step(question, t, 1.01) - with_step(question, t, 0.99)) / 0.02
        np.testing.assert_allclose(gradient[:, t], slope, atol=1e-3 * size)
        lost = whole - with_step(question, t, 0.0)
        np.testing.assert_allclose(occlusion[:, t], lost, atol=1e-5 * size)


def rows_of(task: str, trained: Any, count: int, **options: Any) -> Iterator[dict[str, Any]]:
    """What the runtime predicts, without PyTorch."""
    run, data = trained(task)
    own = tasks.find(task).predictor(read_model(run))
    yield from list(own.predict(list(own.read(data))[:count], **options))


def test_a_number_is_the_predicted_one(asked: Any, trained: Any) -> None:
    for question, row in zip(asked("regress"), rows_of("regress", trained, 2), strict=True):
        assert question.answers == [f"{row['value' if 'value' in row else 'prediction']:.4g}"]


def test_a_recommendation_is_the_predicted_one(asked: Any, trained: Any) -> None:
    for question, row in zip(asked("recommend"), rows_of("recommend", trained, 2), strict=True):
        assert question.answers == row["items"][:1]
        assert question.probabilities == [pytest.approx(row["probabilities"][0], abs=1e-5)]


@pytest.mark.parametrize("task", ["recommend", "translate", "caption", "transcribe", "music", "tag"])
def test_a_score_is_the_log_odds_of_its_answer(task: str, asked: Any) -> None:
    for question in asked(task):
        p = np.array(question.probabilities)
        scores = question.scores().detach().double().numpy()
        np.testing.assert_allclose(1 / (1 + np.exp(-scores)), p, atol=1e-5)


@pytest.mark.parametrize(("task", "name"), [("translate", "translation"), ("caption", "text")])
def test_what_is_written_is_the_predicted_text(task: str, name: str, asked: Any, trained: Any) -> None:
    for question, row in zip(asked(task), rows_of(task, trained, 2), strict=True):
        assert " ".join(question.answers[:-1]) == row[name] and question.answers[-1] == "(end)"
        assert np.log(question.probabilities).mean() == pytest.approx(row["score"], abs=1e-3)


def test_a_cosine_is_the_predicted_one(asked: Any, trained: Any) -> None:
    for n, row in enumerate(rows_of("similar", trained, 2)):
        for question in asked("similar")[2 * n : 2 * n + 2]:
            assert float(question.scores().detach()) == pytest.approx(row["cosine"], abs=1e-5)


def test_a_forecast_is_that_of_the_runtime(asked: Any, trained: Any) -> None:
    run, data = trained("forecast")
    own: Any = tasks.find("forecast").predictor(read_model(run))
    first = next(iter(own.read(data)))
    _, values = own.forecast(first.first(10))  # the ten steps before the sum
    assert asked("forecast", 1)[0].answers == [f"sum at 10: {values[0, 0, 0]:.4g}"]


def test_what_is_heard_is_the_likeliest_path(asked: Any, trained: Any) -> None:
    for question, row in zip(asked("transcribe"), rows_of("transcribe", trained, 2, beam=1), strict=True):
        assert "".join(answer[0] for answer in question.answers) == row["text"]


# Which step decides is known here.


def most(question: Question, answer: int, by: str = "occlusion") -> int:
    return int(getattr(decide(question)[answer], by).argmax())


def test_the_marked_steps_decide_a_sum(asked: Any, trained: Any) -> None:
    _, data = trained("forecast")
    table = np.genfromtxt(data, delimiter=",", names=True)
    for question in asked("forecast", 6):
        assert question.steps == [str(lag) for lag in range(-10, 0)]
        marked = question.passage.properties["mark"] > 0
        for figure in ("gradient", "occlusion"):
            size = abs(getattr(decide(question)[0], figure))
            assert set(np.argsort(-size)[:2]) == set(np.flatnonzero(marked)), figure
    assert len(table) == 600 * 11


def test_each_word_decides_its_translation(asked: Any) -> None:
    right, looked, words = 0, 0, 0
    for question in asked("translate", 8):
        for n, decision in enumerate(decide(question)[:-1]):
            words += 1
            right += WORDS[question.steps[most(question, n)]] == decision.answer
            assert decision.attention is not None
            looked += WORDS[question.steps[int(decision.attention.argmax())]] == decision.answer
    assert words == 32 and right > 28, (right, looked)


def test_the_bright_column_decides_a_caption(asked: Any, trained: Any) -> None:
    with np.load(trained("caption")[1]) as data:
        places = data["images"].mean(1).argmax(1)
    for question, place in zip(asked("caption", 6), places, strict=False):
        decision = decide(question)[0]
        assert decision.answer == ("right" if place > 7 else "left")
        assert abs(int(abs(decision.occlusion).argmax()) - place) <= 1  # a convolution is three wide
        assert decision.attention is not None and decision.attention.sum() == pytest.approx(1, abs=1e-5)


def test_a_character_is_decided_while_it_sounds(asked: Any) -> None:
    for question in asked("transcribe", 4):
        for n, answer in enumerate(question.answers):
            at = float(answer.split()[2])
            decided = float(question.steps[most(question, n)])
            assert abs(decided - at) < 0.17, answer  # a tone and its pause


def test_the_last_item_decides(asked: Any) -> None:
    for question in asked("recommend", 5):
        assert most(question, 0) == len(question.steps) - 1


def test_the_word_with_the_stars_decides(asked: Any) -> None:
    good, bad = asked("regress")
    assert good.steps[most(good, 0)] == "good" and bad.steps[int(decide(bad)[0].occlusion.argmin())] == "bad"


# Units, pages, numbers


def test_units_follow_what_is_known_of_the_steps(asked: Any) -> None:
    question = asked("transcribe", 1)[0]
    found = units_of([question], 4)
    T = len(question.steps)
    assert found.layer is None and len(found.symbols) == T and len(found.units) == 4
    outputs: list[Any] = []
    handle = question.passage.layer.register_forward_hook(lambda _, a, out: outputs.append(out[0]))
    question.scores()
    handle.remove()
    values = outputs[0].detach().double().numpy().reshape(T, -1)
    for unit in found.units:
        wanted = question.passage.properties[unit.follows]
        right = np.corrcoef(values[:, unit.number], wanted)[0, 1]
        assert unit.correlation == pytest.approx(right, abs=1e-9)
        np.testing.assert_allclose(unit.values, values[:, unit.number])
    assert abs(found.units[0].correlation) >= abs(found.units[-1].correlation)


def test_several_passages_stand_one_after_the_other(asked: Any) -> None:
    questions = asked("translate", 3)
    found = units_of(questions, 2)
    ends = [step for step in found.symbols if step.endswith("\n")]
    assert ends == [own.steps[-1] + "\n" for own in questions]
    assert len(found.units[0].values) == sum(len(own.steps) for own in questions)


@pytest.mark.slow
@pytest.mark.parametrize("task", CASES)
def test_flow_shows_them_in_all_three_forms(task: str, trained: Any, tmp_path: Path, capsys: Any) -> None:
    run, _ = trained(task)
    assert main(["flow", str(run), "--units", "2", "--batch-size", "4", "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "which steps decided" in shown and "units of the top layer" in shown
    found = json.loads((tmp_path / "out" / "flow.json").read_text())
    answers = [own["answer"] for own in found["decisions"]]
    steps, units = ((tmp_path / "out" / name).read_text() for name in ("steps.html", "units.html"))
    assert steps.count("<h2>") == len(answers) > 0 and "occlusion" in steps and "http" not in steps + units
    assert len(found["units"]["units"]) == units.count("<h2>") == 2
    assert all(len(own["gradient"]) == len(own["steps"]) for own in found["decisions"])


def test_a_forecast_without_enough_rows_is_one_line(trained: Any, tmp_path: Path, capsys: Any) -> None:
    run, data = trained("forecast")
    short = written(tmp_path / "short.csv", data.read_text().splitlines()[:6])
    assert main(["flow", str(run), str(short), "--units"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
