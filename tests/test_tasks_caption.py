"""Captions: what is learned, the runtime beside the network, resume, scores."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from backtime import tasks
from backtime.cli.main import main
from backtime.data.captions import Captioned
from backtime.data.lexicon import Lexicon
from backtime.models.captioner import Captioner as Network
from backtime.models.captioner import CaptionerConfig
from backtime.models.file import ModelFile
from backtime.models.saving import load_model
from backtime.runtime.captioner import Captioner
from backtime.tasks.caption import KIND, CaptionSettings
from backtime.tasks.caption.task import batch_of
from backtime.tasks.shared.writing import text_batch
from caption_strips import SMALL, strips


def write_npz(path: Path, count: int, seed: int) -> Path:
    images, texts = strips(count, seed)
    np.savez(path, images=images, texts=np.array(texts))
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strips")
    words = ["train", str(write_npz(folder / "strips.npz", 1000, 1)), "--task", "caption", *SMALL]
    assert main([*words, "--attention", "--epochs", "15", "--out", str(folder / "run")]) == 0
    return folder


@pytest.mark.slow
def test_it_learns_to_spell_three_digits(home: Path, capsys: Any) -> None:
    test = write_npz(home / "test.npz", 60, 9)
    assert main(["evaluate", str(home / "run"), str(test), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["exact"] > 0.9 and found["bleu"] > 90 and found["chrf"] > 90 and found["images"] == 60
    assert main(["predict", str(home / "run"), str(test), "--picture", str(home / "seen.png")]) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[7])
    assert row["text"] == strips(60, 9)[1][7] and row["image"] == f"{test} image 7" and row["score"] > -0.3
    assert (home / "seen.png").read_bytes()[:4] == b"\x89PNG"


def test_attention_looks_where_the_digit_is(home: Path) -> None:
    """Most of each word's attention is in the third of the strip that its digit is in."""
    own = tasks.load(home / "run")
    assert isinstance(own, Captioner)
    right = []
    for image in strips(20, 5)[0]:
        found = own.caption(Captioned(image[..., None], "", "", ""))
        assert found.attention is not None
        np.testing.assert_allclose(found.attention.sum(1), 1, atol=1e-5)
        columns = found.attention.reshape(-1, *own.config.grid).sum(1)
        right += (columns.reshape(-1, 3, 2).sum(2).argmax(1) == np.arange(len(columns))).tolist()
    assert np.mean(right) > 0.8


