"""``backtime derive``: what is printed, against Python and torch; what is refused."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backtime.cli.main import main
from backtime.data.text.vocabulary import Vocabulary
from backtime.insight import paths, read_network
from backtime.insight.unfolded.network_files import network_from_json, network_to_json
from backtime.insight.unfolded.partials import Use, Values
from backtime.models import LanguageConfig, load_model
from backtime.models.file import ModelFile, write_model
from derive_shell import printed

pytestmark = pytest.mark.usefixtures("own_folder")

EXAMPLE = """\
dE_{t+1}/dWx of layer 1 (S), rnn: 3 paths

dE_{t+1}/dy_{t+1} dy_{t+1}/dZ_{t+1} dZ_{t+1}/dS_{t+1} dS_{t+1}/dWx
dE_{t+1}/dy_{t+1} dy_{t+1}/dZ_{t+1} dZ_{t+1}/dS_{t+1} dS_{t+1}/dS_t dS_t/dWx
dE_{t+1}/dy_{t+1} dy_{t+1}/dZ_{t+1} dZ_{t+1}/dZ_t     dZ_t/dS_t     dS_t/dWx

path  lag       norm    share  value
"""


def as_json(capsys: pytest.CaptureFixture[str], *words: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(printed(capsys, *words, "--json"))
    return found


def test_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "--layers", 2, "--steps", 2, "--wrt", "Wx", "--names", "S,Z")
    assert out.startswith(EXAMPLE)
    assert "The 3 paths add up to the gradient of backpropagation through time" in out


def test_json_says_the_same_as_python(capsys: pytest.CaptureFixture[str]) -> None:
    words = "--cell gru --steps 3 --layers 1 --wrt Wh --at 2 --seed 5 --reset-before --loss cross-entropy"
    found = as_json(capsys, *words.split(), "--hidden-size", 3, "--input-size", 1, "--output-size", 4)
    expected = paths(
        "gru", "Wh", 2, layers=1, steps=3, seed=5, reset_after=False, loss="cross-entropy",
        hidden_size=3, input_size=1, output_size=4,
    )  # fmt: skip
    assert found["count"] == len(found["paths"]) == expected.count and found["adds_up"] is True
    assert found["gradient"] == expected.gradient.tolist()
    total = sum(np.array(path["value"]) for path in found["paths"])
    assert total == pytest.approx(expected.gradient, abs=1e-15)
    assert [path["text"] for path in found["paths"]] == [path.text for path in expected.paths]
    assert found["paths"][0]["factors"][0] == "dE_2/dy_2"
    assert [group["lag"] for group in found["groups"]] == [0, 1]
    assert network_to_json(network_from_json(found["network"])) == found["network"]


def test_numbers_from_json_are_derived_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    first = as_json(capsys, "--cell", "lstm", "--wrt", "b2", "--loss", "binary-cross-entropy")
    (tmp_path / "network.json").write_text(json.dumps(first["network"]))
    again = as_json(capsys, "--weights", "network.json", "--wrt", "b2", "--max-paths", 5)
    assert (
        again["gradient"] == first["gradient"] and again["paths"] == [] and again["groups"] == first["groups"]
    )


def test_factors_are_printed_with_their_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    words = "--layers 1 --hidden-size 1 --input-size 1 --output-size 1 --factors --wrt Wh"
    out = printed(capsys, *words.split())
    number = {name: float(value) for name, value in re.findall(r"(?m)^(d\S+/d\S+) = \[+([-.\d]+)\]+$", out)}
    terms = re.findall(r"(?m)^ +\d +\d .* \[\[ ?([-.\d]+)\]\]$", out)
    for line, term in zip(out.splitlines()[2:4], terms, strict=True):
        product = np.prod([number[name] for name in line.split()])
        assert product == pytest.approx(float(term), abs=2e-5)  # printed with five decimals


def test_states_by_layer_and_lag(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--layers", 3, "--steps", 5, "--at", 4, "--names", "A,B,C")
    out, states = printed(capsys, *words, "--states"), as_json(capsys, *words)["states"]
    rows = re.findall(r"(?m)^ +([ABC]) +(\d) +(\d+) +(\S+)$", out)
    assert rows == [
        ("ABC"[s["layer"] - 1], str(s["lag"]), str(s["count"]), f"{s['norm']:.6g}") for s in states
    ]
    assert [int(row[2]) for row in rows] == [math.comb(k + d, d) for d in range(3) for k in range(4)]


# A trained model.


def model_file(path: Path, **options: Any) -> Path:
    config = LanguageConfig(
        **({"cell": "lstm", "hidden_size": 5, "layers": 2, "vocabulary_size": 4} | options)
    )
    random = np.random.default_rng(1)
    tensors = {name: random.standard_normal(s).astype(np.float32) for name, s in config.shapes().items()}
    encoding = {"vocabulary": Vocabulary("char", list("abcd")).to_json()}
    write_model(path, ModelFile("language", config, encoding, tensors))
    return path


@pytest.mark.parametrize(
    "options", [{}, {"embedding_size": 3}, {"embedding_size": 5, "tie_weights": True}, {"cell": "gru"}]
)
def test_a_model_with_a_text_against_torch(
    options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    model_file(Path("model.safetensors"), **options)
    found = as_json(capsys, "--weights", "model.safetensors", "--text", "abcdab", "--wrt", "Wh2")
    model, file = load_model("model.safetensors")
    vocabulary = Vocabulary.from_json(file.encoding["vocabulary"])
    model.double().eval()
    ids = torch.from_numpy(vocabulary.encode("abcdab")).long()[:, None]
    h, _ = model(ids[:-1], None)
    loss = torch.nn.functional.cross_entropy(model.head.logits(h)[-1], ids[-1])
    loss.backward()
    assert found["E"] == pytest.approx(loss.item(), rel=1e-12)
    gradient = dict(model.named_parameters())["rnn.weight_hh_l1"].grad
    assert gradient is not None and found["adds_up"] and found["steps"] == 5
    # both in float64, some hundred operations
    assert np.array(found["gradient"]) == pytest.approx(gradient.numpy(), abs=1e-13)


def test_a_model_with_a_loss_in_the_middle(capsys: pytest.CaptureFixture[str]) -> None:
    model_file(Path("m.safetensors"), cell="rnn")
    middle = as_json(capsys, "--weights", "m.safetensors", "--text", "abcdab", "--at", 3)
    short = as_json(capsys, "--weights", "m.safetensors", "--text", "abcd", "--at", 3)
    assert middle["gradient"] == short["gradient"] and middle["E"] == short["E"]
    last = as_json(capsys, "--weights", "m.safetensors", "--text", "ddabcd", "--steps", 3, "--at", 3)
    assert last["gradient"] == short["gradient"]  # the last symbols of the text


def test_a_model_with_symbols_by_chance(capsys: pytest.CaptureFixture[str]) -> None:
    model_file(Path("m.safetensors"))
    words = ("--weights", "m.safetensors", "--steps", 4)
    assert as_json(capsys, *words, "--seed", 1) == as_json(capsys, *words, "--seed", 1)
    assert as_json(capsys, *words, "--seed", 1)["E"] != as_json(capsys, *words, "--seed", 2)["E"]


def test_a_model_of_ordinary_size(tmp_path: Path) -> None:
    model_file(tmp_path / "m.safetensors", hidden_size=128)
    found = paths(read_network(tmp_path / "m.safetensors", "abcd" * 12), "Wh")
    assert found.adds_up and found.count > 10**20 and len(found.groups) == 47


# Faults and refusals.


def test_terms_that_do_not_add_up_are_said_and_counted_as_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = Values.use
    monkeypatch.setattr(Values, "use", lambda *a: Use(right(*a).slope * (1 + 1e-11), right(*a).met))
    assert main(["derive"]) == 1
    assert "WRONG: the paths DO NOT add up to the gradient" in capsys.readouterr().out


BAD = [
    ("--wrt Wy", "wrt is 'Wy'"),
    ("--at 3", "at is '3'; expected a step from 1 to 2"),
    ("--layers 0", "layers is 0"),
    ("--layers two", "--layers"),
    ("--cell jordan", "jordan"),
    ("--names S", "names has 1 names"),
    ("--cell lstm --activation relu", "activation"),
    ("--text abc", "--text is given; expected it with --weights"),
    ("--path 2", "--path is given; expected it with --picture"),
    ("--picture a.pdf", "a.pdf; expected a file name with .svg or .png"),
    ("--picture a.svg --path 4", "path is 4; expected a number from 1 to 3"),
    ("--picture a.svg --path 1 --steps 50", "50 steps"),
    ("--picture gone/a.svg", "gone/a.svg"),
    ("--latex gone/a.tex", "gone/a.tex"),
    ("--weights gone.safetensors", "gone.safetensors: no such file"),
    ("--weights gone.json", "cannot read gone.json"),
    ("--weights m.safetensors --layers 3", "--layers cannot be combined with --weights"),
    ("--weights m.safetensors --reset-before", "--reset-before cannot be combined with --weights"),
    ("--weights m.safetensors --text abx", "'x'"),
    ("--weights m.safetensors --text a", "text has 1 symbols; expected at least 2"),
    ("--weights m.safetensors --text abc --steps 3", "text has 3 symbols; expected at least 4"),
    ("--weights m.safetensors --steps 0", "steps is 0"),
    ("--weights m.safetensors --seed -1", "seed is -1"),
    ("--weights m.safetensors --steps 99999", "steps is 99999"),
    ("--weights m.safetensors --at 7", "at is 7; expected a step from 1 to 2"),
    ("--weights broken.json", "broken.json is not JSON"),
    ("--weights list.json", "list.json: the network is '[]'; expected an object"),
    ("--weights lacks.json", "lacks.json: the network lacks layers"),
    ("--weights strange.json", "the network has 'V'"),
    ("--weights layer.json", "a layer is"),
    ("--weights ragged.json", "not an array"),
    ("--weights state.json", "state"),
    ("--weights parts.json", "state does not fit"),
    ("--weights cell.json", "cell is ['rnn']"),
    ("--weights none.json", "layers is empty"),
    ("--weights flat.json", "Wh has shape (1,)"),
    ("--weights options.json", "activation is 3"),
    ("--weights target.json", "target is 'x'"),
    ("--weights deep.json", "x has shape (1, 1, 1)"),
    ("--weights list.json --text ab", "list.json has its own sequence x"),
]


@pytest.mark.parametrize(("words", "reason"), BAD)
def test_bad_input_is_one_line(words: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    model_file(Path("m.safetensors"))
    good = network_to_json(paths("rnn").network)
    for name, value in {
        "list": [],
        "lacks": {"cell": "rnn"},
        "strange": good | {"V": 1},
        "layer": good | {"layers": [[1]]},
        "ragged": good | {"x": [[1, 2], [3]]},
        "state": good | {"state": 5},
        "parts": good | {"state": [5, 6]},
        "cell": good | {"cell": ["rnn"]},
        "none": good | {"layers": []},
        "flat": good | {"layers": [{"Wx": [1.0], "Wh": [1.0]}] * 2},
        "options": good | {"options": {"activation": 3}},
        "target": good | {"target": "x", "loss": "cross-entropy"},
        "deep": good | {"x": [[[1.0]]]},
    }.items():
        Path(f"{name}.json").write_text(json.dumps(value))
    Path("broken.json").write_text("{")
    try:
        status = main(["derive", *words.split()])
    except SystemExit as exit:
        status = int(exit.code or 0)
    out, error = capsys.readouterr()
    assert status == 2 and out == "" and error.startswith("backtime: ") and error.count("\n") == 1
    assert reason in error, error


def test_it_runs_without_torch_and_says_where_matplotlib_is_missing() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from backtime.cli.main import main\n"
        "assert main(['derive', '--cell', 'lstm', '--steps', '3', '--latex', 'a.tex']) == 0\n"
        "assert 'torch' not in sys.modules\n"
        "sys.exit(main(['derive', '--picture', 'a.svg']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "backtime: a picture needs matplotlib: pip install matplotlib\n"
