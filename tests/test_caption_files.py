"""Images with texts: folders, idx files, archives; what is refused."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backtime import tasks
from backtime.cli.main import main
from backtime.data.caption_files import read_captioned, read_images
from backtime.data.captions import Captioned, frame_of, held_out_image
from backtime.errors import UsageError
from backtime.tasks.shared import scores
from caption_strips import NAMES, SMALL, strips


def write_idx(folder: Path, images: Any, labels: Any) -> Path:
    for name, values in (("images-idx3", images), ("labels-idx1", np.array(labels, np.uint8))):
        head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
        (folder / f"some-{name}-ubyte.gz").write_bytes(gzip.compress(head + values.tobytes()))
    return folder / "some-images-idx3-ubyte.gz"


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


def test_a_frame_is_that_of_all_images() -> None:
    own = [Captioned(np.zeros((4, 5, 3), np.uint8), "", f"{n}", f"{n}") for n in range(2)]
    assert frame_of(own).size == "4 x 5 x 3"
    with pytest.raises(UsageError, match="2 is 4 x 5; expected 4 x 5 x 3, as 0"):
        frame_of([*own, Captioned(np.zeros((4, 5, 1), np.uint8), "", "2", "2")])
