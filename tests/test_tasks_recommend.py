"""Recommending: a catalogue whose optimum is known, the sampled loss, the runtime, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backtime import tasks
from backtime.cli.main import main
from backtime.models.recommender import Recommender, RecommenderConfig

ITEMS, NEXT = 60, 6  # of the catalogue; how many items may follow each


def catalogue(seed: int = 0) -> tuple[Any, Any]:
    """Of a Markov catalogue the items that may follow each, and how likely they are."""
    random = np.random.default_rng(seed)
    after = np.stack([random.choice(ITEMS, NEXT, replace=False) for _ in range(ITEMS)])
    share = random.dirichlet(np.full(NEXT, 0.6), ITEMS)
    return after, share


def write_sessions(path: Path, count: int, seed: int) -> float:
    """Sessions of that catalogue; returns the largest recall among ``TOP_FEW`` that anybody can have."""
    after, share = catalogue()
    random, rows, best, steps = np.random.default_rng(seed), ["session,item,time"], 0.0, 0
    for n in range(count):
        item = int(random.integers(ITEMS))
        for k in range(int(random.integers(3, 12))):
            rows.append(f"s{n},item{item},{n * 100 + k}")
            best += np.sort(share[item])[-TOP_FEW:].sum()
            steps += 1
            item = int(after[item, random.choice(NEXT, p=share[item])])
        best -= np.sort(share[int(rows[-1].split(",")[1][4:])])[-TOP_FEW:].sum()  # nothing follows the last
        steps -= 1
    path.write_text("\n".join(rows) + "\n")
    return best / steps


TOP_FEW = 2
SMALL = ["--hidden-size", "32", "--embedding-size", "16", "--dropout", "0", "--lr", "0.005"]
SMALL += ["--schedule", "cosine", "--quiet"]


@pytest.mark.slow
@pytest.mark.parametrize("negatives", ["0", "20"])
def test_95_per_cent_of_the_optimum_of_a_known_catalogue(negatives: str, tmp_path: Path, capsys: Any) -> None:
    write_sessions(tmp_path / "train.csv", 1500, 1)
    optimum = write_sessions(tmp_path / "test.csv", 400, 2)
    words = ["train", str(tmp_path / "train.csv"), "--task", "recommend", *SMALL, "--epochs", "12"]
    assert main([*words, "--negatives", negatives, "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert (
        main(["evaluate", str(tmp_path / "run"), str(tmp_path / "test.csv"), "--top", str(TOP_FEW), "--json"])
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert 0.95 * optimum < found["recall"] < 1.05 * optimum
    assert found["recall_of_popular"] < 0.3 * optimum and found["mrr"] < found["recall"]


def test_the_sampled_loss_of_all_items_is_near_the_whole_one_and_so_is_its_gradient() -> None:
    torch.manual_seed(0)
    network = Recommender(RecommenderConfig(cell="gru", hidden_size=8, items=12, embedding_size=5))
    rows, targets, sizes = torch.randint(1, 12, (9,)), torch.randint(1, 12, (9,)), torch.tensor([3, 3, 3])
    shares = torch.full((12,), 1 / 12)
    whole = network.loss(rows, sizes, targets)
    sampled = torch.stack(
        [network.sampled_loss(rows, sizes, targets, shares, 4000) for _ in range(10)]
    ).mean()
    assert float(sampled.detach()) == pytest.approx(float(whole.detach()), abs=0.02)
    grads = [torch.autograd.grad(loss, network.head.weight)[0] for loss in (whole, sampled)]
    assert float((grads[0] - grads[1]).norm() / grads[0].norm()) < 0.1


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_sessions(folder / "clicks.csv", 60, 3)
    words = ["train", str(folder / "clicks.csv"), "--task", "recommend", *SMALL, "--epochs", "2"]
    assert main([*words, "--out", str(folder / "run")]) == 0
    return folder


def test_the_runtime_ranks_as_the_network_does(home: Path) -> None:
    from backtime.models.saving import load_model

    network, file = load_model(home / "run")
    items = ["item3", "item7", "item3", "never seen"]
    predictor = tasks.load(home / "run")
    (row,) = predictor.predict([items])
    numbers = torch.tensor(predictor.items.numbers(items))  # type: ignore[attr-defined]
    with torch.no_grad():
        z = network.eval().head.logits(network(numbers, torch.ones(4, dtype=torch.int64)))[-1]
    best = z[1:].argsort(descending=True, stable=True)[:20] + 1
    assert row["items"] == [file.encoding["items"]["symbols"][n] for n in best]
    assert "<unk>" not in row["items"] and row["probabilities"] == sorted(row["probabilities"], reverse=True)


def test_predict_resume_and_evaluate_from_the_shell(home: Path, capsys: Any) -> None:
    assert main(["predict", str(home / "run"), str(home / "clicks.csv")]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 60 and rows[0]["session"] == "s0" and len(rows[0]["items"]) == 20
    assert main(["train", "--resume", str(home / "run"), "--epochs", "3", "--quiet"]) == 0
    assert main(["evaluate", str(home / "run"), str(home / "clicks.csv")]) == 0
    assert "recall_of_popular" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("session,item\na,x\n", "line 2 has no column 'time' but session, item"),
        ("session,item,time\na,x,1\na,y,0\n", "line 3 has the time '0' after '1' in session 'a'"),
        (
            "session,item,time\na,x,soon\n",
            "line 2 has the time 'soon'; expected 2024-05-01T10:00, or a number",
        ),
        ("session,item,time\na,,1\n", "line 2 has nothing in column 'item'"),
        ("session,item,time\na,x,1\nb,y,2\n", "has no session of two items to train on"),
        ("session,item,time\na,x,1\na,x,2\n", "has 1 item to train on; expected two and more"),
        ("session,item,time\n", "has no sessions in it"),
        ("session,item,time\na,x,1,2\n", "line 2 has 4 columns"),
        ("", "has no sessions in it"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(text: str, line: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "clicks.csv").write_text(text)
    words = ["train", str(tmp_path / "clicks.csv"), "--task", "recommend", "--validation-fraction", "0"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 2
    found = capsys.readouterr().err
    assert line in found and found.count("\n") == 1 and not (tmp_path / "run").exists()
