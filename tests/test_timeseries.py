"""Tables of series: times and steps, scales, windows, and what is refused, by file and line."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtime.data.scaling import Scaling
from backtime.data.timeseries import times as clock
from backtime.data.timeseries.columns import Columns, choose_columns
from backtime.data.timeseries.encoding import seasonal_errors
from backtime.data.timeseries.reader import read_series
from backtime.data.timeseries.series import Series
from backtime.data.timeseries.table import read_table
from backtime.data.timeseries.times import Step, calendar, find_format, find_step
from backtime.data.timeseries.windows import Frame, Windows, make_batch, naive
from backtime.errors import UnknownValueError, UsageError


def read(path: Path, text: str | bytes, **options: Any) -> tuple[list[Series], Step]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    table = read_table(path)
    roles = {name: options.pop(name) for name in ("targets", "past", "known", "series") if name in options}
    return read_series(table, choose_columns(table, **roles), **options)


# Times.


@pytest.mark.parametrize(
    ("cell", "form"),
    [
        ("1949-01", "%Y-%m"),
        ("2016-07-01", "%Y-%m-%d"),
        ("2016-07-01 13:00", "%Y-%m-%d %H:%M"),
        ("2016-07-01 13:00:30", "%Y-%m-%d %H:%M:%S"),
        ("2016-07-01T13:00:30.25", "%Y-%m-%dT%H:%M:%S.%f"),
        ("2016-07-01T13:00:30Z", "%Y-%m-%dT%H:%M:%S%z"),
        ("31.12.2016", "%d.%m.%Y"),
        ("1749", clock.NUMBER),
        ("-3", clock.NUMBER),
        ("May", None),
        ("", None),
        ("2016-13-01", None),
        ("1_0", None),
    ],
)
def test_formats_are_found(cell: str, form: str | None) -> None:
    assert find_format(cell) == form
    if form is not None and "%z" not in form and "%f" not in form:
        assert clock.text(clock.parse(cell, form), form) == cell


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m"])
def test_the_quick_parser_reads_as_the_other(form: str) -> None:
    quick = clock.parser(form)
    for year, month in ((1000, 1), (1969, 12), (1970, 1), (2024, 2)):
        cell = datetime(year, month, 28, 23, 59, 58, tzinfo=UTC).strftime(form)
        assert quick(cell) == clock.parse(cell, form)
    for wrong in ("", "2024-02-31", "2024-W01-1", "20240131", "now", "2024-01-01x00:00:00"):
        for way in (quick, lambda cell: clock.parse(cell, form)):
            with pytest.raises(ValueError):
                way(wrong)


@pytest.mark.parametrize(
    ("cells", "step", "season", "words", "after"),
    [
        (["2020-01-31", "2020-02-29", "2020-03-31"], Step("month ends", 1), 12, "1 month", "2020-04-30"),
        (["2020-11-15", "2020-12-15", "2021-01-15"], Step("months", 1), 12, "1 month", "2021-02-15"),
        (["2020-01-01", "2020-04-01", "2020-07-01"], Step("months", 3), 4, "3 months", "2020-10-01"),
        (["2020-01-01", "2021-01-01", "2022-01-01"], Step("months", 12), 1, "12 months", "2023-01-01"),
        (
            ["2020-02-27", "2020-02-28", "2020-02-29"],
            Step("microseconds", clock.DAY),
            7,
            "1 day",
            "2020-03-01",
        ),
        (["2020-02-20", "2020-02-27"], Step("microseconds", clock.WEEK), 52, "1 week", "2020-03-05"),
        (["1", "3", "5"], Step("number", 2), 1, "2", "7"),
    ],
)
def test_steps_are_found(cells: list[str], step: Step, season: int, words: str, after: str) -> None:
    form = find_format(cells[0])
    assert form is not None
    times = np.array([clock.parse(cell, form) for cell in cells])
    assert find_step([times], form) == step and step.season == season and str(step) == words
    assert clock.text(step.after(int(times[-1]), 1), form) == after
    assert (np.diff(step.places(times)) == step.size).all()
    assert Step.from_json(list(step)) == step


def test_hours_have_a_day_and_quarters_of_an_hour_too() -> None:
    assert Step("microseconds", clock.HOUR).season == 24
    assert Step("microseconds", 15 * clock.MINUTE).season == 96
    assert Step("microseconds", 7 * clock.SECOND).season == 1


def test_the_calendar_tells_the_day_of_the_week() -> None:
    step = Step("microseconds", clock.HOUR)
    cells = ["2024-01-01 06:00", "2024-01-08 06:00", "2024-01-04 18:00"]  # Monday, Monday, Thursday
    waves = calendar(np.array([clock.parse(cell, "%Y-%m-%d %H:%M") for cell in cells]), step)
    assert waves.shape == (3, clock.calendar_size(step)) == (3, 6)
    np.testing.assert_allclose(waves[0, 2:4], waves[1, 2:4], atol=1e-9)
    np.testing.assert_allclose(waves[0, 2:4], -waves[2, 2:4], atol=1e-9)  # half a week later
    np.testing.assert_allclose(waves[0, 4:], [1, 0], atol=1e-9)  # six o'clock: a quarter of the circle
    monday = calendar(np.array([clock.parse("2024-01-01 00:00", "%Y-%m-%d %H:%M")]), step)
    np.testing.assert_allclose(monday[0, 2:4], [0, 1], atol=1e-9)
    assert clock.calendar_size(Step("months", 1)) == 2


# Tables.


def test_roles_series_and_the_future(tmp_path: Path) -> None:
    text = (
        "\ufeffday;shop;sales;stock;price\n2024-01-01;a;1;5;9\n2024-01-01;b;10;6;8\n2024-01-02;a;2;5;9\n"
        '"2024-01-02";b;20;6;"8"\n\n2024-01-03;a;;;7\n2024-01-03;b;30;6;8\n'
    )
    table_roles = {"series": "shop", "past": ["stock"], "known": ["price"]}
    [a, b], step = read(tmp_path / "shops.csv", text, ahead=True, **table_roles)
    assert str(step) == "1 day" and (a.name, b.name) == ("a", "b")
    assert (a.observed, b.observed) == (2, 3) and a.numbers == [2, 4, 7]
    np.testing.assert_array_equal(a.values, [[1, 5, 9], [2, 5, 9], [np.nan, np.nan, 7]])
    np.testing.assert_array_equal(b.values, [[10, 6, 8], [20, 6, 8], [30, 6, 8]])
    with pytest.raises(UsageError, match=r"shops.csv line 7, column 'sales', is empty; expected a finite"):
        read(tmp_path / "shops.csv", text, **table_roles)


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    days = [datetime(2024, 1, day) for day in (1, 2, 3)]
    parquet.write_table(pyarrow.table({"t": days, "v": [1.5, 2.0, 0.1]}), tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    [series], step = read_series(table, choose_columns(table))
    assert series.values[:, 0].tolist() == [1.5, 2.0, 0.1] and str(step) == "1 day"
    assert clock.text(series.times[1].item(), "%Y-%m-%d") == "2024-01-02"
    parquet.write_table(pyarrow.table({"t": days, "v": [1.5, None, 0.1]}), tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    with pytest.raises(UsageError, match=r"t.parquet row 2, column 'v', is empty"):
        read_series(table, choose_columns(table))
    (tmp_path / "t.parquet").write_text("t,v\n")
    with pytest.raises(UsageError, match=r"t.parquet is no Parquet file"):
        read_table(tmp_path / "t.parquet")


ROWS = "t,v\n2024-01-01,1\n2024-01-02,2\n2024-01-03,3\n"
BAD: list[tuple[str | bytes, str]] = [
    ("", "line 1 is empty; expected a header and rows, as in 'date,value' and then '2024-01-31,12.5'"),
    ("t,v\n", "has a header and no row"),
    ("2024-01-01,1\n2024-01-02,2\n", "line 1 is '2024-01-01,1'; expected names of columns"),
    ("t,v,v\n2024-01-01,1,2\n", "line 1 has two columns 'v'"),
    ("t\n2024-01-01\n", "has no column left to forecast"),
    ("t,v\nsoon,1\n", "line 2, column 't', is 'soon'; expected a time such as 2024-01-31"),
    (ROWS + "2024-01-04,4,5\n", "line 5 has 3 cells; expected 2, as line 1 has"),
    (ROWS + "2024-01-04\n", "line 5 has 1 cells; expected 2"),
    (ROWS + '2024-01-04,"4\n"\n', "line 5 has a quoted cell that goes on in the next line"),
    (ROWS + '2024-01-04,"4\n', "line 5 is no row of a CSV file: unexpected end of data"),
    ('"t\n",v\n2024-01-01,1\n', "line 1 has a quoted cell that goes on in the next line"),
    (ROWS + '2024-01-04,"4"x\n', "line 5 is no row of a CSV file"),
    (ROWS.encode() + b"2024-01-04,\xe9\n", "line 5 is not UTF-8"),
    (b"t,caf\xe9\n", "line 1 is not UTF-8"),
    (ROWS + "2024-01-04,nan\n", "line 5, column 'v', is 'nan'; expected a finite number"),
    (ROWS + "2024-01-04,-inf\n", "line 5, column 'v', is '-inf'; expected a finite number"),
    (ROWS + "2024-01-04,1e999\n", "line 5, column 'v', is '1e999'; expected a finite number"),
    (ROWS + "2024-01-04,\n", "line 5, column 'v', is empty; expected a finite number"),
    (ROWS + "2024-01-04,1_0\n", "line 5, column 'v', is '1_0'; expected a finite number"),
    (ROWS + "2024-01-05,4\n", "line 5 has the time 2024-01-05 after 2024-01-03; expected 2024-01-04 (1 day"),
    (ROWS + "2024-01-03,4\n", "line 5 has the time 2024-01-03 again; expected each time once"),
    (ROWS + "2024-01-02,4\n", "line 5 has the time 2024-01-02 after 2024-01-03; expected rising times"),
    (ROWS + "04.01.2024,4\n", "line 5, column 't', is '04.01.2024'; expected a time such as"),
    ("t,v\n2024-01-01,1\n", "has no series of two rows"),
]


@pytest.mark.parametrize(("text", "reason"), BAD)
def test_what_is_refused_by_line(tmp_path: Path, text: str | bytes, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path / "bad.csv", text)
    assert "bad.csv" in str(caught.value) and reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_roles_that_do_not_fit(tmp_path: Path) -> None:
    for roles, reason in (
        ({"targets": ["w"]}, "has no column 'w'; it has t, v"),
        ({"targets": ["v"], "known": ["v"]}, "column 'v' has two roles"),
        ({"series": "v"}, "has no column left to forecast"),
    ):
        with pytest.raises(UsageError, match=reason):
            read(tmp_path / "t.csv", ROWS, **roles)
    with pytest.raises(UsageError, match="has no column 'w'; it has t, v"):
        read_series(read_table(tmp_path / "t.csv"), Columns("t", ("w",)))
    with pytest.raises(UsageError, match="has rows 1 day apart; the model was trained on 1 hour"):
        read(tmp_path / "t.csv", ROWS, step=Step("microseconds", clock.HOUR))


def test_gaps_are_filled_or_split(tmp_path: Path) -> None:
    text = ROWS + "2024-01-06,9\n2024-01-07,10\n"
    [filled], _ = read(tmp_path / "t.csv", text, gaps="fill")
    assert filled.values[:, 0].tolist() == [1, 2, 3, 5, 7, 9, 10] and filled.observed == 7
    assert filled.numbers == [2, 3, 4, 4, 4, 5, 6] and np.ptp(np.diff(filled.times)) == 0
    first, second = read(tmp_path / "t.csv", text, gaps="split")[0]
    assert (first.values[:, 0].tolist(), second.values[:, 0].tolist()) == ([1, 2, 3], [9, 10])
    assert (first.observed, second.observed) == (3, 2) and second.numbers == [5, 6]
    with pytest.raises(UsageError, match="line 6 comes 65,740 steps later; too long a gap to fill"):
        read(tmp_path / "t.csv", ROWS + "2024-01-04,4\n2204-01-01,9\n", gaps="fill")
    odd = text.replace("2024-01-06", "2024-01-06 12:00")
    for gaps in ("fill", "split"):
        with pytest.raises(UsageError, match=r"line 5.* is '2024-01-06 12:00'|not a multiple of 1 day"):
            read(tmp_path / "t.csv", odd, gaps=gaps)


# Scales and windows.


@pytest.mark.parametrize("transform", ["none", "log", "log1p"])
@pytest.mark.parametrize("scale", ["standard", "minmax", "none"])
@pytest.mark.parametrize("each", [False, True])
def test_scales_are_undone(transform: str, scale: str, each: bool) -> None:
    rng = np.random.default_rng(0)
    parts = {name: [np.exp(rng.standard_normal((50, 3))) * size] for name, size in (("a", 1.0), ("b", 30.0))}
    parts["a"][0][:, 2] = 4.0  # a column that does not vary
    scaling = Scaling.fit(parts, 2, transform, scale, each)
    again = Scaling.from_json(scaling.to_json())
    for name, [values] in parts.items():
        scaled = scaling.apply(name, values)
        np.testing.assert_array_equal(scaled, again.apply(name, values))
        np.testing.assert_allclose(scaling.restore(name, scaled[:, :2]), values[:, :2], rtol=1e-12)
    if scale == "standard" and each:
        scaled = scaling.apply("b", parts["b"][0])
        np.testing.assert_allclose((scaled.mean(0), scaled.std(0)), ([0] * 3, [1] * 3), atol=1e-12)
    if each:
        with pytest.raises(UnknownValueError, match="series 'c' was not trained on"):
            scaling.apply("c", parts["a"][0])


def test_scales_that_are_something_else() -> None:
    for value in (None, {}, {"transform": "none", "targets": 1, "parts": {}}, {"transform": 1, "parts": []}):
        with pytest.raises(UsageError):
            Scaling.from_json(value)


def test_naive_forecasts_by_their_definition() -> None:
    past = np.random.default_rng(1).standard_normal((2, 9, 3))
    for season in (1, 2, 4, 9):
        found = naive(past, 11, season)
        history = [past[:, t] for t in range(9)]
        for k in range(11):
            history.append(history[-season])
            np.testing.assert_array_equal(found[:, k], history[-1])


def test_the_denominator_of_mase() -> None:
    parts = [np.array([[1.0], [5.0], [2.0], [9.0]]), np.array([[0.0], [1.0], [4.0]])]
    assert seasonal_errors(parts, 1, 2) == pytest.approx((1 + 4 + 4) / 3)
    assert seasonal_errors(parts, 1, 9) == pytest.approx((4 + 3 + 7 + 1 + 3) / 5)
    assert seasonal_errors([np.ones((5, 1))], 1, 1) == 1


def test_windows_lie_in_their_stretch_and_the_last_is_the_newest() -> None:
    series = [np.arange(20, dtype=np.float32)[:, None], np.arange(100, 109, dtype=np.float32)[:, None]]
    frame = Frame(3, 2, 1, 0)
    training = Windows(series, [(0, 15), (0, 9)], frame)
    assert training.places.tolist() == [[0, s] for s in range(11)] + [[1, s] for s in range(5)]
    assert training.rows(np.array([0, 15]))[:, :, 0].tolist() == [[0, 1, 2, 3, 4], [104, 105, 106, 107, 108]]
    held = Windows(series, [(15, 20), (9, 9)], frame)
    assert held.places.tolist() == [[0, 12], [0, 13], [0, 14], [0, 15]]  # the past may lie before
    assert Windows(series, [(15, 20), (9, 9)], frame, 2).places.tolist() == [[0, 13], [0, 15]]


def test_batches_by_their_definition() -> None:
    rows = (
        np.random.default_rng(2).standard_normal((2, 7, 4)).astype(np.float32)
    )  # 2 targets, 1 past, 1 known
    direct = make_batch(rows, Frame(5, 2, 2, 1, 3, "season"))
    for b in range(2):
        for t in range(5):
            assert direct.x[t, b].tolist() == [*(rows[b, t, :2] - rows[b, 4, :2]), *rows[b, t, 2:]]
        for k in range(2):
            assert direct.base[k, b].tolist() == rows[b, 2 + k, :2].tolist()
            assert direct.targets[k, b].tolist() == rows[b, 5 + k, :2].tolist()
            assert direct.known[k, b].tolist() == rows[b, 5 + k, 3:].tolist()
    rows = rows[:, :, [0, 1, 3]]
    for anchor, back in (("none", 0), ("last", 1), ("season", 3)):
        batch = make_batch(rows, Frame(5, 2, 2, 1, 3, anchor, "recursive"))
        level = rows[:, 4, :2] * (anchor != "none")
        for t in range(6):  # the truth of a step, and what is known of the next one
            np.testing.assert_array_equal(batch.x[t, :, :2], rows[:, t, :2] - level)
            np.testing.assert_array_equal(batch.x[t, :, 2:], rows[:, t + 1, 2:])
        for k in range(2):
            base = rows[:, 5 + k - back, :2] if back else np.zeros((2, 2))
            np.testing.assert_array_equal(batch.base[k], base)
