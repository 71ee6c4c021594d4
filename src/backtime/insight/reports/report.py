"""A flow with its verdict, and the same as JSON."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from backtime.insight.measures import Flow
from backtime.insight.verdict.findings import Verdict
from backtime.insight.verdict.rules import judge


@dataclass
class Report:
    """What is told about one model."""

    name: str  # of the model, as people know it
    flow: Flow
    verdict: Verdict
    seq_length: int | None  # what the model was trained with, where that is known
    mean_loss: float  # of what one answer costs: a symbol, a word, a sequence
    length_option: str  # of ``train`` that says how far back it learns; empty where sequences are whole

    needs: int | None = None  # how many steps back the answer lies in the problem, where its owner says so

    @property
    def recommended(self) -> int | None:
        """For ``length_option``; None where no value will do, or there is no such option."""
        return self.verdict.seq_length if self.length_option else None

    def to_json(self) -> dict[str, Any]:
        """Everything; -inf, infinity and NaN are null. Norms are log10."""
        found: dict[str, Any] = {"model": self.name, "trained_with_seq_length": self.seq_length}
        found["needs"] = self.needs
        found |= {"length_option": self.length_option, "verdict": plain(self.verdict), **plain(self.flow)}
        for own, level in zip(found["levels"], self.flow.levels, strict=True):
            own |= {"half": level.half, "percent": level.percent}
        return found


def report(
    name: str,
    flow: Flow,
    seq_length: int | None = None,
    mean_loss: float | None = None,
    length_option: str = "--seq-length",
    needs: int | None = None,
) -> Report:
    """Judge a flow. Without ``mean_loss`` its loss is a sum over steps and sequences."""
    mean = flow.loss / max(flow.losses * flow.sequences, 1) if mean_loss is None else mean_loss
    return Report(
        name, flow, judge(flow, seq_length, needs, length_option), seq_length, mean, length_option, needs
    )


def plain(value: Any) -> Any:
    """Dataclasses, arrays and numbers as values for JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [plain(own) for own in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
