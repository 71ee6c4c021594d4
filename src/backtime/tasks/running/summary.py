"""The last lines of a run, on stdout: where it is, how good it is, what to do next."""

import shlex
from typing import Any

from backtime.files import to_json
from backtime.tasks.base import Scores
from backtime.training.run import Run


def print_summary(
    run: Run, verb: str, reason: str, quiet: bool, as_json: bool, tested: Scores | None = None
) -> None:
    """Print the summary for people, which ``quiet`` leaves out, or as one JSON object.

    ``verb`` is what to try next with the model; ``tested`` the best model's scores on a test file.
    """
    facts = _facts(run, verb, reason) | ({"test": tested} if tested else {})
    if as_json and not run.progress.lost:
        print(to_json(facts), flush=True)
        return
    if reason in ("interrupt", "output"):
        run.progress.note(f"stopped at step {facts['step']} and saved; go on with: {facts['resume']}")
    if not quiet and not run.progress.lost:
        lines = {"run": facts["run"], "best": _best(run), "test": _scores(tested or {})}
        lines |= {name: facts[name] for name in ("model", verb)}
        for name, text in lines.items():
            if text:
                print(f"{name:<7} {text}")


def _scores(tested: Scores) -> str:
    """The first ones: what the task is measured by."""
    some = [(name, value) for name, value in tested.items() if isinstance(value, float)][:3]
    return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in some)


def _facts(run: Run, verb: str, reason: str) -> dict[str, Any]:
    state, folder = run.state, run.folder
    path = shlex.quote(str(folder.path))
    return {
        "run": str(folder.path),
        "stopped_by": reason,
        "step": state.step,
        "tokens": state.tokens,
        "seconds": round(state.seconds, 3),
        f"best_val_{run.main.name}": state.best,
        "best_step": state.best_step,
        "rollbacks": state.rollbacks,
        "model": str(folder.best_model),
        verb: f"backtime {verb} {path}",
        "resume": f"backtime train --resume {path}",
    }


def _best(run: Run) -> str:
    value, step = run.state.best, run.state.best_step
    if value is None:
        return f"step {step}, without validation"
    name = "" if run.main.name == "loss" else f"{run.main.name} "
    return f"{name}{run.main.text(value)} in validation, step {step}"
