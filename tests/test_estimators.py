"""Estimators in scikit-learn's hands: its own checks, pipelines, searches; and what they learn."""

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from backtime import UsageError
from backtime.estimators import SequenceClassifier, SequenceForecaster, SequenceTagger


def quick(**others: Any) -> SequenceClassifier:
    return SequenceClassifier(
        **{"hidden_size": 16, "epochs": 30, "lr": 0.02, "random_state": 0, **others}  # type: ignore[arg-type]
    )


@pytest.mark.slow
@parametrize_with_checks([quick(cell="gru")])  # type: ignore[untyped-decorator]
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


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
    tables = [pd.DataFrame(x, columns=["a", "b"]) for x in X]
    np.testing.assert_array_equal(one.predict_proba(X), one.predict_proba(tables))
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
    with pytest.raises(UsageError, match=r"X\[0\] has 3 words, y\[0\] 1 tags"):
        own.fit(["a b c"], [["D"]])


def test_a_forecaster_of_a_season_beats_the_last_value() -> None:
    t = np.arange(400)
    X = np.sin(t * 2 * np.pi / 20) + 0.3 * np.sin(t * 2 * np.pi / 7)
    own = SequenceForecaster(lookback=24, horizon=8, hidden_size=24, epochs=80, lr=0.01, random_state=0)
    own.fit(X[:360])
    assert own.predict().shape == (8,) and own.predict_quantiles().shape == (8, 1, 3)
    assert own.score(X[300:]) > 0.8
    np.testing.assert_array_equal(own.predict(), own.predict(X[:360]))
    both = pd.DataFrame({"a": X, "b": X[::-1]})
    assert clone(own).set_params(epochs=1).fit(both).predict().shape == (8, 2)
    with pytest.raises(UsageError, match="X step 3, series 0 is nan"):
        own.predict(np.where(np.arange(30) == 3, np.nan, 1.0))
