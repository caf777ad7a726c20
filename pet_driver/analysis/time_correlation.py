"""Time correlations over a window of lags, in memory that does not grow with the run."""

from __future__ import annotations

import numpy as np
from MDAnalysis.analysis.base import AnalysisBase

from pet_driver.analysis.base import block_error, check_spacing
from pet_driver.errors import PetDriverError

_LONGEST_LAG = 2000  # frames, unless asked for
_BATCH = 16  # new frames that are paired with the window at once, as products of matrices


class TimeCorrelation(AnalysisBase):
    """Base of averages over pairs of frames a lag apart; every frame is an origin.

    A ring of the last ``window`` frames is kept, and new frames are paired with all of them, some
    at a time: memory and time a frame grow with the window, not with the run. Frames depend on each
    other, so only the serial backend serves (or :func:`pet_driver.analysis.run_collection`); frames
    must be evenly spaced.

    Subclasses give ``_observe() -> array [D]`` for the current frame and
    ``_pair(past [L, D], now [B, D]) -> array [L, B, k]``: k averages for each pair of frames.

    Args:
        max_lag: the longest lag in ps; ``None`` means a quarter of the run, 2000 frames at most.
        n_blocks: the origins are split into that many blocks for the error of the mean.
    """

    def __init__(self, trajectory, max_lag: float | None = None, n_blocks: int = 5, **kwargs):
        super().__init__(trajectory, **kwargs)
        if n_blocks < 2:
            raise PetDriverError(f"n_blocks must be at least 2, not {n_blocks}")
        self.max_lag, self.n_blocks = max_lag, n_blocks

    def _observe(self) -> np.ndarray:
        raise NotImplementedError

    def _pair(self, past: np.ndarray, now: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _prepare(self) -> None:
        if self.n_frames < 2:
            raise PetDriverError(
                f"{self.n_frames} frames are too few for a time correlation; "
                "widen start, stop and step"
            )
        # _sliced_trajectory is asked in place of dt, for steps may be skipped
        self._ring = self._sums = None
        self._seen = self._paired = 0  # frames

    def _window(self, first: float, second: float) -> int:
        self.lag_time = second - first
        if self.lag_time <= 0:
            raise PetDriverError("the times of the first two frames do not grow; give timestep=")
        if self.max_lag is None:
            return max(2, min(self.n_frames // 4, _LONGEST_LAG) + 1)
        return min(self.n_frames, round(self.max_lag / self.lag_time) + 1)

    def _single_frame(self) -> None:
        now = self._observe()
        if self._frame_index == 0:
            self._first, self._first_time = now, self._ts.time
            return
        if self._frame_index == 1:
            self._allocate(self._window(self._first_time, self._ts.time))
            self._add(self._first)
        expected = self._first_time + self._frame_index * self.lag_time
        check_spacing(self._ts, expected, self.lag_time)
        self._add(now)

    def _allocate(self, window: int) -> None:
        self._window_length = window
        self._ring = np.empty((window + _BATCH - 1, *self._first.shape))
        n_columns = self._pair(self._first[None], self._first[None]).shape[2]
        self._sums = np.zeros((self.n_blocks, window, n_columns))
        self._counts = np.zeros((self.n_blocks, window), int)

    def _add(self, now: np.ndarray) -> None:
        self._ring[self._seen % len(self._ring)] = now
        self._seen += 1
        if self._seen - self._paired == _BATCH:
            self._pair_new_frames()

    def _pair_new_frames(self) -> None:
        """Pair the frames that came since the last call, and all before them in the window."""
        size, window = len(self._ring), self._window_length
        new = np.arange(self._paired, self._seen)
        origins = np.arange(max(0, self._paired - window + 1), self._seen)
        # the ring as it lies in memory; which frame is in each place, -1 where one is too old
        held = np.full(min(self._seen, size), -1)
        held[origins % size] = origins
        values = self._pair(self._ring[: len(held)], self._ring[new % size])
        for k, frame in enumerate(new):
            lags = frame - held
            places = np.flatnonzero((lags >= 0) & (lags < window) & (held >= origins[0]))
            blocks = held[places] * self.n_blocks // self.n_frames  # of the origin
            self._sums[blocks, lags[places]] += values[places, k]
            self._counts[blocks, lags[places]] += 1
        self._paired = self._seen

    def _averages(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lag times [L] (ps), means [L, k] over all origins, and their errors [L, k]."""
        if self._paired < self._seen:
            self._pair_new_frames()
        lags = np.arange(self._window_length) * self.lag_time
        mean = self._sums.sum(0) / self._counts.sum(0)[:, None]
        with np.errstate(invalid="ignore"):
            blocks = self._sums / self._counts[..., None]
        whole = (self._counts > 0).all(axis=1)
        error = block_error(blocks[whole]) if whole.sum() > 1 else np.full_like(mean, np.nan)
        return lags, mean, error
