"""Zaremba's small word LSTM: ``backtime train`` beside a plain PyTorch loop that a user would write.

``python -m benchmarks.word_language TRAIN VALID`` trains both for ``--epochs`` of the thirteen, on the same
tokens in the same order, from the same initial weights (those that backtime draws), and prints the perplexity
of the validation file after each epoch, and the time. The plain side is torch.nn.Embedding, LSTM and Linear
with cross_entropy, clip_grad_norm_ and SGD.
"""

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backtime.cli.main import main as backtime
from backtime.data.batching.streams import Streams
from backtime.data.text.token_file import TokenFile
from backtime.models.aligned import LanguageModel
from backtime.models.initial import initialise
from backtime.models.saving import load_model

B = T = 20
CLIP, RATE, DECAY, AFTER, RANGE = 5.0, 1.0, 0.5, 4, 0.1


class Plain(nn.Module):
    """Embedding, two layers, output: as in PyTorch's own example."""

    def __init__(self, V: int, H: int = 200) -> None:
        """Draw the weights."""
        super().__init__()
        self.embedding, self.rnn, self.head = nn.Embedding(V, H), nn.LSTM(H, H, 2), nn.Linear(H, V)

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Logits and the last state."""
        h, state = self.rnn(self.embedding(x), state)
        return self.head(h), state


def loss_of(model: Plain, x: Any, targets: Any, state: Any) -> tuple[Tensor, Any]:
    logits, state = model(torch.from_numpy(x), state)
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(targets).flatten())
    return loss, tuple(part.detach() for part in state)


def train_plain(model: Plain, training: TokenFile, valid: TokenFile, epochs: int) -> list[float]:
    """The perplexity of the validation file after each epoch."""
    optimiser, found = torch.optim.SGD(model.parameters(), RATE), []
    for epoch in range(epochs):
        state = None
        for group in optimiser.param_groups:
            group["lr"] = RATE * DECAY ** max(0, epoch + 1 - AFTER)
        for x, targets in Streams(training, B, T):
            optimiser.zero_grad()
            loss, state = loss_of(model, x, targets, state)
            (loss * T).backward()  # summed over time, as the recipe has it
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimiser.step()
        found.append(perplexity(model, valid))
        print(f"torch.nn   epoch {epoch + 1}: validation perplexity {found[-1]:.2f}", flush=True)
    return found


@torch.no_grad()
def perplexity(model: Plain, tokens: TokenFile) -> float:
    streams, state, total = Streams(tokens, B, T, exact=True), None, 0.0
    for x, targets in streams:
        own = None if state is None else tuple(part[:, : x.shape[1]].contiguous() for part in state)
        loss, state = loss_of(model, x, targets, own)
        total += float(loss) * targets.size
    return math.exp(total / streams.targets_total)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("train")
    parser.add_argument("valid")
    parser.add_argument("--epochs", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        run, start = Path(place) / "run", time.perf_counter()
        files = ["--train-file", args.train, "--valid-file", args.valid]
        words = ["train", *files, "--preset", "zaremba-small", "--epochs", str(args.epochs), "--quiet"]
        assert backtime([*words, "--validate-every", "1000000", "--out", str(run)]) == 0
        ours = time.perf_counter() - start
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        value = math.exp(next(line["val_loss"] for line in reversed(lines) if line["val_loss"] is not None))
        print(f"backtime   epoch {args.epochs}: validation perplexity {value:.2f}", flush=True)
        training, valid = TokenFile(run), TokenFile(run / "valid")
        V = len(training.vocabulary)
        theirs_from = Plain(V)
        torch.manual_seed(1)  # as backtime has drawn them
        network = LanguageModel(load_model(run)[0].config)
        initialise(network, "torch", RANGE, None)
        theirs_from.load_state_dict(network.state_dict())
        start = time.perf_counter()
        found = train_plain(theirs_from, training, valid, args.epochs)
        theirs = time.perf_counter() - start
        print(f"backtime {ours:.0f} s with reading the text, torch.nn {theirs:.0f} s")
        print(f"perplexity of torch.nn over that of backtime: {found[-1] / value:.4f}")


if __name__ == "__main__":
    main()
