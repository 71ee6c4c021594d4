"""Estimators in scikit-learn's hands: its own checks, pipelines, searches; and what they learn."""

import itertools
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from backtime import UsageError, tasks
from backtime.estimators import SequenceClassifier, SequenceForecaster, SequenceRegressor, SequenceTagger
from backtime.models.file import write_model
from backtime.runtime.viterbi import Field, marginals


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda file: None)


def quick(**others: Any) -> SequenceClassifier:
    return SequenceClassifier(
        **{"hidden_size": 16, "epochs": 30, "lr": 0.02, "random_state": 0, **others}  # type: ignore[arg-type]
    )


def quick_regressor(**others: Any) -> SequenceRegressor:
    return SequenceRegressor(
        **{"hidden_size": 16, "epochs": 30, "lr": 0.02, "random_state": 0, **others}  # type: ignore[arg-type]
    )


ONE_SERIES = "rows are steps of one series, not samples: a forecast has a row for each step ahead"
A_SERIES_ALONE = "one series is an array (T,)"
OF_THE_FORECASTER = {
    "check_methods_sample_order_invariance": ONE_SERIES,
    "check_methods_subset_invariance": ONE_SERIES,
    "check_fit1d": A_SERIES_ALONE,
    "check_fit2d_predict1d": A_SERIES_ALONE,
}
WITHOUT_DATA = [  # the tagger takes sentences, which no check of scikit-learn's has
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
]


def expected(estimator: Any) -> dict[str, str]:
    """The checks that must fail, each with its reason; docs/estimators.md has them too."""
    return OF_THE_FORECASTER if isinstance(estimator, SequenceForecaster) else {}


@pytest.mark.slow
@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [
        quick(cell="gru"),
        quick_regressor(cell="gru"),
        SequenceForecaster(
            lookback=3, horizon=2, hidden_size=4, epochs=1, validation_fraction=0, random_state=0
        ),
    ],
    expected_failed_checks=expected,
    xfail_strict=True,
)
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("name", WITHOUT_DATA)
def test_scikit_learns_checks_without_data_of_the_tagger(name: str) -> None:
    getattr(estimator_checks, name)("SequenceTagger", SequenceTagger())


def rising_or_falling(N: int = 40, seed: int = 0) -> tuple[list[Any], Any]:
    """Sequences of unequal length: whether the sum of the steps is above zero."""
    random = np.random.default_rng(seed)
    X = [random.normal(size=(int(random.integers(3, 9)), 2)) + random.choice([-1, 1]) for _ in range(N)]
    return X, np.where([x.sum() > 0 for x in X], "up", "down")


def test_a_list_of_arrays_and_a_padded_array_are_the_same() -> None:
    X, y = rising_or_falling()
    lengths = np.array([len(x) for x in X])
    padded = np.stack([np.pad(x, ((0, 9 - len(x)), (0, 0)), constant_values=7.0) for x in X])
    one, other = quick().fit(X, y), quick().fit(padded, y, lengths=lengths)
    assert one.score(X, y) > 0.9 and one.classes_.tolist() == ["down", "up"]
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(padded, lengths=lengths))
    assert one.score(X, y) == other.score(padded, y, lengths=lengths)
    tables = [pd.DataFrame(x, columns=["a", "b"]) for x in X]
    np.testing.assert_array_equal(one.predict_proba(X), one.predict_proba(tables))
    panel = pd.concat(tables, keys=range(len(tables))[::-1])  # an index of two levels: sequence and step
    np.testing.assert_array_equal(one.predict_proba(X), one.predict_proba(panel))
    np.testing.assert_allclose(one.predict_proba(X).sum(1), 1)


def test_the_same_random_state_gives_the_same_model_and_disturbs_nothing() -> None:
    X, y = rising_or_falling()
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    np.random.seed(5)
    word = np.random.get_state()[1][0]  # type: ignore[index]
    models = [quick(epochs=3, dropout=0.2).fit(X, y) for _ in range(2)]
    assert torch.equal(torch.rand(1), before) and np.random.get_state()[1][0] == word  # type: ignore[index]
    np.testing.assert_array_equal(*(own.predict_proba(X) for own in models))
    assert (quick(epochs=3, random_state=1).fit(X, y).predict_proba(X) != models[0].predict_proba(X)).any()


def test_pickle_clone_and_parameters() -> None:
    X, y = rising_or_falling(20)
    own = quick(epochs=2).fit(X, y)
    again = pickle.loads(pickle.dumps(own))
    np.testing.assert_array_equal(own.predict_proba(X), again.predict_proba(X))
    bare = clone(own).set_params(hidden_size=4)
    assert bare.get_params()["hidden_size"] == 4 and not hasattr(bare, "model_")
    with pytest.raises(NotFittedError):
        bare.predict(X)


