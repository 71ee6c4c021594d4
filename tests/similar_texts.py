"""Pairs of texts that are alike or not, and small networks that compare them."""

import random
from pathlib import Path
from typing import Any

import torch

from backtime.models.similarity import Similarity, SimilarityConfig

SMALL = ["--task", "similar", "--hidden-size", 12, "--embedding-size", 12, "--batch-size", 16]
SMALL += ["--dropout", 0, "--word-dropout", 0, "--lr", 0.01, "--log-every", 5]
SIGNS = ["one", "two", "three", "four", "five", "six"]
OTHERS = ["uno", "due", "tre", "quattro", "cinque", "sei"]


def said(seed: int, number: int = 300) -> list[tuple[list[str], list[str]]]:
    """Three numbers in two languages: no word of the one is a word of the other."""
    draw = random.Random(seed)
    found = [[draw.randrange(6) for _ in range(draw.randint(2, 4))] for _ in range(number)]
    return [([SIGNS[n] for n in own], [OTHERS[n] for n in own]) for own in found]


def write_pairs(name: str, seed: int, number: int = 300) -> None:
    rows = dict.fromkeys(f"{' '.join(one)}\t{' '.join(other)}" for one, other in said(seed, number))
    Path(name).write_text("\n".join(rows) + "\n")


def write_shared(name: str, seed: int, value: str, number: int = 300) -> None:
    """Two texts, and how many words they share: as a score of 0 to 5, or as a label, all or nothing."""
    draw, rows = random.Random(seed), []
    for _ in range(number):
        one = draw.sample(SIGNS[:3], 2) if draw.random() < 0.5 else draw.sample(SIGNS[3:], 2)
        other = draw.sample(SIGNS[:3], 2) if draw.random() < 0.5 else draw.sample(SIGNS[3:], 2)
        alike = (one[0] in SIGNS[:3]) == (other[0] in SIGNS[:3])
        if value == "score":
            shown = f"{5 * len({*one} & {*other}) / 2:g}"
        else:
            shown = ("same" if alike else "different") if value == "label" else str(int(alike))
        rows.append(f"{' '.join(one)}\t{' '.join(other)}\t{shown}")
    Path(name).write_text("\n".join(rows) + "\n")


def network(target: str = "pairs", **options: Any) -> Similarity:
    torch.manual_seed(1)
    config = {"cell": "gru", "hidden_size": 5, "symbols": 9, "embedding_size": 3, "target": target}
    return Similarity(SimilarityConfig(**{**config, **options}))
