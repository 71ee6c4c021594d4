"""The verdict in words: what is wrong with the gradient through time, where, how sure, and what to try.

Every rule reads figures of a ``Flow`` and says which. An illness that follows from another is told within
it, not beside it: the gradient of a saturated layer may shrink or grow, units without slope do not move.
"""

from backtime.errors import UsageError
from backtime.insight.measures import Flow
from backtime.insight.verdict.figures import reach, recommended
from backtime.insight.verdict.findings import Finding, Verdict
from backtime.insight.verdict.illnesses import dead, exploding, saturated
from backtime.insight.verdict.reach import steps_of, truncated, vanishing


def judge(
    flow: Flow,
    seq_length: int | None = None,
    needs: int | None = None,
    length_option: str = "--seq-length",
) -> Verdict:
    """The verdict on a flow; ``seq_length`` is what the model is trained with, where that is known.

    ``needs`` is how many steps back the answer lies in your problem, which no gradient can tell: the gradient
    vanishes, then, if less than 1 % of it is left before. Without it, if that is so after a few steps.
    ``length_option`` is what ``train`` calls ``seq_length`` in this task; the advice names it.

    Raises ``UsageError`` where ``needs`` is less than 1.
    """
    if needs is not None and needs < 1:
        raise UsageError(f"needs is {needs}; expected a whole number from 1")
    findings: list[Finding] = []
    for level in flow.levels:
        flat = saturated(level)
        findings += flat
        if not flat:
            findings += [*exploding(level), *dead(level)]
    if not findings or all(own.illness == "dead units" for own in findings):
        findings += vanishing(flow, needs)
    if not {"exploding", "saturated"} & {own.illness for own in findings}:
        findings += truncated(flow, seq_length, length_option)
    findings.sort(key=lambda own: -own.sure)
    ill = {own.illness for own in findings} - {"truncated too early", "dead units"}
    return Verdict(findings, _line(flow, findings, needs), None if ill else _length(flow, needs))


def _length(flow: Flow, needs: int | None) -> int | None:
    """What the evidence recommends, and no less than the problem needs."""
    found = recommended(flow)
    return found if found is None or needs is None else max(found, needs)


def _line(flow: Flow, findings: list[Finding], needs: int | None) -> str:
    if findings:
        first = findings[0]
        remedy = f" Try {first.advice[0].option}." if first.advice else ""
        return f"{first.illness}, {first.where}: {first.text}{remedy}"
    far = max(reach(flow), default=0)
    if needs is not None and needs > flow.lags:
        return (
            f"healthy as far as was looked, {steps_of(flow.lags)} of the {needs} that you need: more --steps"
        )
    wanted = "" if needs is None else f", of {needs} that you need"
    if any(level.percent is None for level in flow.levels) or not flow.levels:
        return f"healthy: after {flow.lags - 1} steps more than 1 % of the gradient is left{wanted}"
    return f"healthy: the gradient reaches {far} steps back (1 % left){wanted}"
