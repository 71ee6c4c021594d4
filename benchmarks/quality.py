"""Does the same training end at the same loss? backtime and stock PyTorch: same model, text and set-up.

A seed gives both sides the same initial weights and the same batches, so what differs is rounding alone.
"""

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from backtime.data.batching.streams import Span, Streams, split
from backtime.data.text.tokens import prepare_corpus
from backtime.models import LanguageConfig, LanguageModel
from benchmarks import common
from benchmarks.peers import StockModel, train_step

SIDES = {"torch": StockModel, "backtime": LanguageModel}
HEAD = ["validation loss, nats", *SIDES, "difference"]
NOTES = """\
{text}: {tokens:,} characters, the last 5 % for validation.
{config.cell} {config.layers} x {config.hidden_size}, B = T = {size}, Adam 2e-3, clipped at 5, state carried;
after {steps:,} equal steps. Each row is a seed; the last ones are mean and standard deviation."""


def train(config: LanguageConfig, side: str, seed: int, parts: tuple[Span, Span], args: Any) -> float:
    """Validation loss after ``args.steps`` steps."""
    torch.manual_seed(seed)
    model = SIDES[side](config)
    adam = torch.optim.Adam(model.parameters(), lr=2e-3, fused=True)
    streams, state = Streams(parts[0], args.size, args.size), None
    for step in range(args.steps):
        chunk = step % len(streams)
        tokens, targets = map(torch.from_numpy, streams.chunk(chunk))
        _, state = train_step(model, adam, tokens, targets, state if chunk else None)
    return validate(model, Streams(parts[1], args.size, args.size))


def validate(model: Any, streams: Streams) -> float:
    total, state = 0.0, None
    with torch.no_grad():
        for tokens, targets in streams:
            loss, state = model.loss(torch.from_numpy(tokens), torch.from_numpy(targets), state)
            total += loss.item()
    return total / len(streams)


def main() -> None:
    options = common.parser(__doc__)
    options.add_argument("text", nargs="?", type=Path, help="text file (default: Python's own sources)")
    options.add_argument("--steps", type=int, default=1000, metavar="N", help="default 1000")
    options.add_argument("--cell", default="lstm", help="default lstm")
    options.add_argument("--hidden-size", type=int, default=128, metavar="N", help="default 128")
    options.add_argument("--seeds", type=int, default=3, metavar="N", help="default 3")
    options.add_argument("--size", type=int, default=50, metavar="N", help="B and T, default 50")
    args = options.parse_args()
    args.steps = min(args.steps, 30) if args.quick else args.steps
    common.use_threads(args.threads)
    with tempfile.TemporaryDirectory(prefix="backtime-") as folder:
        tokens, vocabulary = prepare_corpus(args.text, folder)
        config = LanguageConfig(args.cell, args.hidden_size, 2, len(vocabulary))
        losses: dict[str, list[float]] = {side: [] for side in SIDES}
        for seed in range(1, args.seeds + 1):
            for side, found in losses.items():
                found.append(train(config, side, seed, split(tokens), args))
                print(f"seed {seed} {side}: {found[-1]:.4f}", file=sys.stderr)
        facts = {"text": args.text.name if args.text else "Python's own sources", "tokens": len(tokens)}
    facts |= {"config": config, "size": args.size, "steps": args.steps}
    common.report("Quality", NOTES.format(**facts), common.table(HEAD, _rows(losses)), args.write)


def _rows(losses: dict[str, list[float]]) -> list[list[object]]:
    numbers = [(f"seed {i}", *pair) for i, pair in enumerate(zip(*losses.values(), strict=True), 1)]
    numbers.append(("mean", *map(statistics.mean, losses.values())))
    if len(numbers) > 2:
        numbers.append(("deviation", *map(statistics.stdev, losses.values())))
    return [[name, f"{torch_:.4f}", f"{ours:.4f}", f"{ours - torch_:+.4f}"] for name, torch_, ours in numbers]


if __name__ == "__main__":
    main()
