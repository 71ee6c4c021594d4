"""Labelled texts, series, images and clips from their files; what is wrong is told with file and line."""

import gzip
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtime.data.batching.steps import Encoder, scale_of, symbols_of
from backtime.data.examples import Example
from backtime.data.labelled import Reading, read_labelled, read_unlabelled
from backtime.data.lexicon import opened
from backtime.errors import UsageError

Image = pytest.importorskip("PIL.Image", reason="the extra images")
TS = "# about\n@problemName x\n@timeStamps false\n@classLabel true a b\n@data\n1,2,3:4,5,6:a\n7.5:8e1:b\n"
JSON = '{"text": "a", "label": 1}\n'
READING = Reading()


def read(source: Path, **options: str) -> list[Example]:
    return list(read_labelled(source, Reading(**options)))


def contents(found: list[Example]) -> list[tuple[Any, str | None]]:
    return [(e.content if isinstance(e.content, str) else e.content.tolist(), e.label) for e in found]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'id,text,label\r\n1,"one, ""two""",x\r\n\r\n2,three,y\r\n'),
        ("a.tsv", 'label\ttext\nx\tone, "two"\ny\tthree\n'),
        ("a.jsonl", '{"text": "one, \\"two\\"", "label": "x"}\n{"label": "y", "text": "three"}\n'),
    ],
)
def test_texts(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode())
    assert contents(read(path)) == [('one, "two"', "x"), ("three", "y")]
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content.encode()))
    assert contents(read(tmp_path / f"{name}.gz")) == contents(read(path))
    found = read_unlabelled(path, READING, texts=True)
    assert [own.content for own in found] == ['one, "two"', "three"]


def test_texts_of_other_columns_and_folders(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("review,stars\ngood,5\n")
    assert contents(read(tmp_path / "a.csv", text="review", label="stars")) == [("good", "5")]
    pair, files = tmp_path / "pair", tmp_path / "files"
    pair.mkdir()
    (pair / "seq.in").write_text("play it\nstop\n")
    (pair / "label").write_text("x\ny\n")
    assert contents(read(pair)) == [("play it", "x"), ("stop", "y")]
    assert [e.label for e in read_unlabelled(pair, READING, texts=True)] == [None, None]
    files.mkdir()
    (files / "Dutch.txt").write_text("Smit\n")
    (files / "Czech.txt").write_text("Novák\nAdamec\n")
    assert contents(read(files)) == [("Novák", "Czech"), ("Adamec", "Czech"), ("Smit", "Dutch")]


def test_lines_without_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one, two\nthree\n")))
    found = list(read_unlabelled(None, READING, texts=True))
    assert [own.content for own in found] == ["one, two", "three"] and found[0].label is None


def test_numbers_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def given(text: bytes) -> list[Any]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        return [own.content.tolist() for own in read_unlabelled(None, READING, texts=False)]

    assert given(b"[[1.5, 2], [3, 4]]\n[5, 6]\n") == [[[1.5, 2], [3, 4]], [[5], [6]]]
    for text, message in [
        (b"[1]\nok\n", r"standard input line 2 is 'ok'; expected a list of steps: \[\["),
        (b"[[1], [2, 3]]\n", "standard input line 1 is"),
        (b"[]\n", r"standard input line 1 has shape \(0,\); expected a list of steps"),
        (b"[[1, 2], [NaN, 3]]\n", "standard input line 1 is nan at step 1, channel 0; expected finite"),
    ]:
        with pytest.raises(UsageError, match=message):
            given(text)


def test_ts(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_text(TS)
    found = read(tmp_path / "a.ts")
    assert contents(found) == [([[1, 4], [2, 5], [3, 6]], "a"), ([[7.5, 80]], "b")]
    assert found[1].place.endswith("a.ts line 7")
    (tmp_path / "b.ts").write_text("@classLabel false\n@data\n1,2\n")
    assert contents(list(read_unlabelled(tmp_path / "b.ts", READING, texts=False))) == [([[1], [2]], None)]


def test_tables_of_numbers(tmp_path: Path) -> None:
    wide, long = tmp_path / "wide.csv", tmp_path / "long.csv"
    wide.write_text("label,t0,t1,t2\nx,1,2,3\ny,4,5,\n")
    assert contents(read(wide)) == [([[1], [2], [3]], "x"), ([[4], [5]], "y")]
    long.write_text("series,label,left,right\n1,x,1,2\n1,x,3,4\n2,y,5,6\n")
    assert contents(read(long)) == [([[1, 2], [3, 4]], "x"), ([[5, 6]], "y")]
    (tmp_path / "new.csv").write_text("series,left,right\n7,1,2\n")
    found = list(read_unlabelled(tmp_path / "new.csv", READING, texts=False))
    assert contents(found) == [([[1, 2]], None)]


def test_npz(tmp_path: Path) -> None:
    path, x = tmp_path / "a.npz", np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    np.savez(path, x=x, y=[7, 8])
    assert contents(read(path)) == [(x[0].tolist(), "7"), (x[1].tolist(), "8")]
    np.savez(path, x=x, y=["a", "b"], lengths=[2, 4])  # padded
    assert contents(read(path)) == [(x[0, :2].tolist(), "a"), (x[1].tolist(), "b")]
    np.savez(path, x=x.reshape(8, 3), y=["a", "b"], lengths=[3, 5])  # one after the other
    assert [len(own.content) for own in read(path)] == [3, 5]
    np.savez(path, x=np.zeros((2, 5, 4, 3), np.uint8), y=[0, 1])  # clips: a frame is a step
    assert [own.content.shape for own in read(path)] == [(5, 12)] * 2
    np.savez(path, x=np.zeros((2, 4, 3), np.uint8), y=[0, 1])
    assert [own.content.shape for own in read(path, steps="pixels")] == [(12, 1)] * 2


def idx(values: np.ndarray[Any, Any]) -> bytes:
    head = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    return head + values.astype(np.uint8).tobytes()


def test_idx(tmp_path: Path) -> None:
    images = np.arange(24).reshape(2, 3, 4)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.array([3, 9]))))
    found = read(tmp_path / "train-images-idx3-ubyte.gz")
    assert contents(found) == [(images[0].tolist(), "3"), (images[1].tolist(), "9")]
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.array([3]))))
    with pytest.raises(UsageError, match="has 1 labels; expected 2, one an image"):
        read(tmp_path / "train-images-idx3-ubyte.gz")
    (tmp_path / "test-images-idx3-ubyte").write_bytes(idx(images)[:-1])
    with pytest.raises(UsageError, match="is no whole idx file of bytes in 3 dimensions"):
        read(tmp_path / "test-images-idx3-ubyte")


