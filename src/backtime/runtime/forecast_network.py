"""A forecaster on NumPy and the engine: what ``models.forecaster`` computes, and forecasts that go on."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from backtime.data.timeseries.windows import Frame, Rows, make_batch
from backtime.models.forecast_config import ForecastConfig
from backtime.reference.weights import Array
from backtime.runtime.layers import above, product
from backtime.runtime.stacks import stack_of

PATHS = 100  # futures that the recursive strategy draws for the quantiles of later steps
MOST_ROWS = 12_800  # rows at once: PATHS for each window


class ForecastNetwork:
    """Windows in, forecasts out, all scaled. ``tensors`` are those of the model file."""

    def __init__(
        self, config: ForecastConfig, frame: Frame, tensors: Mapping[str, Array], backend: str = "auto"
    ) -> None:
        """Prepare the weights for stepping."""
        self.config, self.frame, self.tensors = config, frame, tensors
        self.stack = stack_of(config, tensors, "rnn", head=False, backend=backend)

    @np.errstate(over="ignore", invalid="ignore")  # who asked looks for what is not finite, and tells
    def forecast(self, rows: Rows) -> Rows:
        """Forecasts (B, S, K, Q) of windows (B, T + S, C); the future's targets and past are not read.

        A window's forecast does not depend on its batch-mates, not where futures are drawn either.
        """
        direct = self.config.strategy == "direct"
        size = MOST_ROWS if direct else MOST_ROWS // PATHS
        one = self._direct if direct else self._recursive
        return np.concatenate([one(rows[first : first + size]) for first in range(0, len(rows), size)])

    def _direct(self, rows: Rows) -> Rows:
        config, batch = self.config, make_batch(rows, self.frame)
        y, _ = self._read(batch.x)
        h = above(config, self.tensors, y)
        S, B = batch.base.shape[:2]
        out = self._head(h).reshape(B, S, -1).swapaxes(0, 1)
        if "decoder.0.weight" in self.tensors:
            each = np.broadcast_to(h[:, None], (B, S, h.shape[1]))
            both = np.concatenate([each, batch.known.swapaxes(0, 1)], 2)  # (B, S, ...): a product for each B
            inside = np.tanh(both @ self.tensors["decoder.0.weight"].T + self.tensors["decoder.0.bias"])
            out = out + (inside @ self.tensors["decoder.2.weight"].T).swapaxes(0, 1)
        found = out.reshape(S, B, config.targets, -1) + batch.base[..., None]
        return np.sort(found.swapaxes(0, 1), 3)  # quantiles that cross are put in order

    def _recursive(self, rows: Rows) -> Rows:
        """One step, then the next from it. With quantiles, of many futures: at each step each of them draws
        its number between the quantiles, as if straight lines led from one to the next.
        """
        config, frame = self.config, self.frame
        T, S, K, paths = frame.lookback, frame.horizon, config.targets, PATHS if config.quantiles else 1
        batch = make_batch(rows, frame)
        h, state = self._read(batch.x[:T])
        state = [np.repeat(part, paths, 0) for part in state]
        h, known = np.repeat(h, paths, 0), np.repeat(batch.known, paths, 1)
        path = np.repeat(rows[:, :, :K], paths, 0).swapaxes(0, 1).copy()  # (T + S, B, K), filled on the way
        level = 0 if frame.anchor == "none" else path[T - 1].copy()
        drawn = np.random.Generator(np.random.PCG64(0)).random((S, paths, K))  # the same for each window
        for k in range(S):
            out = self._head(above(config, self.tensors, h, paths), paths).reshape(len(h), K, -1)
            if frame.anchor != "none":
                out = out + path[T + k - (1 if frame.anchor == "last" else frame.season)][..., None]
            path[T + k] = self._drawn(out, np.tile(drawn[k], (len(rows), 1)))
            if k + 1 < S:
                x = np.concatenate([path[T + k] - level, known[k + 1]], 1)
                h = self.stack.step(np.ascontiguousarray(x, h.dtype), state)
        futures = path[T:].reshape(S, len(rows), paths, K)
        if not config.quantiles:
            return futures.transpose(1, 0, 3, 2)
        return np.quantile(futures, config.quantiles, axis=2).transpose(2, 1, 3, 0).astype(rows.dtype)

    def _drawn(self, values: Array, at: NDArray[np.float64]) -> Array:
        """The numbers (N, K) below which there is a share ``at`` (N, K), from quantiles (N, K, Q); beyond the
        outer ones the outer straight lines go on.
        """
        q = np.array(self.config.quantiles)
        if q.size < 2:
            only: Array = values[..., 0]
            return only
        values = np.sort(values, 2)
        below = np.clip(q.searchsorted(at) - 1, 0, q.size - 2)
        low, high = (np.take_along_axis(values, n[..., None], 2)[..., 0] for n in (below, below + 1))
        share = ((at - q[below]) / (q[below + 1] - q[below])).astype(values.dtype)
        drawn: Array = low + (high - low) * share
        return drawn

    def _read(self, x: Rows) -> tuple[Array, list[Array]]:
        """The last output and the state after all steps of ``x`` (T, B, I)."""
        state = self.stack.zero_state(x.shape[1])
        dtype = self.tensors["head.bias"].dtype
        for step in x:
            h = self.stack.step(np.ascontiguousarray(step, dtype), state)
        return h, state

    def _head(self, h: Array, rows: int = 1) -> Array:
        return product(h, self.tensors["head.weight"], rows) + self.tensors["head.bias"]
