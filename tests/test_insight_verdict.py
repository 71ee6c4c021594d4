"""The verdict names the illness that was planted and no other, and is calm about healthy networks."""

import numpy as np
import pytest

from backtime import UsageError
from backtime.insight import flow
from backtime.insight.measures import fallen
from backtime.insight.reports.report import report
from backtime.insight.verdict.figures import recommended
from backtime.insight.verdict.findings import Verdict
from backtime.insight.verdict.rules import judge
from illnesses import batch, make

PLANTED = {
    "contractive rnn": ["vanishing"],
    "expanding rnn": ["exploding"],
    "saturated lstm": ["saturated"],
    "forget bias -5": ["vanishing"],
    "healthy lstm": ["healthy"],
    "default lstm": ["healthy"],
    "orthogonal rnn": ["healthy"],
    "dead relu units": ["dead units"],
}


def verdict(name: str, seed: int, seq_length: int | None = None) -> Verdict:
    return judge(flow(make(name, seed), batch(seed)), seq_length)


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(n, marks=pytest.mark.slow) for n in range(2, 20))])
@pytest.mark.parametrize("name", PLANTED)
def test_the_planted_illness_is_named_and_no_other(name: str, seed: int) -> None:
    found = verdict(name, seed)
    assert found.illnesses == PLANTED[name], found.line
    assert all(own.advice and 0.5 <= own.sure < 1 for own in found.findings)


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 20))])
def test_truncation_shorter_than_the_dependency_is_named(seed: int) -> None:
    short, long = verdict("short truncation", seed, 4), verdict("default lstm", seed, 64)
    assert short.illnesses == ["truncated too early"], short.line
    assert long.illnesses == ["healthy"], long.line


def test_the_advice_has_the_name_that_the_length_has_in_the_task() -> None:
    found = report("model", flow(make("short truncation", 0), batch(0)), 4, length_option="--lookback")
    assert [own.option.split()[0] for own in found.verdict.findings[0].advice] == ["--lookback"]


def test_a_shut_forget_gate_is_the_cause_that_is_named() -> None:
    assert "The forget gate is shut" in verdict("forget bias -5", 0).findings[0].text


def test_advice_is_an_option_of_train() -> None:
    from backtime.cli import main

    for name in PLANTED:
        for finding in verdict(name, 0).findings:
            for own in finding.advice:
                main._parser(["train"]).parse_args(["train", "book.txt", *own.option.split()])


def test_the_recommended_length_is_the_first_that_keeps_the_direction() -> None:
    found = flow(make("healthy lstm", 0), batch(0))
    n = recommended(found)
    own = found.truncation
    assert own is not None
    if n is not None:
        at = own.lengths.index(n)
        assert own.chunk_cosine[at] >= 0.99 and (own.chunk_cosine[:at] < 0.99).all()


def test_a_gradient_has_fallen_where_it_stays_down() -> None:
    curve = np.log10([1.0, 0.4, 0.6, 0.5, 0.1, 0.009])
    assert fallen(curve, 0.5) == 3 and fallen(curve, 0.01) == 5 and fallen(curve, 0.001) is None


def test_what_the_problem_needs_decides_what_is_too_short() -> None:
    """An rnn whose gradient reaches some steps is well or ill by how many its problem needs."""
    found = flow(make("contractive rnn", 0), batch(0))
    far = found.levels[0].percent
    assert far is not None and judge(found).illnesses == ["vanishing"]
    enough, short = judge(found, needs=far), judge(found, needs=far + 1)
    assert enough.illnesses == ["healthy"] and f"of {far} that you need" in enough.line
    assert short.illnesses == ["vanishing"] and short.findings[0].sure == pytest.approx(0.5, abs=0.2)
    assert f"reaches {far} of the {far + 1} steps that you need" in short.line
    assert judge(found, needs=30 * far).findings[0].sure == 0.99


def test_a_recommended_length_is_no_shorter_than_what_is_needed() -> None:
    found = flow(make("default lstm", 0), batch(0))
    found.levels[0].log_relative[:] = 0  # nothing is lost on the way
    alone = judge(found).seq_length
    assert alone is not None and judge(found, needs=alone + 1).seq_length == alone + 1
    assert judge(found, needs=1).seq_length == alone


def test_more_than_was_looked_at_is_said() -> None:
    found = flow(make("orthogonal rnn", 0), batch(0))
    assert all(level.percent is None for level in found.levels)
    assert judge(found, needs=found.lags).line.startswith("healthy: after")
    line = judge(found, needs=found.lags + 1).line
    assert f"{found.lags} steps of the {found.lags + 1} that you need" in line and "--steps" in line
    with pytest.raises(UsageError, match="needs is 0"):
        judge(found, needs=0)