def draw(path: Path, shape: tuple[int, int], value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(shape, value, np.uint8)).save(path)


def test_pictures_and_clips(tmp_path: Path) -> None:
    draw(tmp_path / "still" / "cat" / "1.png", (2, 3), 5)
    draw(tmp_path / "still" / "dog" / "1.png", (2, 3), 6)
    assert contents(read(tmp_path / "still")) == [([[5] * 3] * 2, "cat"), ([[6] * 3] * 2, "dog")]
    for frame in range(3):
        draw(tmp_path / "clips" / "left" / "a" / f"{frame}.png", (2, 2), frame)
    assert contents(read(tmp_path / "clips")) == [([[0] * 4, [1] * 4, [2] * 4], "left")]
    [clip] = read_unlabelled(tmp_path / "clips" / "left", READING, texts=False)
    [still] = read_unlabelled(tmp_path / "still" / "cat" / "1.png", READING, texts=False)
    assert clip.content.shape == (3, 4) and still.content.tolist() == [[5] * 3] * 2
    draw(tmp_path / "clips" / "left" / "a" / "9.png", (2, 3), 1)
    with pytest.raises(UsageError, match=r"9\.png is 2 x 3; expected 2 x 2, as 0\.png"):
        read(tmp_path / "clips")
    (tmp_path / "still" / "dog" / "2.png").write_bytes(b"no picture")
    with pytest.raises(UsageError, match=r"2\.png is no picture"):
        read(tmp_path / "still")


WRONG = [
    ("a.csv", "text,label\na,x\nb\n", "a.csv line 3 has 1 columns; expected 2: text, label"),
    ("a.csv", 'text,label\n"a\nb",x\n', "a.csv line 2: a quote does not end in its line"),
    ("a.csv", 'text,label\n"a"b,x\n', "a.csv line 2 is no CSV"),
    ("a.csv", "text,text\n", "a.csv line 1 names a column twice: text, text"),
    ("a.csv", "word,label\na,x\n", "a.csv line 2 has no column 'text' but word, label; expected a text and"),
    ("a.tsv", "text\na\n", "a.tsv line 2 has no column 'label' but text; expected .* a tab and"),
    ("a.csv", "text,label\n ,x\n", "a.csv line 2 has an empty text; expected at least one word"),
    ("a.csv", "text,label\na, \n", "a.csv line 2 has no label; expected one"),
    ("a.csv", b"text,label\n\xff,x\n", "a.csv line 2 is not UTF-8: byte 0xff"),
    ("a.jsonl", "{\n", 'a.jsonl line 1 is no JSON object .*like \'{"text": "play a song"'),
    ("a.jsonl", JSON + "[]\n", "a.jsonl line 2 is no JSON object; expected a text and its label"),
    ("a.jsonl", '{"text": "a", "label": []}\n', r"a.jsonl line 1 has the label \[\]"),
    ("a.csv", "label,a,b\nx,1,2\ny,1,nan\n", "a.csv line 3 step 2 is nan; expected finite numbers"),
    ("a.csv", "label,a,b\nx,1,2\ny,1,two\n", "a.csv line 3 step 2 is 'two'; expected a number"),
    ("a.csv", "label,a,b\nx,1,2\ny,,\n", "a.csv line 3 has no values; expected a series of at least one"),
    ("a.csv", "series,label,c\n1,x,1\n1,y,1\n", "a.csv line 3 has the label 'y' in series '1', which began"),
    ("a.csv", "series,label,c\n1,x,inf\n", "a.csv line 2 column c is inf; expected finite numbers"),
    ("a.csv", "series,label,c\n1,x,?\n", r"a.csv line 2 column c is '\?'; expected a number"),
    ("a.csv", "series,label\n1,x\n", "a.csv line 2 has no channels; expected columns of numbers"),
    ("a.ts", "1,2:a\n", "a.ts line 1 comes before @data; expected a head of @ lines"),
    (
        "a.ts",
        TS + "1,2:3:a\n",
        r"a.ts line 8 has channels of \[1, 2\] steps; expected channels of one length",
    ),
    ("a.ts", TS + "1:NaN:a\n", "a.ts line 8 channel 2 step 1 is nan; expected finite numbers"),
    ("a.ts", TS + "1:?:a\n", r"a.ts line 8 channel 2 step 1 is '\?'; expected a number"),
    ("a.ts", TS + ":1:a\n", "a.ts line 8 channel 1 step 1 is ''; expected a number"),
    ("a.ts", TS + "1:1:c\n", "a.ts line 8 has the label 'c', which the head lacks"),
    ("a.ts", TS.replace("true", "false"), "a.ts line 6 has no label: the head says so"),
    ("a.ts", TS.replace("Stamps false", "Stamps true"), "a.ts has time stamps; expected @timeStamps false"),
    ("a.npz", "text", "a.npz is no NPZ archive of numbers"),
    ("a.npz", None, "cannot read .*a.npz: No such file"),
    ("a.xyz", "?", "a.xyz is of another kind; expected CSV, TSV or JSON lines"),
    ("a.xyz", None, "a.xyz is not there; expected CSV"),
]


