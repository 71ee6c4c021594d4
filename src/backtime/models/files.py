"""Model files for PyTorch: the same file that ``backtime.runtime`` reads."""

import torch

from backtime.data.vocabulary import Vocabulary
from backtime.models.language import LanguageModel
from backtime.runtime.files import PathLike, read_model, write_model


def save_model(path: PathLike, model: LanguageModel, vocabulary: Vocabulary) -> None:
    """Write ``model`` and the ``vocabulary`` it was trained with to one file, whole or not at all.

    Raises ``UsageError`` when the vocabulary does not have the model's size or the file cannot be written.
    """
    weights = {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}
    if model.config.tie_weights:
        del weights["embedding.weight"]  # it is head.weight
    write_model(path, model.config, vocabulary, weights)


def load_model(path: PathLike) -> tuple[LanguageModel, Vocabulary]:
    """The model in a file, or the best one of a run folder, in training mode as PyTorch's modules are born.

    Raises ``UsageError``, in one line, when there is none or it is damaged.
    """
    config, vocabulary, tensors = read_model(path)
    weights = {name: torch.from_numpy(value) for name, value in tensors.items()}
    if config.tie_weights:
        weights["embedding.weight"] = weights["head.weight"]
    with torch.random.fork_rng(devices=[]):  # the initial values are overwritten: they must not cost draws
        model = LanguageModel(config)
    model.to(weights["head.weight"].dtype).load_state_dict(weights)
    return model, vocabulary
