"""Captions: strips of drawn digits to words, the runtime computes what the network does, bad input."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from backtime import tasks
from backtime.cli.main import main
from backtime.data.captions import Captioned, frame_of, held_out_image, read_captioned, read_images
from backtime.data.lexicon import Lexicon
from backtime.errors import UsageError
from backtime.models.captioner import Captioner as Network
from backtime.models.captioner import CaptionerConfig
from backtime.models.file import ModelFile
from backtime.models.saving import load_model
from backtime.runtime.captioner import Captioner
from backtime.tasks import scores
from backtime.tasks.caption import KIND, CaptionSettings, batch_of
from backtime.tasks.writing import text_batch

NAMES = ["zero", "one", "two", "three"]
GLYPHS = ["###|#.#|#.#|#.#|###", ".#.|.#.|.#.|.#.|.#.", "###|..#|###|#..|###", "###|..#|.##|..#|###"]
SMALL = ["--hidden-size", "64", "--embedding-size", "8", "--filters", "8", "--blocks", "2", "--dropout", "0"]
SMALL += ["--batch-size", "16", "--lr", "0.003", "--schedule", "cosine", "--quiet"]


def drawn(digits: Any, random: np.random.Generator) -> Any:
    """Digits side by side, each somewhere in its 8 x 8 pixels, with noise."""
    strip = random.integers(0, 60, (8, 8 * len(digits))).astype(np.uint8)
    for n, digit in enumerate(digits):
        row, column = random.integers(0, 4), 8 * n + random.integers(0, 6)
        glyph = np.array([[pixel == "#" for pixel in line] for line in GLYPHS[digit].split("|")])
        strip[row : row + 5, column : column + 3] += (glyph * random.integers(120, 190)).astype(np.uint8)
    return strip


def strips(count: int, seed: int, length: int = 3) -> tuple[Any, list[str]]:
    random = np.random.default_rng(seed)
    digits = random.integers(0, len(GLYPHS), (count, length))
    return np.stack([drawn(own, random) for own in digits]), [
        " ".join(NAMES[d] for d in own) for own in digits
    ]


def write_npz(path: Path, count: int, seed: int) -> Path:
    images, texts = strips(count, seed)
    np.savez(path, images=images, texts=np.array(texts))
    return path


def write_idx(folder: Path, images: Any, labels: Any) -> Path:
    for name, values in (("images-idx3", images), ("labels-idx1", np.array(labels, np.uint8))):
        head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
        (folder / f"some-{name}-ubyte.gz").write_bytes(gzip.compress(head + values.tobytes()))
    return folder / "some-images-idx3-ubyte.gz"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strips")
    words = ["train", str(write_npz(folder / "strips.npz", 1000, 1)), "--task", "caption", *SMALL]
    assert main([*words, "--attention", "--epochs", "10", "--out", str(folder / "run")]) == 0
    return folder


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


def test_a_folder_of_color_pictures_with_a_table(tmp_path: Path, capsys: Any) -> None:
    """Red and blue differ in color alone: as grey values they are the same."""
    rows = [(f"{name}{n}", f"a {name} one") for n in range(10) for name in ("red", "blue")]
    for n, (name, _) in enumerate(rows):
        image = np.full((9, 9, 3), n, np.uint8)
        image[..., 0 if "red" in name else 2] += np.uint8(100 if "red" in name else 262 - 256)
        folder = tmp_path / "pictures"
        folder.mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / f"{name}.png")
    table = "".join(json.dumps({"file": f"{name}.png", "text": text}) + "\n" for name, text in rows)
    (folder / "all.jsonl").write_text(table)
    words = ["train", str(folder), "--task", "caption", *SMALL, "--color", "--validation-fraction", "0"]
    assert main([*words, "--epochs", "20", "--out", str(tmp_path / "run")]) == 0
    assert main(["predict", str(tmp_path / "run"), str(folder)]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["text"] for row in found] == [
        f"a {Path(row['image']).stem.rstrip('0123456789')} one" for row in found
    ]
    assert main(["predict", str(tmp_path / "run"), str(folder / "red3.png")]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "a red one"
    assert main(["evaluate", str(tmp_path / "run"), str(folder / "all.jsonl"), "--json", "--most", "7"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["exact"] == 1 and scored["bleu"] == pytest.approx(100) and scored["images"] == 7


def test_an_idx_file_with_its_labels_or_a_file_of_texts(tmp_path: Path) -> None:
    images, texts = strips(5, 3, length=1)
    source = write_idx(tmp_path, images, [NAMES.index(text) for text in texts])
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n")
    found = list(read_captioned(source, tmp_path / "texts.txt", False))
    assert [own.text for own in found] == texts and found[2].name == f"{source} image 2"
    np.testing.assert_array_equal([own.image[..., 0] for own in found], images)
    labels = [str(NAMES.index(text)) for text in texts]
    assert [own.text for own in read_captioned(source, None, False)] == labels
    assert [own.text for own in read_images(source, False)] == [""] * 5


def test_what_is_trained_on_an_idx_file(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of texts is found again from another folder; a model of grey values takes arrays."""
    images, texts = strips(200, 3, length=1)
    source = write_idx(tmp_path, images, [0] * 200)
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n")
    monkeypatch.chdir(tmp_path)
    words = ["train", source.name, "--task", "caption", *SMALL, "--text-file", "texts.txt", "--out", "run"]
    assert main([*words, "--epochs", "8"]) == 0
    monkeypatch.chdir("/")
    run = str(tmp_path / "run")
    assert main(["train", "--resume", run, "--epochs", "9", "--quiet"]) == 0
    files = [str(source), "--text-file", str(tmp_path / "texts.txt")]
    assert main(["evaluate", run, *files, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["exact"] > 0.9 and found["bleu"] > 90  # of one word each: runs of one word
    own: Any = tasks.load(run)
    first = next(own.predict([images[0]]))
    assert first["image"] == "record 1" and first["text"] == texts[0]
    with pytest.raises(UsageError, match="record 1 is 4 x 4; expected 8 x 8, as in training"):
        next(own.predict([np.zeros((4, 4))]))
    with pytest.raises(UsageError, match="record 2 has shape"):
        list(own.predict([images[0], np.zeros(4)]))


def test_all_texts_of_an_image_are_on_one_side_and_each_is_right(tmp_path: Path) -> None:
    images = [np.full((2, 2, 1), n, np.uint8) for n in range(200)]
    found = [held_out_image(image, 0.2, 1) for image in images]
    assert 15 < sum(found) < 65 and found == [held_out_image(image.copy(), 0.2, 1) for image in images]
    references = [["a cat", "the cat sat"], ["a dog"]]
    assert scores.ngrams_of(references) == 3
    one = scores.translation_scores(["the cat sat", "a dog"], references, 3)
    assert one["bleu"] == pytest.approx(100)
    assert scores.translation_scores(["one"], [["one"]], 1)["bleu"] == pytest.approx(100)
    assert scores.translation_scores(["one"], [["two"]], 1)["bleu"] < 1


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


def bad_files() -> None:
    """Files of the folder that a bad command names."""
    image = np.zeros((8, 8), np.uint8)
    Image.fromarray(image).save("a.png")
    Image.fromarray(np.zeros((9, 7), np.uint8)).save("b.png")
    Path("broken.png").write_bytes(b"\x89PNG none")
    for name, rows in {
        "size.csv": "a.png,one\nb.png,two\n",
        "gone.csv": "a.png,one\nc.png,two\n",
        "broken.csv": "broken.png,one\n",
        "notext.csv": "a.png,one\na.png, \n",
        "quote.csv": 'a.png,"one\ntwo"\n',
        "ragged.csv": "a.png,one,two\n",
        "empty.csv": "",
        "long.csv": "a.png,one two three\n",
        "good.csv": "a.png,one\n" * 20,
    }.items():
        Path(name).write_text("file,text\n" + rows)
    Path("columns.csv").write_text("picture,words\na.png,one\n")
    Path("no.jsonl").write_text('{"file": "a.png", "text": 3}\n')
    Path("latin.csv").write_bytes(b"file,text\na.png,\xe9t\xe9\n")
    write_idx(Path(), np.zeros((3, 8, 8), np.uint8), [1, 2, 3])
    Path("two.txt").write_text("one\ntwo\n")
    Path("four.txt").write_text("one\ntwo\n3\n4\n")
    Path("gap.txt").write_text("one\n\ntwo\n")
    Path("x.txt").write_text("one\n")
    values = np.zeros((2, 8, 8))
    values[1, 3, 4] = np.nan
    np.savez("nan.npz", images=values, texts=np.array(["one", "two"]))
    np.savez("few.npz", images=values[:, :, :4], texts=np.array(["one"]))
    np.savez("names.npz", x=values)
    np.savez("flat.npz", images=values[0], texts=np.array(["one"]))
    np.savez("void.npz", images=np.zeros((2, 8, 8)), texts=np.array(["one", " "]))
    for folder in ("none", "both"):
        Path(folder).mkdir()
    for table in ("one.csv", "two.tsv"):
        (Path("both") / table).touch()


IDX = "some-images-idx3-ubyte.gz"
ROW = "expected a picture and its text, like 'cat.png,a cat on a mat' below 'file,text'"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("size.csv", "size.csv line 3: b.png is 9 x 7; expected 8 x 8, as size.csv line 2: a.png"),
        ("gone.csv", "gone.csv line 3: c.png: no such file; expected a picture"),
        ("broken.csv", "broken.csv line 2: broken.png is no picture"),
        ("notext.csv", f"notext.csv line 3 has no text; {ROW}"),
        ("columns.csv", f"columns.csv line 2 has no file; {ROW}"),
        ("no.jsonl", f"no.jsonl line 1 has no text; {ROW}"),
        ("quote.csv", "quote.csv line 2: a quote does not end in its line"),
        ("ragged.csv", "ragged.csv line 2 has 3 columns; expected 2: file, text"),
        ("latin.csv", "latin.csv line 2 is not UTF-8"),
        ("empty.csv", "empty.csv has no images in it"),
        ("long.csv --longest 2", "long.csv has no images to train on"),
        (
            "good.csv --blocks 4",
            "images are 8 x 8, and each of 4 blocks halves them; expected 16 x 16 and more",
        ),
        ("good.csv --text-file two.txt", "two.txt with good.csv, which has texts"),
        ("x.txt", "x.txt is of another kind; expected a CSV, TSV or JSON lines table of file and text"),
        ("away.csv.zip", "away.csv.zip is not there"),
        ("none", "none has none; expected one table of file and text, beside the pictures"),
        ("both", "both has one.csv, two.tsv; expected one table"),
        (f"{IDX} --text-file two.txt", f"two.txt ends before line 3, {IDX} has more images"),
        (f"{IDX} --text-file four.txt", f"four.txt goes on after line 3, {IDX} has 3 images"),
        (f"{IDX} --text-file gap.txt", "gap.txt line 2 is empty; expected a text for each image"),
        ("nan.npz", "nan.npz image 1 is nan at row 3, column 4; expected finite numbers"),
        ("few.npz", "few.npz: texts have shape (1,) and type <U3; expected 2 texts"),
        ("names.npz", "names.npz has x; expected arrays images and texts"),
        ("flat.npz", "flat.npz: images have shape (8, 8) and type float64; expected numbers (N, rows"),
        ("void.npz", "void.npz image 1 has no text"),
        ("good.csv --teacher-forcing 2", "--teacher-forcing is 2; expected a share"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    words: str, line: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bad_files()
    assert main(["train", *words.split(), "--task", "caption", "--out", "run", "--quiet"]) == 2
    found = capsys.readouterr().err
    assert line in found and found.count("\n") == 1 and not Path("run").exists()


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


def test_a_frame_is_that_of_all_images() -> None:
    own = [Captioned(np.zeros((4, 5, 3), np.uint8), "", f"{n}", f"{n}") for n in range(2)]
    assert frame_of(own).size == "4 x 5 x 3"
    with pytest.raises(UsageError, match="2 is 4 x 5; expected 4 x 5 x 3, as 0"):
        frame_of([*own, Captioned(np.zeros((4, 5, 1), np.uint8), "", "2", "2")])


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
