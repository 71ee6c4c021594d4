"""From settings and a text to a run that is ready for its first step."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from backtime.data.batches import split
from backtime.data.symbols import UnknownSymbolError
from backtime.data.token_file import TokenFile
from backtime.data.tokens import prepare_corpus
from backtime.data.vocabulary import Vocabulary
from backtime.errors import UsageError
from backtime.models.language import LanguageModel
from backtime.tasks.language import LanguageTask, language_config
from backtime.training.loop import Trainer
from backtime.training.progress import Progress
from backtime.training.run_folder import RunFolder
from backtime.training.settings import Settings
from backtime.training.signals import StopSignals
from backtime.training.threads import share_threads, use_threads

Start = tuple[LanguageModel, Vocabulary]  # the model that --init-from names


def make_trainer(
    settings: Settings,
    folder: RunFolder,
    tokens: TokenFile,
    vocabulary: Vocabulary,
    start: Start | None,
    progress: Progress,
    signals: StopSignals,
) -> Trainer:
    """The run before its first step, all random numbers drawn from the seed."""
    use_threads(settings.threads)
    random.seed(settings.seed)
    np.random.seed(settings.seed)
    torch.manual_seed(settings.seed)
    model = LanguageModel(language_config(settings, len(vocabulary)))
    if start:
        model.load_state_dict(start[0].state_dict())
    share_threads(model)
    model = _on_device(model, settings.device)
    task = LanguageTask(model, vocabulary, split(tokens, settings.validation_fraction), settings)
    return Trainer(task, settings, folder, progress, signals)


def _on_device(model: LanguageModel, device: str) -> LanguageModel:
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:  # PyTorch's ways to say: no such device, not built for it
        raise UsageError(f"--device {device}: {str(error).splitlines()[0]}") from error


def same_corpus(corpus: Path | None, folder: RunFolder, known: Vocabulary, fingerprint: str) -> TokenFile:
    """The tokens of the corpus, if they are those that the run began with."""
    try:
        tokens, _ = prepare_corpus(corpus, folder.path, vocabulary=known)
        same = tokens.fingerprint == fingerprint
    except UnknownSymbolError:
        same = False
    if not same:
        name = corpus or "the default corpus"
        raise UsageError(f"{name} has changed since {folder.path} began; a resume needs the same text")
    return tokens


def reading(progress: Progress) -> Callable[[int, int], None]:
    """Tells once that a corpus is being read, if it takes more than a moment."""
    started, told = time.perf_counter(), False

    def tick(done: int, total: int) -> None:
        nonlocal told
        if not told and time.perf_counter() > started + 2:
            progress.note(f"reading the text, {total / 1e6:,.0f} MB in all")
            told = True

    return tick
