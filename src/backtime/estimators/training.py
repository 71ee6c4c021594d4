"""A fit: a run of the trainer in a temporary folder, whose best model comes back."""

import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backtime.models.file import ModelFile, read_model
from backtime.tasks.base import Data, TaskKind
from backtime.tasks.runs import make_run
from backtime.training import loop, saving
from backtime.training.progress import choose_progress
from backtime.training.run_folder import RunFolder
from backtime.training.settings import Settings
from backtime.training.signals import StopSignals

NOT_SETTINGS = ("options", "random_state", "verbose")
Prepare = Callable[[Path], Data]  # the data; the folder is for what is large, and for files


def fitted(
    kind: TaskKind, settings: Settings, prepare: Prepare, start: ModelFile | None, verbose: bool
) -> ModelFile:
    """The best model of a run of ``kind``; the global random states are left as they are.

    Ctrl-C ends the fit with KeyboardInterrupt.
    """
    progress = choose_progress(kind.metrics(settings), quiet=not verbose, as_json=False)
    with tempfile.TemporaryDirectory(prefix="backtime-") as place, _random_states_kept():
        data = prepare(Path(place))
        with closing(RunFolder.create(Path(place) / "run")) as folder:
            folder.make_places()
            run = make_run(kind, data, settings, folder, start, progress, StopSignals())
            saving.begin(run)
            progress.start()
            try:
                loop.train(run)
            finally:
                progress.stop()
            return read_model(folder.best_model)


def settings_of(estimator: Any, kind: TaskKind, defaults: dict[str, Any] | None = None, **fixed: Any) -> Any:
    """The settings of a run: ``fixed``, then the estimator's ``options``, its parameters, ``defaults``."""
    given = {
        name: value for name, value in estimator.get_params(deep=False).items() if name not in NOT_SETTINGS
    }
    return kind.settings(**{**(defaults or {}), **given, **(estimator.options or {}), **fixed})


def seed_of(random_state: Any) -> int:
    """scikit-learn's ``random_state`` as the seed of a run."""
    from sklearn.utils import check_random_state

    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31))


@contextmanager
def _random_states_kept() -> Iterator[None]:
    states: tuple[Any, ...] = (random.getstate(), np.random.get_state(), torch.get_rng_state())
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
