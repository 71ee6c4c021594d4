"""Encoder and decoder as two ONNX files, and the greedy loop of docs/export.md, run by itself."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import backtime.tasks as tasks
from backtime.cli.main import main
from backtime.errors import UsageError
from backtime.export import export
from backtime.export.onnx import checks
from backtime.runtime.captioner import Captioner
from backtime.runtime.translator import Translator
from backtime.tasks import runs
from export_models import other

PAGE = Path(__file__).parents[1] / "docs" / "export.md"
WORDS = ["one", "two", "three", "four", "five", "six", "seven"]
SMALL = "--hidden-size 12 --embedding-size 6 --batch-size 16 --min-count 2 --lr 0.02 --dropout 0 --quiet"
KINDS = {
    "gru with attention": "--cell gru --attention",
    "lstm with attention": "--cell lstm --layers 2 --attention --skip-connections",
    "lstm": "--cell lstm --layers 2",
    "rnn, letters": "--cell rnn --level char --attention",
}


def functions() -> dict[str, Any]:
    """What the page's program defines."""
    program = next(
        own for own in re.findall(r"(?ms)^```python\n(.*?)^```", PAGE.read_text()) if "def greedy" in own
    )
    found: dict[str, Any] = {}
    exec(program, found)
    assert "backtime" not in program
    return found


def trained(folder: Path, words: str) -> Path:
    """A few steps: enough for texts that end, and differ from each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "draw_curves", lambda *parts: None)
        assert main(["train", *words.split(), *SMALL.split(), "--out", str(folder / "run")]) == 0
    assert main(["export", str(folder / "run"), "--to", "onnx", "--out", str(folder / "own.onnx")]) == 0
    return folder / "run"


@pytest.mark.parametrize("kind", KINDS)
def test_the_loop_of_the_page_translates_as_predict_does(kind: str, tmp_path: Path) -> None:
    """Greedily, that is with a beam of one; at several batch sizes, of texts of different lengths.

    Each target has a word of its own, so that the unknown symbol is often the likeliest.
    """
    random, rows = np.random.default_rng(0), []
    for n in range(200):
        words = random.choice(WORDS, random.integers(1, 7))
        rows.append(f"{' '.join(words)}.\tx{n} {' '.join(w.upper() for w in words[::-1])} !\n")
    (tmp_path / "pairs.tsv").write_text("".join(rows))
    run = trained(tmp_path, f"{tmp_path / 'pairs.tsv'} --task translate --max-steps 60 {KINDS[kind]}")
    own = tasks.load(run)
    assert isinstance(own, Translator)
    texts = [row.partition("\t")[0] for row in rows[:20]] + ["Nobody knows seven!"]
    ours = [str(row["translation"]) for row in own.predict(texts, beam=1)]
    assert len(set(ours)) > 5
    translate = functions()["translate"]
    for size in (1, 4, 21):
        parts = [texts[n : n + size] for n in range(0, len(texts), size)]
        assert [text for part in parts for text in translate(str(tmp_path / "own"), part)] == ours


@pytest.mark.parametrize("kind", ["--cell lstm --attention", "--cell gru"])
def test_the_loop_of_the_page_captions_as_predict_does(kind: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 255, (60, 6, 8), dtype=np.uint8)
    images[:30, :3] //= 4
    images[::2, :, 4:] //= 4
    texts = [f"{'dark' if n < 30 else 'light'} and {'thin' if n % 2 else 'thick'}" for n in range(60)]
    np.savez(tmp_path / "shown.npz", images=images, texts=np.array(texts))
    words = f"{tmp_path / 'shown.npz'} --task caption --filters 4 --blocks 1 --max-steps 40 {kind}"
    own = tasks.load(trained(tmp_path, words))
    assert isinstance(own, Captioner)
    ours = [str(row["text"]) for row in own.predict(images, beam=1)]
    assert len(set(ours)) > 1
    caption = functions()["caption"]
    for size in (1, 7, 60):
        found = [
            text for n in range(0, 60, size) for text in caption(str(tmp_path / "own"), images[n : n + size])
        ]
        assert found == ours


def test_the_attention_is_that_of_the_engine(tmp_path: Path) -> None:
    model = other("captioner")
    export(model, "onnx", tmp_path / "own.onnx")
    encoder, decoder = (
        onnxruntime.InferenceSession(tmp_path / f"own-{part}.onnx") for part in ("encoder", "decoder")
    )
    x = np.random.default_rng(1).standard_normal((2, 9, 8, 2)).astype(np.float32)
    h, read = encoder.run(["h_n", "read"], {"x": x})
    tokens = np.array([[4, 4], [1, 2], [3, 0]])
    (seen,) = decoder.run(["attention"], {"tokens": tokens, "h_0": h, "read": read})
    own = Captioner(model)
    for b in range(2):
        places, state = own.look(x[b])
        for t, token in enumerate(tokens[:, b]):
            _, ours = own.scores([token], state, places)
            assert ours is not None
            np.testing.assert_allclose(seen[t, b], ours[0], atol=1e-5)


def _spoil(part: str, change: Callable[[Any], None]) -> Any:
    """A session that runs a changed file: of the encoder, or of the decoder."""
    built = checks.session

    def spoiled(content: bytes) -> Any:
        own = onnx.ModelProto.FromString(content)
        if own.graph.name.endswith(part):
            change(own.graph)
        return built(own.SerializeToString())

    return spoiled


def _no_mask(graph: Any) -> None:
    """Places after the end of a shorter text are looked at."""
    (node,) = [node for node in graph.node if node.op_type == "Where"]
    node.CopyFrom(onnx.helper.make_node("Identity", [node.input[1]], list(node.output)))


def _other_state(graph: Any) -> None:
    """The cell's state in place of the hidden one, and the other way round."""
    outputs = {node.output[0]: node for node in graph.node if node.output[0] in ("h_n", "c_n")}
    h, c = (outputs[name].input[0] for name in ("h_n", "c_n"))
    outputs["h_n"].input[0], outputs["c_n"].input[0] = c, h


def _other_axis(graph: Any) -> None:
    """The softmax runs over the steps of the writing."""
    (node,) = [node for node in graph.node if node.op_type == "Softmax"]
    node.attribute[0].i = 1


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("-decoder", _no_mask),
        ("-encoder", _other_state),
        ("-decoder", _other_state),
        ("-decoder", _other_axis),
    ],
)
def test_a_fault_of_either_file_leaves_neither(
    part: str, change: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "session", _spoil(part, change))
    with pytest.raises(UsageError, match="no file is written"):
        export(other("encoder-decoder"), "onnx", tmp_path / "own.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("taken", ["own-encoder.onnx", "own-decoder.onnx"])
def test_both_files_or_neither(taken: str, tmp_path: Path) -> None:
    (tmp_path / taken).mkdir()
    with pytest.raises(UsageError, match=f"{taken} is a folder"):
        export(other("encoder-decoder"), "onnx", tmp_path / "own.onnx")
    assert [path.name for path in tmp_path.iterdir()] == [taken]
