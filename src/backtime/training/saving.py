"""A run's beginning, its saves, and the ways back to them: resume, rollback, and the end of a session."""

import math
import shutil

from backtime.errors import UsageError
from backtime.files import atomic_write
from backtime.training import checkpoint, divergence
from backtime.training.averaging import averaged
from backtime.training.metrics import main_value
from backtime.training.run import Run


def begin(run: Run) -> None:
    """Measure the untrained model and make the first save, to which a rollback can always return."""
    run.state.start_loss = _next_loss(run)
    if not math.isfinite(run.state.start_loss):
        raise divergence.DivergenceError(f"the model's loss before the first step is {run.state.start_loss}")
    save(run)


def save(run: Run) -> None:
    """Save the run, if it is sound: ``Diverged`` is raised before a good save would be replaced by a bad one.

    The loss of the coming step, which is asked of the very weights that are saved, shows what the last
    change did to them. It is measured in eval mode and draws no random number, so saving changes nothing
    in what follows.
    """
    run.fetch()
    divergence.check_weights(run.state.step, run.model)
    divergence.check_level(run.state, _next_loss(run), run.task)
    run.tick()
    run.folder.sync_metrics()
    with averaged(run.optimiser):
        run.task.save_model(run.folder.last_model)
    carried = run.group.whole(run.carried)
    checkpoint.save(run.folder.state_file, run.model, run.optimiser, carried, run.state)
    run.saved_step, run.saved_seconds = run.state.step, run.state.seconds


def read(run: Run) -> None:
    """Bring the run to where the last save found it; the folder stays as it is."""
    form = run.group.whole(run.task.initial_state())
    run.state, carried = checkpoint.load(run.folder.state_file, run.model, run.optimiser, form)
    run.carried = run.group.own(carried)
    if run.state.chunk >= (steps := run.task.steps_per_epoch):
        raise UsageError(
            f"cannot resume from {run.folder.state_file}: step {run.state.chunk} of an epoch of {steps}"
        )
    run.pending = []
    run.saved_step, run.validated_step = run.state.step, -1
    run.saved_seconds = run.state.seconds


def load(run: Run) -> None:
    """Go back to the last save: what came after it did not happen."""
    read(run)
    run.folder.keep_metrics(run.state.lines)


def resume(run: Run) -> None:
    """Take up the run at its last save, without what the end of a session added (see ``close``)."""
    load(run)
    folder = run.folder
    run.state.lines = min(run.state.lines, folder.count_metrics())  # fewer where somebody has cut the log
    folder.make_places()
    if folder.set_aside.exists():
        folder.set_aside.replace(folder.best_model)
    elif run.state.best is None:
        folder.best_model.unlink(missing_ok=True)
    elif not folder.best_model.exists():
        run.progress.note(f"{folder.best_model} is gone; the next validation begins a new best model")
        run.state.best = None


def is_closed(run: Run) -> bool:
    """Whether the session before came to its end, so that there is nothing to add to the run as it is saved.

    Then ``best`` and ``best_step`` are made those that ``close`` found, if it was called.
    """
    state, lines = run.state, run.folder.metrics()
    if not (lines and lines[-1].get("step") == state.step and run.folder.best_model.exists()):
        return False
    value = lines[-1].get(f"val_{run.main.name}")
    if len(lines) > state.lines and (run.folder.set_aside.exists() or state.best is None):
        state.best, state.best_step = value, state.step
    return len(lines) > state.lines or value is not None


def roll_back(run: Run, fault: divergence.Diverged) -> None:
    """Return to the last save with a lower rate; ``DivergenceError`` when that was tried enough."""
    before, verdict = run.state, run.verdict()
    if before.rollbacks == divergence.ATTEMPTS:
        raise divergence.DivergenceError(
            f"training diverged at {fault}; gave up after {divergence.ATTEMPTS} rollbacks, the last with "
            f"--lr {run.settings.rate * before.penalty:g}: start again with a smaller --lr or "
            f"{'a smaller --grad-clip' if run.settings.grad_clip else '--grad-clip 5'}"
            f"{verdict}"
        )
    load(run)
    state = run.state
    state.rollbacks, state.penalty = before.rollbacks + 1, before.penalty * divergence.PENALTY
    state.seconds = before.seconds  # time is spent, whatever came of it
    if before.best is not None and run.main.is_better(before.best, state.best):
        state.best, state.best_step = before.best, before.best_step  # best/ still holds that model
    verdict = verdict or run.verdict()
    run.progress.note(
        f"diverged at {fault}; back to the save of step {state.step} with the learning rate "
        f"times {state.penalty:g} (rollback {state.rollbacks} of {divergence.ATTEMPTS}){verdict}"
    )


def close(run: Run, reason: str) -> None:
    """Validate where a session ends between two validations, so that its last steps count for ``best/``.

    This is no part of the run: a run that never stopped would not have done it. The saved state does not
    know of it, its log line is cut off by a resume, and the best model of the run proper is set aside to
    be put back. After Ctrl-C, or where nobody reads its output any more, only a run without any best model is
    kept waiting for this.
    """
    if reason in ("interrupt", "output") and run.folder.best_model.exists():
        return
    with averaged(run.optimiser):
        _close(run)


def _close(run: Run) -> None:
    folder, best = run.folder, run.state.best
    found = run.task.validate()
    record = run.record(found)
    folder.log(record)
    run.progress.line(record, 0.0)
    value = main_value(run.task.metrics, found)
    if value is not None and best is not None and not run.main.is_better(value, best):
        return
    if best is not None and not folder.set_aside.exists():
        with folder.best_model.open("rb") as source, atomic_write(folder.set_aside) as copy:
            shutil.copyfileobj(source, copy)
    run.task.save_model(folder.best_model)
    run.state.best, run.state.best_step = value, run.state.step


def _next_loss(run: Run) -> float:
    """Loss of the step that comes next, in eval mode."""
    state = run.state
    carried = run.carried if state.chunk else run.task.initial_state()
    run.model.eval()
    return run.group.measured(state.epoch, state.chunk, carried)
