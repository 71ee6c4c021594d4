"""Translation: it learns to write backwards, the runtime computes what the network does, bad input."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backtime import tasks
from backtime.cli.main import main
from backtime.data.pairs import held_out
from backtime.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from backtime.models.saving import load_model
from backtime.runtime.translator import Translator
from backtime.tasks.translate.task import batch_of

WORDS = ["one", "two", "three", "four", "five", "six", "seven"]
SMALL = [
    "--hidden-size",
    "32",
    "--embedding-size",
    "16",
    "--dropout",
    "0",
    "--batch-size",
    "16",
    "--min-count",
    "1",
    "--quiet",
]


def write_pairs(path: Path, count: int, seed: int = 0) -> None:
    """The translation has the words backwards, in capitals: each needs another place of the source."""
    random, rows = np.random.default_rng(seed), []
    for _ in range(count):
        words = random.choice(WORDS, random.integers(1, 5))
        rows.append(f"{' '.join(words)}.\t{' '.join(w.upper() for w in words[::-1])} !\tsomebody")
    path.write_text("\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder / "pairs.tsv", 900)
    words = ["train", str(folder / "pairs.tsv"), "--task", "translate", *SMALL, "--attention", "--lr", "0.01"]
    assert main([*words, "--epochs", "14", "--schedule", "cosine", "--out", str(folder / "run")]) == 0
    return folder


@pytest.mark.slow
def test_it_learns_to_write_backwards(home: Path, capsys: Any) -> None:
    write_pairs(home / "test.tsv", 40, seed=9)
    assert main(["evaluate", str(home / "run"), str(home / "test.tsv"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bleu"] > 90 and found["chrf"] > 90 and found["texts"] > 20
    assert (
        main(["predict", str(home / "run"), str(home / "test.tsv"), "--picture", str(home / "seen.png")]) == 0
    )
    row = json.loads(capsys.readouterr().out.splitlines()[0])
    words = row["source"].rstrip(".").split()
    assert row["translation"] == f"{' '.join(words[::-1])} !" and row["score"] > -0.2
    assert (home / "seen.png").read_bytes()[:4] == b"\x89PNG"


def test_attention_looks_where_the_word_comes_from(home: Path) -> None:
    own = tasks.load(home / "run")
    assert isinstance(own, Translator)
    found = own.translate("one two three four")
    assert found.symbols == ["four", "three", "two", "one", "!"] and found.attention is not None
    np.testing.assert_allclose(found.attention.sum(1), 1, atol=1e-5)
    assert found.attention.shape == (5, 4)


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_the_runtime_computes_what_the_network_does(cell: str, attention: bool) -> None:
    """The log-probabilities of each step of a known translation, and ragged batches beside single pairs."""
    from backtime.data.lexicon import Lexicon
    from backtime.models.file import ModelFile

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"sources": 6, "targets": 5, "embedding_size": 4, "hidden_size": 7, "layers": 2}
    network = EncoderDecoder(EncoderDecoderConfig(cell=cell, attention=attention, **sizes)).eval()
    random = np.random.default_rng(1)
    pairs = [(random.integers(0, 6, n), random.integers(0, 5, m)) for n, m in ((5, 2), (3, 6), (1, 1))]
    batch = batch_of(pairs, network)
    with torch.no_grad():
        logs = torch.log_softmax(network.head.logits(network(batch)), -1)
    symbols = {"sources": list("<bcdef"), "targets": list("<uvwx")}
    encoding: dict[str, Any] = {name: Lexicon("symbol", own).to_json() for name, own in symbols.items()}
    tensors = {name: value.numpy() for name, value in network.state_dict().items()}
    own = Translator(ModelFile("translate", network.config, encoding | {"level": {"level": "char"}}, tensors))
    for n, (source, target) in enumerate(pairs):
        read, state = own.look(source.tolist())
        for t, symbol in enumerate([network.config.end, *target.tolist()]):
            found, _ = own.step([symbol], state, read)
            np.testing.assert_allclose(found[0], logs[t, n].numpy(), atol=1e-4)


def test_a_beam_of_one_takes_the_likeliest_symbol_at_each_step(home: Path) -> None:
    own = tasks.load(home / "run")
    assert isinstance(own, Translator)
    read, state = own.look(own.sources.numbers(["seven", "six", "one"]))
    written, total, last = [], 0.0, own.config.end
    while not written or last != own.config.end:
        logs = own.step([last], state, read)[0][0]
        logs[0] = -np.inf  # nobody writes the unknown word
        last = int(logs.argmax())
        total += logs[last]
        written.append(last)
    found = own.translate("seven six one", beam=1)
    assert found.symbols == [own.targets.symbols[n] for n in written[:-1]]
    assert found.score == pytest.approx(total / len(written))
    assert own.translate("seven six one", beam=6).score >= found.score - 1e-9


def test_a_beam_of_one_ends_only_where_the_end_is_the_likeliest(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An end that is second at a sure step and better than what follows is no greedy text."""
    own = tasks.load(home / "run")
    assert isinstance(own, Translator)
    end, size = own.config.end, own.config.targets + 1
    steps = [{1: 0.5, end: 0.4}, {2: 0.1, end: 0.05}, {end: 0.9}]

    def said(h: Any, read: Any) -> Any:
        p = np.full(size, 1e-3)
        for symbol, share in steps.pop(0).items():
            p[symbol] = share
        return np.log(p)[None], None

    monkeypatch.setattr(own, "_scores", said)
    found = own.translate("one two three", beam=1)
    assert found.symbols == [own.targets.symbols[n] for n in (1, 2)] and not steps


