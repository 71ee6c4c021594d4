"""Settings are checked when made, survive JSON, and change in a resume only in length."""

import dataclasses
import itertools
import json
import math
from types import SimpleNamespace
from typing import Any

import pytest

from backtime import tasks
from backtime.errors import UsageError
from backtime.tasks.language import PRESETS, LanguageSettings
from backtime.training.schedule import FLOOR, PLATEAU_PATIENCE, after_validation, learning_rate
from backtime.training.settings import RUN_LENGTH, Settings
from backtime.training.state import RunState, Window

IMPOSSIBLE: list[tuple[str, Any]] = [
    *(
        (name, 0)
        for name in ("hidden_size", "layers", "seq_length", "batch_size", "epochs", "max_steps", "patience")
    ),
    *(
        (name, -3)
        for name in ("hidden_size", "threads", "log_every", "save_every", "validate_every", "warmup")
    ),
    *((name, 0) for name in ("lr", "minutes", "threads", "vocabulary_size")),
    *((name, -0.1) for name in ("dropout", "weight_decay", "grad_clip", "validation_fraction", "lr")),
    *((name, 1.0) for name in ("dropout", "validation_fraction")),
    *((name, math.nan) for name in ("dropout", "lr", "grad_clip", "weight_decay", "minutes")),
    *((name, math.inf) for name in ("lr", "minutes", "grad_clip")),
    *((name, "nonsense") for name in ("cell", "level", "optimizer", "schedule", "activation")),
    *((("embedding_size", -1), ("seed", -1), ("seed", 2**32))),
]


@pytest.mark.parametrize(("name", "value"), IMPOSSIBLE)
def test_an_impossible_value_is_named_in_one_line(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"^--{name.replace('_', '-')} is .*; expected [^\n]*$"):
        LanguageSettings(**{name: value})


@pytest.mark.parametrize("task", tasks.TASKS)
@pytest.mark.parametrize(
    ("name", "value"), [("layers", 1001), ("hidden_size", 0), ("dropout", 1.0), ("validation_fraction", 1.0)]
)
def test_what_every_task_has_is_bounded_alike(task: str, name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"^--{name.replace('_', '-')} is .*; expected [^\n]*$"):
        tasks.find(task).settings(**{name: value})


@pytest.mark.parametrize("task", tasks.TASKS)
def test_the_network_is_fixed_by_the_fields_that_it_takes(task: str) -> None:
    """What ``--init-from`` decides is what a configuration of the same settings would have."""
    settings: Any = tasks.find(task).settings()
    chosen = settings.network()
    assert set(chosen) == {*settings.network_fields, "dropout"}
    start: Any = SimpleNamespace(config=SimpleNamespace(**chosen))
    assert settings.network_of(start) == {name: getattr(settings, name) for name in settings.network_fields}


@pytest.mark.parametrize(
    "values",
    [
        {"tie_weights": True},
        {"tie_weights": True, "embedding_size": 8, "hidden_size": 9},
        {"activation": "relu"},
        {"reset_after": False},
        {"validation_fraction": 0, "patience": 3},
        {"validation_fraction": 0, "schedule": "plateau"},
    ],
)
def test_values_that_do_not_go_together(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        LanguageSettings(**values)


def test_json_brings_every_field_back() -> None:
    settings = LanguageSettings(cell="gru", lr=0.1 + 0.2, minutes=3.5, reset_after=False)
    assert LanguageSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
    with pytest.raises(UsageError, match="wings"):
        LanguageSettings.from_json({"wings": 2})


def test_a_resume_changes_the_length_alone() -> None:
    settings = LanguageSettings()
    for name in RUN_LENGTH:
        assert getattr(settings.resumed_with({name: 7}), name) == 7
    assert settings.resumed_with({"cell": settings.cell}) == settings
    for field in dataclasses.fields(LanguageSettings):
        if field.name not in RUN_LENGTH:
            with pytest.raises(UsageError, match=field.name.replace("_", "-")):
                settings.resumed_with({field.name: "other"})


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_possible(name: str) -> None:
    LanguageSettings(**PRESETS[name])


def test_char_rnn_is_char_rnn() -> None:
    settings = LanguageSettings(**PRESETS["char-rnn"])
    rates = [learning_rate(settings, RunState(horizon=50, epoch=epoch), 1) for epoch in range(13)]
    assert rates[:10] == [2e-3] * 10
    assert rates[10:] == pytest.approx([2e-3 * 0.97, 2e-3 * 0.97**2, 2e-3 * 0.97**3])


def test_cosine_with_warmup_rises_falls_and_stays() -> None:
    settings = Settings(schedule="cosine", warmup=10, lr=1.0, epochs=1)
    rates = [learning_rate(settings, RunState(horizon=2, step=step), 55) for step in range(130)]
    assert rates[:11] == pytest.approx([*(n / 10 for n in range(1, 11)), 1.0])
    assert rates[60] == pytest.approx(FLOOR + (1 - FLOOR) / 2)  # half of the 100 steps after the warm-up
    assert all(a > b for a, b in itertools.pairwise(rates[10:111]))
    assert rates[110:] == pytest.approx([FLOOR] * 20)


def test_plateau_halves_after_validations_without_progress() -> None:
    settings, state = Settings(schedule="plateau", lr=1.0), RunState(horizon=1)
    rates = []
    for better in [True, *[False] * (PLATEAU_PATIENCE + 1), True, *[False] * (2 * PLATEAU_PATIENCE + 2)]:
        after_validation(state, better)
        rates.append(learning_rate(settings, state, 1))
    wait = PLATEAU_PATIENCE
    assert rates == [1.0] * (wait + 1) + [0.5] * (wait + 2) + [0.25] * (wait + 1) + [0.125]


def test_a_rollback_lowers_every_schedule() -> None:
    for schedule in ("constant", "cosine", "exponential", "plateau"):
        settings = Settings(schedule=schedule)
        full, half = (learning_rate(settings, RunState(horizon=1, penalty=p), 9) for p in (1.0, 0.5))
        assert half == full / 2


def test_the_state_survives_json() -> None:
    state = RunState(horizon=3, step=5, window=Window([0.1, 1 / 3], [4, 5], [2.5, 1e-9], 1, 0.25), best=2 / 3)
    assert RunState.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_the_window_averages() -> None:
    window = Window()
    assert (window.loss, window.norm, window.share_clipped) == (None, None, 0.0)
    for loss, count, norm, clipped in ((1.0, 3, 2.0, False), (2.0, 1, 6.0, True)):
        window.add(loss, count, norm, clipped)
    # the loss over all numbers that it is the mean of, the norm over the steps
    assert (window.loss, window.count, window.norm, window.share_clipped) == (1.25, 4, 4.0, 0.5)