def test_partial_fit_goes_on() -> None:
    X, y = rising_or_falling(60)
    own = quick()
    for _ in range(15):
        own.partial_fit(X, y, classes=["down", "up"])
    assert own.score(X, y) > 0.85
    with pytest.raises(UsageError, match="y has 'sideways'; expected one of the classes"):
        own.partial_fit(X, np.full(60, "sideways"))


@pytest.mark.slow
def test_a_pipeline_in_a_search() -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(60, 6))
    y = (X.sum(1) > 0).astype(int)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), quick(epochs=10)), {"sequenceclassifier__cell": ["rnn", "gru"]}, cv=2
    )
    search.fit(X, y)
    assert search.best_score_ > 0.7 and search.predict(X).shape == (60,)


def test_a_search_over_lists_of_unequal_length() -> None:
    X, y = rising_or_falling(24)
    search = GridSearchCV(quick(epochs=2), {"hidden_size": [2, 4]}, cv=2).fit(X, y)
    assert search.predict(X).shape == (24,) and set(search.cv_results_["param_hidden_size"]) == {2, 4}


def test_a_regressor() -> None:
    X, _ = rising_or_falling(60)
    y = np.array([1e4 + 50 * x[:, 0].sum() for x in X])
    own = quick_regressor(validation_fraction=0.1).fit(X, y)
    assert own.score(X, y) > 0.8
    lengths = np.array([len(x) for x in X])
    padded = np.stack([np.pad(x, ((0, 9 - len(x)), (0, 0)), constant_values=7.0) for x in X])
    np.testing.assert_array_equal(own.predict(padded, lengths=lengths), own.predict(X))
    assert own.score(padded, y, lengths=lengths) == own.score(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(own)).predict(X), own.predict(X))
    write_model("model.safetensors", own.model_)
    rows = tasks.load("model.safetensors").predict(X[:3])
    np.testing.assert_allclose([row["value"] for row in rows], own.predict(X[:3]), rtol=1e-6)
    assert np.abs(clone(own).set_params(epochs=1).fit(X, [7.0] * 60).predict(X) - 7).max() < 2
    for target, line in [([np.nan] * 60, "'nan'; expected a finite"),
                         ([1.0] * 5, "y has 5 numbers; expected 60")]:  # fmt: skip
        with pytest.raises(ValueError, match=line):
            own.fit(X, target)


def test_a_regressor_goes_on_and_is_searched() -> None:
    X, _ = rising_or_falling(60)
    y = np.array([x.sum() for x in X])
    own = quick_regressor()
    for _ in range(15):
        own.partial_fit(X, y)
    assert own.score(X, y) > 0.5
    search = GridSearchCV(quick_regressor(epochs=1), {"pooling": ["mean", "last"]}, cv=2).fit(X, y)
    assert search.predict(X).shape == (60,)


def test_texts() -> None:
    X = [f"the {word} film number {n}" for n in range(20) for word in ("good", "bad")]
    y = ["pro", "contra"] * 20
    own = quick(options={"embedding_size": 8}).fit(X, y)
    assert own.score(X, y) == 1 and own.predict(["a good one"]).tolist() == ["pro"]


