"""What a verdict is made of: illnesses that were found, and what to try against each."""

from dataclasses import asdict, dataclass, field
from typing import Any

HEALTHY = "healthy"
ILLNESSES = ("exploding", "vanishing", "saturated", "dead units", "truncated too early")


@dataclass
class Advice:
    """Something to try."""

    text: str
    option: str  # of ``backtime train``, as it is typed


@dataclass
class Finding:
    """One illness."""

    illness: str
    where: str
    lag: int | None
    sure: float  # 0 to 1: how far beyond its threshold the figure is
    text: str
    figure: str  # the key of flow.json that shows it
    advice: list[Advice] = field(default_factory=list)


@dataclass
class Verdict:
    """What was found; empty ``findings`` are good health.

    ``seq_length`` is what the evidence recommends, None where no length will do, or where what ails the
    gradient must be mended first.
    """

    findings: list[Finding]
    line: str
    seq_length: int | None

    @property
    def illnesses(self) -> list[str]:
        """Their names, or healthy."""
        return sorted({own.illness for own in self.findings}) or [HEALTHY]

    def to_json(self) -> dict[str, Any]:
        """For flow.json."""
        return asdict(self)


def sure_of(value: float, threshold: float, certain: float) -> float:
    """How sure: 0.5 at the threshold, 0.99 from ``certain`` on."""
    share = (value - threshold) / (certain - threshold)
    return round(0.5 + 0.49 * min(max(share, 0.0), 1.0), 2)
