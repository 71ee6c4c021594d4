"""``backtime train`` from its options to its last line: a new run, or one that goes on."""

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backtime import __version__
from backtime.data.tokens import prepare_corpus
from backtime.data.vocabulary import Vocabulary
from backtime.errors import UsageError
from backtime.files import write_json_atomic
from backtime.models.files import load_model
from backtime.tasks.building import Start, make_trainer, reading, same_corpus
from backtime.tasks.language import MEASURES
from backtime.tasks.summary import print_summary
from backtime.training import saving
from backtime.training.curves import draw_curves
from backtime.training.loop import Trainer
from backtime.training.progress import choose_progress
from backtime.training.run_folder import RunFolder
from backtime.training.settings import Settings, option
from backtime.training.signals import StopSignals

NETWORK = ("cell", "hidden_size", "layers", "embedding_size", "tie_weights", "activation", "reset_after")


@dataclass(frozen=True)
class Request:
    """The command line: ``given`` are the settings named there, ``preset`` those they override."""

    corpus: Path | None = None  # None: the default corpus, or in a resume the run's
    given: dict[str, Any] = field(default_factory=dict)
    preset: dict[str, Any] = field(default_factory=dict)
    out: Path | None = None
    init_from: Path | None = None
    quiet: bool = False
    as_json: bool = False


def train(request: Request) -> int:
    """Begin a run and train; returns the exit status: 0, or 128 + the number of the signal that ended it.

    Until its first save is on the disk the run does not exist: what goes wrong before leaves no folder
    behind.
    """
    start = load_model(request.init_from) if request.init_from else None
    settings = _settings(request, start)
    with StopSignals() as signals, closing(_claim(request, settings)) as folder:
        try:
            trainer = _begin(request, settings, folder, start, signals)
        except BaseException:
            folder.discard()
            raise
        return _finish(trainer, request)


def resume(path: Path, request: Request) -> int:
    """Go on with the run in ``path``, exactly from its last save; returns as ``train`` does."""
    with StopSignals() as signals, closing(RunFolder.open(path)) as folder:
        config = folder.config()
        settings = Settings.from_json(config["settings"]).resumed_with(request.given)
        known = Vocabulary.from_json(folder.vocabulary())
        saved_corpus = Path(config["corpus"]) if config["corpus"] else None
        progress = choose_progress(MEASURES[settings.level], request.quiet, request.as_json)
        tokens = same_corpus(request.corpus or saved_corpus, folder, known, config["fingerprint"])
        trainer = make_trainer(settings, folder, tokens, known, None, progress, signals)
        saving.resume(trainer)
        folder.write_config({**config, "settings": settings.to_json()})
        if reason := trainer.reason_to_stop():
            progress.note(
                f"nothing to do: the run has reached its {option(reason)}; give a larger one to go on"
            )
        else:
            progress.note(f"going on from step {trainer.state.step} in {path}")
        return _finish(trainer, request)


def _settings(request: Request, start: Start | None) -> Settings:
    """Preset, then what was given; the network of ``--init-from`` is fixed."""
    if start is None:
        return Settings(**{**request.preset, **request.given})
    model, vocabulary = start
    fixed = {name: getattr(model.config, name) for name in NETWORK} | {"level": vocabulary.level}
    if vocabulary.level == "word":
        fixed["vocabulary_size"] = len(vocabulary)
    for name, value in request.given.items():
        if value != fixed.get(name, value):
            raise UsageError(
                f"{option(name)} {value} conflicts with {fixed[name]} of --init-from {request.init_from}"
            )
    return Settings(**{**request.preset, **request.given, **fixed})


def _claim(request: Request, settings: Settings) -> RunFolder:
    if request.out:
        return RunFolder.create(request.out)
    name = request.corpus.resolve().stem if request.corpus else "python"
    return RunFolder.create_next(Path("runs"), f"{'-'.join(name.split())}-{settings.cell}")


def _begin(
    request: Request, settings: Settings, folder: RunFolder, start: Start | None, signals: StopSignals
) -> Trainer:
    progress = choose_progress(MEASURES[settings.level], request.quiet, request.as_json)
    known = start[1] if start else None
    tokens, vocabulary = prepare_corpus(
        request.corpus,
        folder.path,
        settings.level,
        settings.vocabulary_size,
        known,
        progress=reading(progress),
    )
    trainer = make_trainer(settings, folder, tokens, vocabulary, start, progress, signals)
    write_json_atomic(folder.vocabulary_file, vocabulary.to_json())
    folder.make_places()
    saving.begin(trainer)
    folder.write_config(
        {
            "backtime": __version__,
            "corpus": str(request.corpus.resolve()) if request.corpus else None,
            "fingerprint": tokens.fingerprint,
            "tokens": len(tokens),
            "init_from": str(request.init_from.resolve()) if request.init_from else None,
            "settings": settings.to_json(),
        }
    )
    progress.note(
        f"{len(tokens):,} tokens of {len(vocabulary)} symbols, "
        f"{trainer.task.steps_per_epoch:,} steps an epoch, "
        f"{sum(p.numel() for p in trainer.model.parameters()):,} weights, in {folder.path}"
    )
    return trainer


def _finish(trainer: Trainer, request: Request) -> int:
    """Train to the end; then the curves and the summary."""
    progress, folder, signals = trainer.progress, trainer.folder, trainer.signals
    progress.start()
    try:
        reason = trainer.run()
    finally:
        progress.stop()
    if problem := draw_curves(folder.metrics(), folder.path):
        progress.note(problem)
    print_summary(trainer, reason, request.quiet, request.as_json)
    return 128 + signals.received if reason == "interrupt" and signals.received else 0