@pytest.mark.parametrize(("name", "content", "message"), WRONG)
def test_wrong_files(tmp_path: Path, name: str, content: str | bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UsageError, match=message) as told:
        read(tmp_path / name)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((2, 3))}, "has x; expected arrays x and y"),
        ({"x": np.zeros(3), "y": np.zeros(3)}, r"x has shape \(3,\) and type float64; expected numbers"),
        ({"x": np.zeros((2, 3)), "y": np.zeros(3)}, r"y has shape \(3,\); expected \(2,\), a label a record"),
        ({"x": np.zeros((2, 3)), "y": np.zeros(2), "lengths": [2, 4]}, "lengths add up to 6"),
        ({"x": np.zeros((2, 3)), "y": np.zeros(2), "lengths": [2, 0]}, "expected whole numbers from 1"),
        ({"x": [[1, 2], [1, np.nan]], "y": [0, 1]}, "record 1 is nan at step 1, channel 0"),
        ({"x": np.array([["a"]]), "y": [0]}, "type <U1; expected numbers"),
        ({"x": np.array([[None]]), "y": [0]}, "no NPZ archive of numbers"),
    ],
)
def test_wrong_archives(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UsageError, match=message):
        read(tmp_path / "a.npz")


def test_wrong_folders(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no examples in it; expected"):
        read(tmp_path)
    (tmp_path / "seq.in").write_text("a\nb\n")
    (tmp_path / "label").write_text("x\n")
    with pytest.raises(UsageError, match=r"label ends before line 2, .*seq\.in does not"):
        read(tmp_path)


def test_symbols() -> None:
    assert symbols_of("It's 5 pm, né?", "word") == ["it", "'", "s", "5", "pm", ",", "né", "?"]
    assert symbols_of("Aé", "char") == ["A", "é"]


def test_scale() -> None:
    records = [np.array([[1.0, 5], [3, 5]]), np.array([[5.0, 5]])]
    scale = scale_of(records)
    every = (np.concatenate(records) - scale.mean) / scale.deviation
    np.testing.assert_allclose(every.mean(0), 0, atol=1e-7)
    np.testing.assert_allclose(every.std(0), [1, 0], atol=1e-7)  # a channel that never changes stays
    bytes_ = [np.array([[0, 200]], np.uint8)]
    assert scale_of(bytes_).mean.tolist() == [100, 100] == scale_of(bytes_).deviation.tolist()
    assert scale_of(records, standard=False).mean.tolist() == [0, 0]


def test_what_an_encoder_refuses() -> None:
    numbers = Encoder(None, "", scale_of([np.ones((2, 3))]))
    texts = Encoder(opened("symbol", {"a": 1}), "word", None)
    for encoder, content, message in [
        (numbers, "a", "there is a text; expected numbers, as in training"),
        (numbers, np.ones((2, 4)), "there has 4 numbers a step; expected 3"),
        (numbers, np.ones((0, 3)), "there is empty; expected at least one step"),
        (texts, np.ones((2, 4)), "there is numbers; expected texts, as in training"),
        (texts, " ", "there has an empty text"),
    ]:
        with pytest.raises(UsageError, match=message):
            encoder.encode(Example(content, None, "there"))
