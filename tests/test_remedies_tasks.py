"""Layer norm, skip connections and output layers in every task, from the command line to prediction."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backtime import tasks
from backtime.cli.main import main
from backtime.data.batching.buckets import pack
from backtime.data.batching.words import word_batch
from backtime.data.timeseries.windows import make_batch
from backtime.models.file import read_model
from backtime.models.saving import load_model
from backtime.models.writer import TextBatch
from backtime.tasks import runs
from backtime.tasks.shared.settings import LAYERS
from test_damaged_tasks import SAMPLES, Sample

EVERY = {
    **SAMPLES,
    "language": Sample("text.txt", lambda path: path.write_text("to be or not\n" * 40), "--seq-length 5"),
}
WITHOUT_OUTPUT_LAYERS = ("translate", "caption")
SHORT = "--hidden-size 4 --layers 2 --batch-size 4 --max-steps 3 --validation-fraction 0.2 --quiet"


@pytest.fixture(scope="module", params=EVERY)
def trained(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A task, and a run of three steps with everything."""
    task, folder = request.param, tmp_path_factory.mktemp("every")
    sample = EVERY[task]
    sample.write(folder / sample.file)
    words = ["train", str(folder / sample.file), "--task", task, *sample.options.split(), *SHORT.split()]
    words += ["--layer-norm", "--skip-connections", "--out", str(folder / "run")]
    words += [] if task in WITHOUT_OUTPUT_LAYERS else ["--output-layers", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "draw_curves", lambda *parts: None)
        assert main(words) == 0
    return task, folder


def test_what_was_chosen_is_in_the_file(trained: tuple[str, Path]) -> None:
    task, folder = trained
    config: Any = read_model(folder / "run").config
    assert config.layer_norm and config.skip_connections
    assert config.output_layers == (task not in WITHOUT_OUTPUT_LAYERS)


def test_a_task_takes_every_setting_of_the_layers() -> None:
    for task in tasks.TASKS:
        kind = tasks.find(task)
        config = {field for field in LAYERS if hasattr(kind.settings(), field)}
        assert config == set(LAYERS), task


@pytest.mark.slow
def test_evaluate_predict_and_resume(trained: tuple[str, Path], tmp_path: Path, capsys: Any) -> None:
    task, folder = trained
    data, run_folder = str(folder / EVERY[task].file), str(folder / "run")
    assert main(["evaluate", run_folder, data]) == 0
    if task == "tag":
        (folder / "untagged.txt").write_text("the dog\na cat\n")
    assert main(["predict", run_folder, str(folder / "untagged.txt") if task == "tag" else data]) == 0
    assert capsys.readouterr().out
    assert main(["train", "--resume", run_folder, "--max-steps", "4", "--quiet"]) == 0
    start = ["train", data, "--task", task, "--init-from", run_folder, "--out", str(tmp_path / "next")]
    start += ["--quiet", "--max-steps", "1", "--batch-size", "4", "--validation-fraction", "0.2"]
    start += ["--seq-length", "5"] if task in ("language", "music") else []
    assert main(start) == 0
    config: Any = read_model(tmp_path / "next").config
    assert config.layer_norm and config.skip_connections


def numbers(task: str, own: Any, network: Any) -> tuple[Any, Any]:
    """What a task's network computes without PyTorch, and with it."""
    random = np.random.default_rng(0)
    if task == "language":
        x, stream = random.integers(0, own.config.vocabulary_size, 7), own.stream()
        return [stream.step(int(t)) for t in x], network.head.logits(
            network(torch.from_numpy(x)[:, None])[0]
        )[:, 0]
    if task == "tag":
        words = [["the", "dog", "cat"], ["a", "tac"]]
        return own.scores(words)[0], network.scores(word_batch(words, own.words, own.characters))
    if task in ("classify", "regress"):
        packed = pack([random.integers(0, own.network.config.symbols, n) for n in (5, 3)])
        return own.scores(packed), network.scores(*map(torch.from_numpy, packed))
    if task == "forecast":
        frame = own.encoding.frame
        rows = random.standard_normal((3, frame.lookback + frame.horizon, 1)).astype(np.float32)
        x, known, base, _ = map(torch.from_numpy, make_batch(rows, frame))
        return own.network.forecast(rows), (network(x, known) + base[..., None]).sort(3)[0].transpose(0, 1)
    if task == "recommend":
        items = own.items.symbols[1:]
        z = network.head.logits(
            network(torch.arange(1, len(items) + 1), torch.ones(len(items), dtype=torch.int64))
        )
        z[:, 0] = -torch.inf
        return own.probabilities(items), z[-1].softmax(0)
    if task == "translate":
        read, state = own.look([1, 2, 1])
        source = torch.tensor([[1], [2], [1]]), torch.tensor([3])
        return own.step([own.config.end], state, read)[0], _first_symbol(network, source)
    if task == "caption":
        image = random.random((own.config.rows, own.config.columns, own.config.channels))
        read, state = own.look(own.scaled(image))
        scaled = ((image - own.scale.mean) / own.scale.deviation).astype(np.float32)
        source = (torch.from_numpy(scaled.transpose(2, 0, 1))[None],)
        return own.step([own.config.end], state, read)[0], _first_symbol(network, source)
    if task == "similar":
        packed = pack([random.integers(0, own.network.config.symbols, n) for n in (5, 3)])
        return own.network.vectors(packed), network(*map(torch.from_numpy, packed))
    if task == "transcribe":
        features = random.standard_normal((6, own.config.channels)).astype(np.float32)
        x = (features - own.scale.mean) / own.scale.deviation
        scores = network(torch.from_numpy(x.astype(np.float32))[:, None], torch.tensor([6]))
        return own.logs(features), scores[:, 0].log_softmax(1)
    frames = (random.random((5, own.config.keys)) < 0.1).astype(np.float32)
    rows = torch.from_numpy(np.concatenate([np.zeros_like(frames[:1]), frames]))
    return own._read([frames])[0], network(rows, torch.ones(6, dtype=torch.int64))


def _first_symbol(network: Any, source: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """The log-probabilities (1, V + 1) of what is written first."""
    begin = torch.tensor([[network.config.end]])
    logits = network.head.logits(network(TextBatch(source, begin, begin, torch.tensor([1]))))
    found: torch.Tensor = logits[0].log_softmax(1)
    return found


def test_a_model_is_the_same_without_pytorch(trained: tuple[str, Path]) -> None:
    task, folder = trained
    network, _ = load_model(folder / "run")
    with torch.no_grad():
        ours, theirs = numbers(task, tasks.load(folder / "run"), network.eval())
    np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-5)
    assert np.std(ours) > 1e-4