@pytest.mark.slow
def test_scheduled_sampling_changes_the_training_and_resume_is_exact(home: Path, tmp_path: Path) -> None:
    def run(name: str, *flags: str) -> bytes:
        words = [
            "train",
            str(home / "pairs.tsv"),
            "--task",
            "translate",
            *SMALL,
            "--epochs",
            "2",
            "--out",
            name,
        ]
        assert main([*words, *flags]) == 0
        return (Path(name) / "last" / "model.safetensors").read_bytes()

    mixed = run(str(tmp_path / "a"), "--teacher-forcing", "0.3")
    assert mixed != run(str(tmp_path / "b"))
    steps = ["--teacher-forcing", "0.3", "--max-steps", "25", "--save-every", "5"]
    run(str(tmp_path / "c"), *steps)
    assert main(["train", "--resume", str(tmp_path / "c"), "--max-steps", "1000", "--quiet"]) == 0
    assert (tmp_path / "c" / "last" / "model.safetensors").read_bytes() == mixed


def test_all_pairs_of_a_source_are_on_one_side() -> None:
    texts = [f"text {n}" for n in range(4000)]
    found = [held_out(text, 0.1, 1) for text in texts]
    assert found == [held_out(text, 0.1, 1) for text in texts]
    assert 300 < sum(found) < 500 and found != [held_out(text, 0.1, 2) for text in texts]


def test_two_files_and_characters(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "a.txt").write_text("ab\nba\nabb\n" * 10)
    (tmp_path / "b.txt").write_text("AB\nBA\nABB\n" * 10)
    words = ["train", str(tmp_path / "a.txt"), "--task", "translate", *SMALL, "--level", "char"]
    words += ["--target-file", str(tmp_path / "b.txt"), "--validation-fraction", "0"]
    words += ["--epochs", "150", "--lr", "0.02", "--attention"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    network, file = load_model(tmp_path / "run")
    assert file.encoding["level"] == {"level": "char"} and network.config.targets == 3
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "a.txt")]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[2])["translation"] == "ABB"


@pytest.mark.parametrize(
    ("text", "flags", "line"),
    [
        ("go\n", [], "pairs.tsv line 1 is 'go'; expected two texts with a tab between them"),
        ("go\tva\nstay\t\n", [], "line 2 is"),
        ("go\tva\n", ["--target-file", "short.txt"], "line 2, "),
        ("...\tva\n", ["--level", "word", "--longest", "2"], "has no pairs to train on"),
        ("go\tva\n", ["--teacher-forcing", "2"], "--teacher-forcing is 2"),
        ("", [], "has no pairs to train on"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    text: str, flags: list[str], line: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pairs.tsv").write_text(text)
    Path("short.txt").write_text("va\nva\n")
    assert main(["train", "pairs.tsv", "--task", "translate", *flags, "--out", "run"]) == 2
    found = capsys.readouterr().err
    assert line in found and found.splitlines()[-1].startswith("backtime: ") and not Path("run").exists()


def test_a_picture_of_a_model_without_attention_is_refused(tmp_path: Path, capsys: Any) -> None:
    write_pairs(tmp_path / "pairs.tsv", 30)
    words = ["train", str(tmp_path / "pairs.tsv"), "--task", "translate", *SMALL, "--max-steps", "2"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    run, file = str(tmp_path / "run"), str(tmp_path / "pairs.tsv")
    assert main(["predict", run, file, "--picture", str(tmp_path / "a.png")]) == 2
    assert "the model has no attention" in capsys.readouterr().err
