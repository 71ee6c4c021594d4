"""What the user sees of a run while it lasts: a live display, plain lines, JSON lines, or nothing."""

import contextlib
import errno
import math
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from backtime.errors import one_line
from backtime.files import to_json
from backtime.training.metrics import Metric
from backtime.training.record import Record

Metrics = tuple[Metric, ...]


class Progress:
    """Shows nothing; the others build on it.

    ``lost`` is the first error that its output met: a closed pipe or terminal, a full disk. The loop then
    ends the run as after Ctrl-C.
    """

    lost: OSError | None = None
    metrics: Metrics = ()  # of the validations

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

    @contextlib.contextmanager
    def _showing(self) -> Iterator[None]:
        """What shows something stands in such a block; ValueError is what a closed file raises."""
        try:
            yield
        except (OSError, ValueError) as error:
            closed = OSError(errno.EBADF, str(error))
            self.lost = self.lost or (error if isinstance(error, OSError) else closed)

    def _print(self, text: str, file: TextIO | None) -> None:
        if file:
            with self._showing():
                print(text, file=file, flush=True)


class PlainProgress(Progress):
    """One line of text a log line, on stderr: for a pipe or a file."""

    def __init__(self, metrics: Metrics) -> None:
        """``metrics`` are those of the task's validations."""
        self.metrics = metrics

    def line(self, record: Record, seconds_left: float) -> None:
        """All cells in one line."""
        self._print(joined(cells(record, self.metrics, seconds_left)), sys.stderr)

    def note(self, text: str) -> None:
        """The text, on stderr."""
        self._print(f"backtime: {one_line(text)}", sys.stderr)


class JsonProgress(PlainProgress):
    """The lines of metrics.jsonl as they are made, on stdout."""

    def line(self, record: Record, seconds_left: float) -> None:
        """One JSON object."""
        self._print(to_json(record), sys.stdout)


class LiveProgress(Progress):
    """The newest numbers, drawn anew in place, on stderr: for a terminal. Needs rich."""

    def __init__(self, metrics: Metrics) -> None:
        """``metrics`` are those of the task's validations; raises ModuleNotFoundError without rich."""
        from rich.console import Console
        from rich.live import Live

        self.metrics, self.last_step = metrics, 0
        self.cells: dict[str, str] = {}
        self.console = Console(stderr=True)
        self.live = Live(get_renderable=self._panel, console=self.console, refresh_per_second=4)

    def start(self) -> None:
        """Begin to draw."""
        with self._showing():
            self.live.start()

    def step(self, step: int) -> None:
        """Drawn at the next refresh."""
        self.last_step = step

    def line(self, record: Record, seconds_left: float) -> None:
        """Drawn at the next refresh; a validation stays on the screen as a line of its own."""
        now = cells(record, self.metrics, seconds_left)
        if any(record[f"val_{metric.name}"] is not None for metric in self.metrics):
            self._above(joined(now))
        self.cells = self.cells | dict(
            now
        )  # the last validation stays; a new dict, for another thread draws it

    def note(self, text: str) -> None:
        """The text, above the numbers."""
        self._above(f"backtime: {one_line(text)}")

    def stop(self) -> None:
        """Leave the last numbers where they are and give the terminal back."""
        with self._showing():
            self.live.stop()

    def _above(self, text: str) -> None:
        with self._showing():
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _panel(self) -> Any:
        """The cells side by side, in as many rows as the terminal's width asks for."""
        from rich.columns import Columns
        from rich.text import Text

        shown = self.cells | {"step": str(self.last_step)}
        return Columns([Text.assemble((name, "dim"), " ", (value, "bold")) for name, value in shown.items()])


def choose_progress(metrics: Metrics, quiet: bool, as_json: bool) -> Progress:
    """The display that suits: ``--quiet``, ``--json``, a terminal, or anything else."""
    if quiet:
        return Progress()
    if as_json:
        return JsonProgress(metrics)
    if not (sys.stderr and sys.stderr.isatty()):
        return PlainProgress(metrics)
    try:
        return LiveProgress(metrics)
    except ModuleNotFoundError:  # without rich a terminal gets plain lines too
        return PlainProgress(metrics)


def cells(record: Record, metrics: Metrics, seconds_left: float) -> list[tuple[str, str]]:
    """Name and text of each number of a log line, for people."""
    loss, of_loss = record["loss"], next((m for m in metrics if m.name == "loss"), Metric("loss"))
    found: list[tuple[str, str]] = [("step", str(record["step"])), ("epoch", f"{record['epoch']:.2f}")]
    if loss is not None:
        found += _value(loss, of_loss, "loss", "")
    for metric in metrics:
        if (value := record[f"val_{metric.name}"]) is not None:
            name = "val" if metric.name == "loss" else f"val {metric.name}"
            found += _value(value, metric, name, "val ")
    found.append(("lr", f"{record['lr']:.3g}"))
    if loss is not None:
        found += [("norm", f"{record['grad_norm']:.3g}"), ("clipped", f"{record['clipped']:.0%}")]
    if record["tokens_per_second"]:
        found.append((f"{of_loss.counted}/s", f"{record['tokens_per_second']:,.0f}"))
    return [*found, ("left", duration(seconds_left))]


def _value(value: float, metric: Metric, name: str, before: str) -> list[tuple[str, str]]:
    """A number, and what people read instead of it."""
    found = [(name, f"{value:.4f}")]
    if metric.measure:
        found.append((f"{before}{metric.measure.name}", f"{metric.measure.of(value):.4g}"))
    return found


def joined(named: list[tuple[str, str]]) -> str:
    """The cells in one line of text."""
    return "  ".join(f"{name} {text}" for name, text in named)


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as 1:02:03 or 2:03."""
    whole = max(0, math.ceil(seconds))
    minutes, hours = whole // 60, whole // 3600
    return f"{hours}:{minutes % 60:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
