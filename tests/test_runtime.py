"""Models without PyTorch: the same logits, the same text every time, and files refused in one line."""

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from backtime import UsageError, kernels, runtime
from backtime.data.text.vocabulary import Vocabulary
from backtime.errors import DataWarning
from backtime.models.config import LanguageConfig
from backtime.models.file import ModelFile, read_model, write_model

V = 8
CHARACTERS = Vocabulary("char", list("abcdef \n"))
CONFIGS = [
    LanguageConfig("rnn", 5, 2, V, activation="relu"),
    LanguageConfig("gru", 5, 1, V, embedding_size=3),
    LanguageConfig("gru", 5, 1, V, reset_after=False),
    LanguageConfig("lstm", 5, 2, V, embedding_size=5, tie_weights=True),
    LanguageConfig("lstm", 5, 1, V),
]


def write(path: Path, config: LanguageConfig = CONFIGS[-1], vocabulary: Vocabulary = CHARACTERS) -> Path:
    rng = np.random.default_rng(0)
    tensors = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in config.shapes().items()}
    encoding = {"vocabulary": vocabulary.to_json()}
    write_model(path, ModelFile("language", config, encoding, tensors))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "model.safetensors")


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_same_logits_as_the_pytorch_model(config: LanguageConfig, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from backtime.models import load_model

    file = write(tmp_path / "m", config)
    tokens = [0, 3, 7, 7, 1, 5]
    model, _ = load_model(file)
    with torch.no_grad():
        expected = model.eval().head.logits(model(torch.tensor(tokens)[:, None])[0])[:, 0].numpy()
    for backend in ("auto", "reference"):
        stream = runtime.load(file, backend).stream()
        found = np.array([stream.step(token) for token in tokens])
        # float32 sums of ten terms of size 1 in another order
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)


def test_a_stream_can_be_left_and_resumed(path: Path) -> None:
    model = runtime.load(path)
    stream = model.stream()
    stream.step(3)
    kept = [part.copy() for part in stream.state]
    once = stream.step(4).copy()
    again = model.stream(kept)
    assert np.array_equal(again.step(4), once)
    assert not np.array_equal(kept[0], again.state[0])  # a copy was advanced, not what was given
    with pytest.raises(UsageError, match="state has shapes"):
        model.stream(kept[:1])
    with pytest.raises(UsageError, match="token is 8; expected 0 to 7"):
        stream.step(8)


def test_text_is_the_same_for_a_seed_on_any_number_of_threads(path: Path) -> None:
    before = kernels.engine_info()["threads"]
    texts = []
    try:
        for threads in (1, 2, 3):
            kernels.set_threads(threads)
            texts.append("".join(runtime.load(path).sample("abc", length=300, seed=4)))
    finally:
        kernels.set_threads(before)
    assert texts[0] == texts[1] == texts[2]
    assert len(texts[0]) == 300
    assert texts[0] != "".join(runtime.load(path).sample("abc", length=300, seed=5))


def test_prompt_is_read_and_not_repeated(path: Path) -> None:
    model = runtime.load(path)
    stream = model.stream()
    for token in model.vocabulary.encode("fade"):
        logits = stream.step(int(token))
    first = model.vocabulary.decode([int(logits.argmax())])
    assert next(model.sample("fade", greedy=True)) == first
    whole = "".join(model.sample("fade", length=20, greedy=True))
    assert "".join(model.sample("fade" + whole[:7], length=13, greedy=True)) == whole[7:]


def test_an_empty_prompt_is_the_start_of_a_line(path: Path, tmp_path: Path) -> None:
    model = runtime.load(path)
    assert "".join(model.sample(length=30)) == "".join(model.sample("\n", length=30))
    other = runtime.load(write(tmp_path / "m", vocabulary=Vocabulary("char", list("abcdefgh"))))
    assert "".join(other.sample(length=30)) == "".join(other.sample("a", length=30))


def test_words_and_bytes(tmp_path: Path) -> None:
    words = Vocabulary("word", ["<unk>", "<eos>", "a", "b", "c", "d", "e", "f"])
    model = runtime.load(write(tmp_path / "words", vocabulary=words))
    with pytest.warns(DataWarning, match="1 of the 3 words of the prompt"):
        text = "".join(model.sample("a strange b", length=50))
    assert text[0] in " \n" and not {"  ", "\n "} & set(map("".join, itertools.pairwise(text)))
    assert len(text.replace("\n", " <eos> ").split()) == 50
    config = LanguageConfig("rnn", 4, 1, 256)
    text = "".join(
        runtime.load(write(tmp_path / "bytes", config, Vocabulary("byte"))).sample("é", length=200)
    )
    assert len(text) <= 200 and "\ufffd" in text  # random bytes are mostly no UTF-8