@pytest.mark.parametrize(
    ("X", "y", "lengths", "line"),
    [
        ([np.ones((3, 2)), np.ones((3, 1))], "ab", None, r"X\[1\] has 1 numbers a step; expected 2"),
        ([np.ones((3, 2)), np.full((2, 2), np.nan)], "ab", None, r"X\[1\] step 0, number 0 is nan"),
        ([np.ones((3, 2)), np.ones((0, 2))], "ab", None, r"X\[1\] is empty"),
        (["a b", 5], "ab", None, r"X\[1\] is a int; expected a text"),
        (np.ones((2, 3, 1)), "ab", [3, 4], r"lengths\[1\] is 4; expected 1 to 3"),
        (np.ones((2, 3, 1)), "aa", None, "y has 1 class; expected two"),
        (np.ones((2, 3, 1)), "abc", None, "y has 3 labels; expected 2"),
    ],
)
def test_what_does_not_fit_is_one_line(X: Any, y: str, lengths: Any, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        quick(epochs=1).fit(X, list(y), lengths=lengths)


def test_a_tagger() -> None:
    X = ["the cat sleeps", ["a", "dog", "barks"], "the dog sleeps"] * 8
    y = [["D", "N", "V"]] * 24
    own = SequenceTagger(hidden_size=12, word_size=8, epochs=6, lr=0.02, dropout=0.0, random_state=0)
    own.set_params(options={"character_size": 4, "spelling_size": 4}).fit(X, y)
    assert own.score(X, y) == 1 and own.predict(["a cat barks"]) == [["D", "N", "V"]]
    assert own.classes_ == ["D", "N", "V"]
    for words, tags, line in [
        (["a b c"], [["D"]], r"X\[0\] has 3 words, y\[0\] 1 tags"),
        ([5], [["D"]], r"X\[0\] is a int; expected a text, or a list of words"),
        (["a"], ["D"], r"y\[0\] is a str; expected a list of tags"),
        ("a b", [["D"]], "X is a str; expected a list"),
    ]:
        with pytest.raises(UsageError, match=line):
            own.fit(words, tags)


@pytest.mark.parametrize("crf", [False, True])
def test_a_tagger_goes_on_and_says_how_likely_each_tag_is(crf: bool) -> None:
    X, y = ["the cat sleeps", "a dog"] * 8, [["D", "N", "V"], ["D", "N"]] * 8
    own = SequenceTagger(hidden_size=12, word_size=8, lr=0.02, dropout=0.0, crf=crf, random_state=0)
    own.set_params(options={"character_size": 4, "spelling_size": 4})
    with pytest.raises(UsageError, match="classes is missing"):
        own.partial_fit(X, y)
    for _ in range(9):
        own.partial_fit(X, y, classes=["D", "N", "V", "X"])
    assert own.score(X, y) == 1 and own.classes_ == ["D", "N", "V", "X"]
    with pytest.raises(UsageError, match="sentence 0: the tag 'Y' was not in training"):
        own.partial_fit(["a"], [["Y"]])
    shares = own.predict_proba(X[:2])
    assert [own.shape for own in shares] == [(3, 4), (2, 4)]
    np.testing.assert_allclose(shares[0].sum(1), 1)
    assert [own.classes_[k] for k in shares[0].argmax(1)] == y[0]
    search = GridSearchCV(own, {"hidden_size": [2, 3]}, cv=2).fit(X, y)
    assert len(search.predict(X)) == 16


def test_probabilities_of_tags_are_sums_over_all_paths() -> None:
    draw, T, L = np.random.default_rng(0), 4, 3
    z = draw.normal(size=(T, L))
    field = Field(draw.normal(size=L), draw.normal(size=(L, L)), draw.normal(size=L))
    found, total = np.zeros((T, L)), 0.0
    for path in itertools.product(range(L), repeat=T):
        steps = sum(field.transitions[a, b] for a, b in itertools.pairwise(path))
        weight = np.exp(field.first[path[0]] + z[range(T), path].sum() + steps + field.last[path[-1]])
        found[range(T), path] += weight
        total += weight
    np.testing.assert_allclose(marginals(z, field), found / total)


def test_a_forecaster_of_a_season_beats_the_last_value() -> None:
    t = np.arange(400)
    X = np.sin(t * 2 * np.pi / 20) + 0.3 * np.sin(t * 2 * np.pi / 7)
    own = SequenceForecaster(lookback=24, horizon=8, hidden_size=24, epochs=120, lr=0.01, random_state=0)
    own.fit(X[:360])
    assert own.predict().shape == (8,) and own.predict_quantiles().shape == (8, 1, 3)
    assert own.score(X[300:]) > 0.8
    np.testing.assert_array_equal(own.predict(), own.predict(X[:360]))
    both = pd.DataFrame({"a": X, "b": X[::-1]})
    assert clone(own).set_params(epochs=1).fit(both).predict().shape == (8, 2)
    with pytest.raises(UsageError, match="X step 3, series 0 is nan"):
        own.predict(np.where(np.arange(30) == 3, np.nan, 1.0))
    with pytest.raises(ValueError, match="X has 2 features, but SequenceForecaster is expecting 1"):
        own.predict(both.to_numpy())


def test_a_forecaster_goes_on_and_is_searched() -> None:
    X = np.sin(np.arange(120) / 3)
    own = SequenceForecaster(lookback=6, horizon=2, hidden_size=8, lr=0.02, random_state=0)
    for _ in range(8):
        own.partial_fit(X[:100])
    scale = own.model_.encoding["scales"]
    own.partial_fit(3 * X)
    assert own.model_.encoding["scales"] == scale and own.last_[-1, 0] == 3 * X[-1]
    search = GridSearchCV(own.set_params(epochs=1), {"cell": ["rnn", "gru"]}, cv=TimeSeriesSplit(2))
    assert search.fit(X).predict(X).shape == (2,)
