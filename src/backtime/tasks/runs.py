"""``backtime train`` from its options to its last line: a new run, or one that goes on, of any task."""

import dataclasses
import random
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from backtime.errors import UsageError
from backtime.fields import flag
from backtime.models.chrono import set_time_scales
from backtime.models.file import ModelFile, read_model
from backtime.models.initial import initialise
from backtime.tasks import DEFAULT, find
from backtime.tasks.base import Data, Scores, TaskKind
from backtime.tasks.running.request import Request, claim_folder, full_name, settings_of, start_of
from backtime.tasks.running.same_data import same_data, spooled
from backtime.tasks.running.summary import print_summary
from backtime.tasks.running.together import placed, placed_again
from backtime.tasks.shared.settings import RecurrentSettings
from backtime.training import distributed, loop, saving
from backtime.training.curves import draw_curves
from backtime.training.progress import Progress, choose_progress
from backtime.training.run import Run
from backtime.training.run_folder import RunFolder
from backtime.training.settings import Settings
from backtime.training.signals import StopSignals
from backtime.version import __version__

__all__ = ["Request", "make_run", "resume", "train"]


def train(request: Request) -> int:
    """Begin a run and train; returns the exit status: 0, or 128 + the number of the signal that ended it.

    Until its first save is on the disk the run does not exist: what goes wrong before leaves no folder
    behind.
    """
    if distributed.restarted() and request.out and (request.out / "config.json").is_file():
        return resume(request.out, dataclasses.replace(request, given={}, preset={}))
    with placed(request) as own:
        return _train(own)


def _train(request: Request) -> int:
    kind = find(request.task or DEFAULT)
    if not kind.default_data:
        kind.required(request.data)
    start = start_of(kind, request)
    settings = settings_of(kind, request, start)
    with StopSignals() as signals, closing(claim_folder(kind, request, settings)) as folder:
        try:
            signals.release()
            run = _begin(kind, request, settings, folder, start, signals)
        except BaseException:
            signals.held = True
            folder.discard()
            raise
        return _finish(kind, run, request)


def resume(path: Path, request: Request) -> int:
    """Go on with the run in ``path``, exactly from its last save; returns as ``train`` does."""
    with placed_again(path, request) as own:
        return _resume(*own)


def _resume(path: Path, request: Request) -> int:
    with StopSignals() as signals, closing(RunFolder.open(path)) as folder:
        signals.release()
        config = folder.config()
        kind = find(str(config.get("task", DEFAULT)))
        if request.task not in (None, kind.name):
            raise UsageError(f"--task {request.task} conflicts with the run's {kind.name}")
        settings = kind.settings.from_json(config["settings"]).resumed_with(request.given)
        progress = choose_progress(kind.metrics(settings), request.quiet, request.as_json)
        data = same_data(kind, request.data, settings, folder, config, progress.note)
        run = make_run(kind, data, settings, folder, None, progress, signals)
        saving.read(run)
        reason = loop.reason_to_stop(run)
        if reason:
            words = f"the run has reached its {flag(reason)}; give a larger one to go on"
            progress.note(f"nothing to do: {words}")
            if saving.is_closed(run):
                print_summary(run, _next_verb(kind), reason, request.quiet, request.as_json)
                return 0
        else:
            progress.note(f"going on from step {run.state.step} in {path}")
        saving.resume(run)  # only now does the folder change
        if not reason:
            folder.write_config({**config, "settings": settings.to_json()})
        return _finish(kind, run, request)


def make_run(
    kind: TaskKind,
    data: Data,
    settings: Settings,
    folder: RunFolder,
    start: ModelFile | None,
    progress: Progress,
    signals: StopSignals,
) -> Run:
    """The run before its first step, all random numbers drawn from the seed."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)  # the engine takes as many
    random.seed(settings.seed)
    np.random.seed(settings.seed)
    torch.manual_seed(settings.seed)
    task = kind.build(data, settings, start)
    if start is None and isinstance(settings, RecurrentSettings):
        initialise(task.model, settings.init, settings.init_range, settings.forget_bias)
        if settings.time_scale is not None:
            set_time_scales(task.model, settings.time_scale)
    return Run(task, settings, folder, progress, signals)


def _begin(
    kind: TaskKind,
    request: Request,
    settings: Settings,
    folder: RunFolder,
    start: ModelFile | None,
    signals: StopSignals,
) -> Run:
    progress = choose_progress(kind.metrics(settings), request.quiet, request.as_json)
    known = start.encoding if start else None
    with spooled(request.data, folder.path) as source:
        data = kind.prepare(source, settings, folder.path, known, progress.note)
    run = make_run(kind, data, settings, folder, start, progress, signals)
    folder.write_encoding(data.encoding)
    folder.make_places()
    saving.begin(run)
    folder.write_config(
        {
            "backtime": __version__,
            "task": kind.name,
            "data": full_name(request.data),
            "about": data.describe(),
            "fingerprint": data.fingerprint,
            "encoding": list(data.encoding),
            "init_from": full_name(request.init_from),
            "settings": settings.to_json(),
        }
    )
    progress.note(
        f"{data.describe()}, {run.task.steps_per_epoch:,} steps an epoch, "
        f"{sum(p.numel() for p in run.model.parameters()):,} weights, in {folder.path}"
    )
    return run


def _finish(kind: TaskKind, run: Run, request: Request) -> int:
    """Train to the end; then the curves and the summary."""
    progress, folder, signals = run.progress, run.folder, run.signals
    try:
        progress.start()
        reason = loop.train(run)
    finally:
        progress.stop()
    if problem := draw_curves(folder.metrics(), folder.path, run.task.metrics):
        progress.note(problem)
    print_summary(run, _next_verb(kind), reason, request.quiet, request.as_json, _tested(kind, run))
    if reason == "output" and progress.lost:
        raise progress.lost  # the command line knows what to say of it, and where
    return 128 + signals.received if reason == "interrupt" and signals.received else 0


def _tested(kind: TaskKind, run: Run) -> Scores:
    """The scores of the best model on the test file; empty where none is named."""
    source = getattr(run.settings, "test_file", None)
    if source is None or not run.folder.best_model.is_file():
        return {}
    with tempfile.TemporaryDirectory(prefix="backtime-") as place:
        model = read_model(run.folder.best_model)
        try:
            return kind.evaluate(model, Path(source), kind.evaluation(), Path(place))
        except UsageError as error:  # the training is done and saved, whatever became of that file
            run.progress.note(f"not tested: {error}")
            return {}


def _next_verb(kind: TaskKind) -> str:
    """What to try with the model."""
    return "sample" if kind.sampling else "predict"
