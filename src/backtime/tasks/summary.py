"""The last lines of a run, on stdout: where it is, how good it is, what to do next."""

import json
import shlex
from typing import Any

from backtime.tasks.language import MEASURES
from backtime.training.loop import Trainer


def print_summary(trainer: Trainer, reason: str, quiet: bool, as_json: bool) -> None:
    """Print the summary for people, which ``quiet`` leaves out, or as one JSON object."""
    facts = _facts(trainer, reason)
    if as_json:
        print(json.dumps(facts), flush=True)
        return
    if reason == "interrupt":
        trainer.progress.note(f"stopped at step {facts['step']} and saved; go on with: {facts['resume']}")
    if not quiet:
        for name in ("run", "best", "model", "sample"):
            print(f"{name:<7} {facts[name] if name != 'best' else _best(trainer)}")


def _facts(trainer: Trainer, reason: str) -> dict[str, Any]:
    state, folder = trainer.state, trainer.folder
    path = shlex.quote(str(folder.path))
    return {
        "run": str(folder.path),
        "stopped_by": reason,
        "step": state.step,
        "tokens": state.tokens,
        "seconds": round(state.seconds, 3),
        "best_val_loss": state.best_loss,
        "best_step": state.best_step,
        "rollbacks": state.rollbacks,
        "model": str(folder.best_model),
        "sample": f"backtime sample {path}",
        "resume": f"backtime train --resume {path}",
    }


def _best(trainer: Trainer) -> str:
    loss, measure = trainer.state.best_loss, MEASURES[trainer.settings.level]
    if loss is None:
        return f"step {trainer.state.best_step}, without validation"
    value = f"{measure.of(loss):.4g} {measure.name}"
    return f"{loss:.4f} nats a token ({value}) in validation, step {trainer.state.best_step}"
