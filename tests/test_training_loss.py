"""What the loss is: a mean in the log, and where asked for the sum over time of published recipes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from backtime.cli.main import main
from backtime.data.batching.streams import Streams, split
from backtime.data.text.token_file import TokenFile
from backtime.models import LanguageModel
from backtime.models.saving import load_model

B, T, STEPS = 4, 7, 6
SIZES = f"--hidden-size 8 --layers 1 --batch-size {B} --seq-length {T} --optimizer sgd --max-steps {STEPS}"


@pytest.fixture(autouse=True)
def quick(quick_runs: None) -> None:
    Path("text.txt").write_text("to be or not to be, that is the question\n" * 20)


def trained(options: str) -> dict[str, Tensor]:
    """The weights after a few steps."""
    name = f"run{len(list(Path().iterdir()))}"
    assert main(["train", "text.txt", "--quiet", "--out", name, *SIZES.split(), *options.split()]) == 0
    weights: dict[str, Tensor] = load_model(f"{name}/last/model.safetensors")[0].state_dict()
    return weights


def published(clip: float) -> dict[str, Tensor]:
    """The recipe as it is published (Zaremba et al., arXiv 1409.2329), in PyTorch alone.

    The loss of a chunk is -log p summed over its T steps and averaged over its B sequences; SGD at rate 1.
    """
    config = load_model("run1/last/model.safetensors")[1].config
    torch.manual_seed(1)
    ours = LanguageModel(config)
    rnn = torch.nn.LSTM(config.vocabulary_size, 8)
    rnn.load_state_dict({name: value.detach() for name, value in ours.rnn.state_dict().items()})
    head = torch.nn.Linear(8, config.vocabulary_size)
    head.load_state_dict({name: value.detach() for name, value in ours.head.state_dict().items()})
    weights = [*rnn.parameters(), *head.parameters()]
    optimiser = torch.optim.SGD(weights, lr=1.0)
    streams, state = Streams(split(TokenFile("run1"))[0], B, T), None
    for step in range(STEPS):
        x, targets = map(torch.from_numpy, streams.chunk(step))
        h, state = rnn(functional.one_hot(x, config.vocabulary_size).float(), state)
        loss = functional.cross_entropy(head(h).flatten(0, 1), targets.flatten(), reduction="sum") / B
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, clip)
        optimiser.step()
        state = tuple(part.detach() for part in state)
    named: Any = {f"rnn.{name}": value for name, value in rnn.state_dict().items()}
    return named | {f"head.{name}": value for name, value in head.state_dict().items()}


def assert_close(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """Some ten float32 operations on numbers near 1, six steps over: 1e-5 is a hundred roundings."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("clip", [0.5, 100.0])  # every step is clipped, or none
def test_the_sum_over_time_is_the_published_recipe(clip: float) -> None:
    summed = trained(f"--loss-sum-over-time --lr 1 --grad-clip {clip}")
    assert_close(summed, published(clip))
    assert_close(summed, trained(f"--lr {T} --grad-clip {clip / T}"))
    with pytest.raises(AssertionError):
        assert_close(summed, trained(f"--lr 1 --grad-clip {clip}"))


def test_the_log_tells_the_mean_all_the_same() -> None:
    trained("--loss-sum-over-time --lr 1e-9 --log-every 1")
    trained("--lr 1e-9 --log-every 1")
    one, other = (
        Path(name, "metrics.jsonl").read_text().split('"loss": ')[1][:12] for name in ("run1", "run2")
    )
    assert one == other