def test_the_score_of_the_log_is_that_of_the_runtime(home: Path) -> None:
    """``exact`` in training takes the likeliest symbol at each step: so does a beam of one."""
    file = load_model(home / "run")[1]
    settings = CaptionSettings(validation_fraction=0.3, min_count=1)
    data = KIND.prepare(home / "strips.npz", settings, home, file.encoding, print)
    task, own = KIND.build(data, CaptionSettings(**KIND.fixed_by(file)), file), Captioner(file)
    found = []
    for image, text in data.held_out:
        written = own.caption(Captioned(image, "", "", ""), beam=1)
        found.append(written.symbols == [own.targets.symbols[n] for n in text])
    values = task.validate()
    assert values["exact"] == pytest.approx(np.mean(found)) and 0 < values["loss"] < 0.5
    assert 150 < len(found) < 330


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_the_runtime_computes_what_the_network_does(cell: str, attention: bool) -> None:
    """The log-probabilities of each step of known texts, on color images whose sides do not halve evenly."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"targets": 5, "embedding_size": 4, "hidden_size": 6, "layers": 2}
    sizes |= {"rows": 9, "columns": 14, "channels": 3, "filters": 3, "blocks": 2}
    network = Network(CaptionerConfig(cell=cell, attention=attention, **sizes)).eval()
    random = np.random.default_rng(1)
    records = [
        (random.integers(0, 256, (9, 14, 3)).astype(np.uint8), random.integers(0, 5, n)) for n in (2, 6, 1)
    ]
    encoding: dict[str, Any] = {
        "targets": Lexicon("symbol", list("<uvwx")).to_json(),
        "level": {"level": "char"},
        "scale": {"mean": [100.0, 120.0, 90.0], "deviation": [70.0, 60.0, 80.0]},
        "frame": {"rows": 9, "columns": 14, "channels": 3, "longest": 6},
    }
    tensors = {name: value.numpy() for name, value in network.state_dict().items()}
    own = Captioner(ModelFile("caption", network.config, encoding, tensors))
    batch = batch_of(records, network, own.scale)
    with torch.no_grad():
        logs = torch.log_softmax(network.head.logits(network(batch)), -1)
    for n, (image, text) in enumerate(records):
        places, state = own.look(own.scaled(image))
        for t, symbol in enumerate([network.config.end, *text.tolist()]):
            found, _ = own.step([symbol], state, places)
            np.testing.assert_allclose(found[0], logs[t, n].numpy(), atol=1e-4)


@pytest.mark.slow
def test_resume_is_exact_and_flow_looks_at_the_writing(home: Path, tmp_path: Path, capsys: Any) -> None:
    words = [
        "train",
        str(home / "strips.npz"),
        "--task",
        "caption",
        *SMALL,
        "--save-every",
        "4",
        "--epochs",
        "2",
    ]
    words += ["--teacher-forcing", "0.5", "--cell", "lstm"]
    assert main([*words, "--max-steps", "60", "--out", str(tmp_path / "whole")]) == 0
    assert main([*words, "--max-steps", "7", "--out", str(tmp_path / "parts")]) == 0
    assert main(["train", "--resume", str(tmp_path / "parts"), "--max-steps", "60", "--quiet"]) == 0
    ends = [(tmp_path / run / "last" / "model.safetensors").read_bytes() for run in ("whole", "parts")]
    assert ends[0] == ends[1]
    assert main(["flow", str(tmp_path / "whole"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["steps"] == 4  # three words and the end


def test_evaluate_takes_any_text_of_an_image_for_right(home: Path, tmp_path: Path, capsys: Any) -> None:
    images, texts = strips(6, 77)
    rows = [f"{n}.png,{text}" for n, own in enumerate(texts) for text in ("nothing known", own.upper())]
    for n, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{n}.png")
    (tmp_path / "two.csv").write_text("file,text\n" + "\n".join(rows[:10] + rows[10:11]) + "\n")
    assert main(["evaluate", str(home / "run"), str(tmp_path / "two.csv"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    written = [row["text"] for row in tasks.load(home / "run").predict(images)]
    right = sum(text == own for text, own in zip(written[:5], texts[:5], strict=True))
    assert right >= 4 and found["exact"] == pytest.approx(right / 6) and found["images"] == 6


def test_characters_and_a_network_to_begin_with(home: Path, tmp_path: Path, capsys: Any) -> None:
    words = ["train", str(home / "strips.npz"), "--task", "caption", "--quiet", "--max-steps", "3"]
    assert main([*words, *SMALL, "--level", "char", "--out", str(tmp_path / "letters")]) == 0
    _, file = load_model(tmp_path / "letters")
    assert file.encoding["level"] == {"level": "char"} and file.encoding["frame"]["longest"] == 17
    assert (
        main([*words, "--dropout", "0", "--init-from", str(home / "run"), "--out", str(tmp_path / "next")])
        == 0
    )
    assert load_model(tmp_path / "next")[1].config == load_model(home / "run")[1].config
    assert main([*words, "--init-from", str(home / "run"), "--blocks", "1"]) == 2
    assert "--blocks 1 conflicts with 2" in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "letters"), str(home / "strips.npz"), "--picture", "a.png"]) == 2
    assert "the model has no attention" in capsys.readouterr().err


def test_an_image_of_another_size_is_refused_by_its_name(home: Path, tmp_path: Path, capsys: Any) -> None:
    Image.fromarray(np.zeros((8, 23), np.uint8)).save(tmp_path / "narrow.png")
    assert main(["predict", str(home / "run"), str(tmp_path / "narrow.png")]) == 2
    assert f"{tmp_path}/narrow.png is 8 x 23; expected 8 x 24, as in training" in capsys.readouterr().err
    assert main(["predict", str(home / "run")]) == 2
    assert "images are not read from standard input" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["predict", str(home / "run"), str(tmp_path / "empty")]) == 2
    assert "empty has no pictures in it" in capsys.readouterr().err
    (tmp_path / "new.csv").write_text("file\nnarrow.png\n")
    assert main(["predict", str(home / "run"), str(tmp_path / "new.csv")]) == 2
    assert "new.csv line 2: " in capsys.readouterr().err


def test_a_batch_begins_with_the_begin_and_ends_with_the_end() -> None:
    network = Network(
        CaptionerConfig(
            cell="gru",
            hidden_size=2,
            embedding_size=2,
            targets=3,
            rows=2,
            columns=2,
            channels=1,
            filters=1,
            blocks=1,
        )
    )
    batch = text_batch((np.zeros((2, 1, 2, 2), np.float32),), [np.array([1, 2]), np.array([0])], network)
    assert batch.inputs.T.tolist() == [[3, 1, 2], [3, 0, 0]] and batch.lengths.tolist() == [3, 2]
    assert batch.outputs.T.tolist() == [[1, 2, 3], [0, 3, 0]]
