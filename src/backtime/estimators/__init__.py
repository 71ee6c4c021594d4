"""Recurrent networks in scikit-learn's manner: ``fit``, ``predict``, ``score``, pipelines and searches.

- ``SequenceClassifier``   a label for a whole sequence of numbers or a text
- ``SequenceRegressor``    a number for a whole sequence of numbers or a text
- ``SequenceTagger``       a tag for every word of a sentence
- ``SequenceForecaster``   the next steps of a series

They train as ``backtime train`` does, in a folder that is gone afterwards. See docs/estimators.md.
"""

from backtime.estimators.classifier import SequenceClassifier
from backtime.estimators.forecaster import SequenceForecaster
from backtime.estimators.regressor import SequenceRegressor
from backtime.estimators.tagger import SequenceTagger

__all__ = ["SequenceClassifier", "SequenceForecaster", "SequenceRegressor", "SequenceTagger"]