def test_stop_and_length(path: Path) -> None:
    model = runtime.load(path)
    text = "".join(model.sample(length=400, seed=1))
    stop = text[100:103]
    assert "".join(model.sample(length=400, seed=1, stop=stop)) == text[: text.index(stop)]
    assert "".join(model.sample(length=400, seed=1, stop="zz")) == text
    assert "".join(model.sample("ab", length=0)) == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": "ab\u00e9"}, "prompt: .*'\u00e9'"),
        ({"length": -1}, "length is -1; expected a whole number from 0"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"stop": ""}, "stop is empty"),
    ],
)
def test_bad_arguments_are_refused_at_once(path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        runtime.load(path).sample(**arguments)


def test_a_file_cut_anywhere_is_refused(path: Path, tmp_path: Path) -> None:
    whole, cut = path.read_bytes(), tmp_path / "cut"
    for end in {*range(40), *range(40, len(whole), 37), len(whole) - 1}:
        cut.write_bytes(whole[:end])
        with pytest.raises(UsageError, match="is not a whole safetensors file") as caught:
            read_model(cut)
        assert "\n" not in str(caught.value)


def test_a_file_with_any_byte_changed_is_refused_or_read(path: Path, tmp_path: Path) -> None:
    """No checksum: a changed weight is a weight. But nothing other than a UsageError may come out."""
    whole, changed = path.read_bytes(), tmp_path / "changed"
    refused = 0
    header = 8 + int.from_bytes(whole[:8], "little")
    for at in range(0, header, 3):
        changed.write_bytes(whole[:at] + bytes([whole[at] ^ 0x15]) + whole[at + 1 :])
        try:
            read_model(changed)
        except UsageError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > header / 3 * 0.9


def altered(path: Path, tensors: dict[str, Any], **metadata: str | None) -> Path:
    """The model with some tensors and metadata replaced; None takes one away."""
    found: dict[str, Any] = load_file(path) | tensors
    kept = {name: text for name, text in (_metadata(path) | metadata).items() if text is not None}
    other = path.with_name("altered")
    save_file({name: value for name, value in found.items() if value is not None}, other, kept)
    return other


def _metadata(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return dict(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"])


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({}, {"format": None}, "not a backtime model"),
        ({}, {"format": "pt"}, "not a backtime model"),
        ({}, {"format_version": "3"}, "format version '3' is newer than this backtime; expected 2"),
        ({}, {"format_version": "one"}, "format version 'one' is unknown"),
        ({}, {"format_version": "1", "kind": "tagger"}, "a model of kind 'tagger'; expected 'language'"),
        ({}, {"task": None}, "metadata lacks task"),
        ({}, {"network": "painter"}, "the network is 'painter'; expected one of aligned"),
        ({}, {"encoding": "[]"}, r"metadata encoding is \[\]; expected an object"),
        ({}, {"encoding": "{"}, "metadata encoding is not JSON"),
        ({}, {"config": None}, "metadata config is not JSON"),
        ({}, {"config": "{}"}, "the configuration lacks cell"),
        ({}, {"config": "[" * 100_000}, "metadata config is not JSON"),
        ({}, {"encoding": '{"vocabulary": {"level": "char", "symbols": ["a"]}}'}, "vocabulary has 1 symbols"),
        ({}, {"encoding": '{"vocabulary": 7}'}, "the vocabulary is 7"),
        ({}, {"encoding": "{}"}, "the vocabulary is None"),
        ({"head.bias": None}, {}, "tensor head.bias is missing"),
        ({"head.bias": np.zeros(7, np.float32)}, {}, r"tensor head.bias has shape \(7,\); expected \(8,\)"),
        ({"more": np.zeros(7, np.float32)}, {}, "tensor 'more' does not belong"),
        ({"head.bias": np.zeros(8, np.float16)}, {}, "tensors are F16 and F32; expected all F32 or all F64"),
        ({"head.bias": np.zeros(8, np.int64)}, {}, "tensors are F32 and I64"),
    ],
)
def test_what_does_not_fit_is_refused(
    path: Path, tensors: dict[str, Any], metadata: dict[str, str | None], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read_model(altered(path, tensors, **metadata))
    assert "altered: " in str(caught.value) and "\n" not in str(caught.value)


def test_an_unaltered_copy_by_the_safetensors_library_is_read(path: Path) -> None:
    assert read_model(altered(path, {})).config == read_model(path).config


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere: no such file; expected a model file"):
        runtime.load(tmp_path / "nowhere")


def test_torch_is_not_imported(path: Path) -> None:
    code = (
        "import sys; from backtime import runtime; m = runtime.load(sys.argv[1]); "
        "''.join(m.sample(length=5)); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
