"""What the user sees of a run while it lasts: a live display, plain lines, JSON lines, or nothing."""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from backtime.training.metrics import Record


@dataclass(frozen=True)
class Measure:
    """What people read instead of nats a token: its name, and how it comes from them."""

    name: str
    of: Callable[[float], float]


class Progress:
    """Shows nothing; the others build on it."""

    def start(self) -> None:
        """The run begins."""

    def step(self, step: int) -> None:
        """Step number ``step`` is done."""

    def line(self, record: Record, seconds_left: float) -> None:
        """A log line; ``seconds_left`` is an estimate."""

    def note(self, text: str) -> None:
        """Something the user should know, in one line."""

    def stop(self) -> None:
        """The run has ended, well or not."""


class PlainProgress(Progress):
    """One line of text a log line, on stderr: for a pipe or a file."""

    def __init__(self, measure: Measure) -> None:
        """``measure`` is shown beside the loss."""
        self.measure = measure

    def line(self, record: Record, seconds_left: float) -> None:
        """All cells in one line."""
        print(joined(cells(record, self.measure, seconds_left)), file=sys.stderr)

    def note(self, text: str) -> None:
        """The text, on stderr."""
        print(f"backtime: {text}", file=sys.stderr)


class JsonProgress(PlainProgress):
    """The lines of metrics.jsonl as they are made, on stdout."""

    def line(self, record: Record, seconds_left: float) -> None:
        """One JSON object."""
        print(json.dumps(record), flush=True)


class LiveProgress(Progress):
    """The newest numbers, drawn anew in place, on stderr: for a terminal. Needs rich."""

    def __init__(self, measure: Measure) -> None:
        """``measure`` is shown beside the loss; raises ModuleNotFoundError without rich."""
        from rich.console import Console
        from rich.live import Live

        self.measure, self.last_step = measure, 0
        self.cells: dict[str, str] = {}
        self.console = Console(stderr=True)
        self.live = Live(get_renderable=self._panel, console=self.console, refresh_per_second=4)

    def start(self) -> None:
        """Begin to draw."""
        self.live.start()

    def step(self, step: int) -> None:
        """Drawn at the next refresh."""
        self.last_step = step

    def line(self, record: Record, seconds_left: float) -> None:
        """Drawn at the next refresh; a validation stays on the screen as a line of its own."""
        now = cells(record, self.measure, seconds_left)
        if record["val_loss"] is not None:
            self._print(joined(now))
        self.cells = self.cells | dict(
            now
        )  # the last validation stays; a new dict, for another thread draws it

    def note(self, text: str) -> None:
        """The text, above the numbers."""
        self._print(f"backtime: {text}")

    def stop(self) -> None:
        """Leave the last numbers where they are and give the terminal back."""
        self.live.stop()

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _panel(self) -> Any:
        """The cells side by side, in as many rows as the terminal's width asks for."""
        from rich.columns import Columns
        from rich.text import Text

        shown = self.cells | {"step": str(self.last_step)}
        return Columns([Text.assemble((name, "dim"), " ", (value, "bold")) for name, value in shown.items()])


def choose_progress(measure: Measure, quiet: bool, as_json: bool) -> Progress:
    """The display that suits: ``--quiet``, ``--json``, a terminal, or anything else."""
    if quiet:
        return Progress()
    if as_json:
        return JsonProgress(measure)
    if not sys.stderr.isatty():
        return PlainProgress(measure)
    try:
        return LiveProgress(measure)
    except ModuleNotFoundError:  # without rich a terminal gets plain lines too
        return PlainProgress(measure)


def cells(record: Record, measure: Measure, seconds_left: float) -> list[tuple[str, str]]:
    """Name and text of each number of a log line, for people."""
    loss, val_loss = record["loss"], record["val_loss"]
    found: list[tuple[str, str]] = [("step", str(record["step"])), ("epoch", f"{record['epoch']:.2f}")]
    if loss is not None:
        found += [("loss", f"{loss:.4f}"), (measure.name, f"{measure.of(loss):.4g}")]
    if val_loss is not None:
        found += [("val", f"{val_loss:.4f}"), (f"val {measure.name}", f"{measure.of(val_loss):.4g}")]
    found.append(("lr", f"{record['lr']:.3g}"))
    if loss is not None:
        found += [("norm", f"{record['grad_norm']:.3g}"), ("clipped", f"{record['clipped']:.0%}")]
    if record["tokens_per_second"]:
        found.append(("tokens/s", f"{record['tokens_per_second']:,.0f}"))
    return [*found, ("left", duration(seconds_left))]


def joined(named: list[tuple[str, str]]) -> str:
    """The cells in one line of text."""
    return "  ".join(f"{name} {text}" for name, text in named)


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as 1:02:03 or 2:03."""
    whole = max(0, math.ceil(seconds))
    minutes, hours = whole // 60, whole // 3600
    return f"{hours}:{minutes % 60:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
