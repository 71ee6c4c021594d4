"""Forecasting: the next steps of series of numbers from their past."""

from backtime.tasks.forecast.kind import KIND
from backtime.tasks.forecast.settings import ForecastSettings

__all__ = ["KIND", "ForecastSettings"]
