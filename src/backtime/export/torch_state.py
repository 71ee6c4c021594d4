"""A ``state_dict`` of plain ``torch.nn`` layers, for those who leave: ``torch.load`` needs no backtime.

embedding  torch.nn.Embedding    rnn, spelling  torch.nn.RNN, GRU or LSTM    head, ...  torch.nn.Linear
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from backtime.errors import UsageError
from backtime.export.chain import Chain, chain_of
from backtime.export.made import Made
from backtime.export.trials import Trial, found
from backtime.interchange.agreement import agreement
from backtime.models.file import ModelFile


def make(model: ModelFile, out: Path, trials: Sequence[Trial]) -> Made:
    """The tensors under torch.nn's names; a chain is built of torch.nn's layers and run."""
    try:
        import torch
    except ModuleNotFoundError as error:
        raise UsageError("--to torch needs PyTorch: pip install torch") from error
    config: Any = model.config
    if config.cell == "gru" and not config.reset_after:
        raise UsageError("the gru resets before the product; torch.nn.GRU resets after it")
    if config.cell == "rnn" and config.activation not in ("tanh", "relu"):
        raise UsageError(f"activation is {config.activation}; torch.nn.RNN has tanh and relu")
    tensors = {name: torch.from_numpy(value.copy()) for name, value in model.tensors.items()}
    if getattr(config, "tie_weights", False):
        tensors["embedding.weight"] = tensors["head.weight"]
    lines = _tried(model, tensors, trials)
    content = BytesIO()
    torch.save(tensors, content)
    lines += [f"{name} {tuple(value.shape)}" for name, value in tensors.items()]
    return Made({out: content.getvalue()}, lines)


def _tried(model: ModelFile, tensors: dict[str, Any], trials: Sequence[Trial]) -> list[str]:
    try:
        chain = chain_of(model, "torch")
    except UsageError:
        return ["not tried: the network is more than one chain of layers; the tensors are its own"]
    lines = []
    for trial in trials:
        pairs = [(chain.run(x), _run(chain, tensors, x)) for x in trial.plain()]
        worst, largest = agreement(pairs, f"{trial.told} torch.nn and the engine")
        lines.append(f"torch.nn agrees {found(trial.told, worst, largest)}")
    return lines


def _run(chain: Chain, tensors: dict[str, Any], x: Any) -> Any:
    """The same chain of torch.nn's own layers, which load the tensors by their names."""
    import torch

    config = chain.config
    kind = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[config.cell]
    options: dict[str, Any] = {"nonlinearity": config.activation} if config.cell == "rnn" else {}
    rnn = kind(
        chain.width, config.hidden_size, config.layers, bidirectional=config.bidirectional, **options
    ).to(tensors["head.weight"].dtype)
    rnn.load_state_dict(
        {name.removeprefix("rnn."): own for name, own in tensors.items() if name.startswith("rnn.")}
    )
    with torch.no_grad():
        y, state = rnn(torch.from_numpy(chain.rows(x)))
        last = state[0] if isinstance(state, tuple) else state
        both = torch.cat([last[-2], last[-1]]) if config.bidirectional else last[-1]
        out = (y if chain.every else both) @ tensors["head.weight"].T + tensors["head.bias"]
    return out.numpy()
