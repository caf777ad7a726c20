"""Time correlation functions in memory that does not grow with the run.

Correlation by FFT, as in ``MDAnalysis.analysis.msd``, needs the whole trajectory in memory; here
only the frames within the longest lag are kept.
"""

from __future__ import annotations

import numpy as np
from MDAnalysis.analysis.base import AnalysisBase
from MDAnalysis.coordinates.base import ReaderBase

from pet_driver.analysis.base import block_error, check_spacing, checked_n_blocks
from pet_driver.errors import PetDriverError

_LONGEST_LAG = 2000  # frames, unless max_lag is given
_BATCH = 16  # new frames that are correlated with the window at once, as a matrix product


class TimeCorrelation(AnalysisBase):
    """Base of averages over pairs of frames that a lag separates; every frame is a time origin.

    A ring buffer keeps the last frames, and new frames are correlated with it in batches: memory
    and time per frame grow with the longest lag, not with the length of the run. The frames depend
    on each other, so only the serial backend is possible (in
    :func:`pet_driver.analysis.run_collection` other observables run in parallel with it). Frames
    must be evenly spaced in time.

    Subclasses define ``_observe() -> array [D]`` for the current frame and
    ``_correlate(past [L, D], now [B, D]) -> array [L, B, k]``, the k averaged quantities for each
    pair of frames.

    Args:
        trajectory: the trajectory to analyze.
        max_lag: the longest lag in ps; ``None`` means a quarter of the run, at most 2000 frames.
        n_blocks: number of blocks of time origins for the standard error.

    Raises:
        PetDriverError: fewer than two blocks, or (in ``run``) fewer than two frames, or frames
            that are not evenly spaced in time.
    """

    # allocated when the second frame gives the time between frames
    _ring: np.ndarray
    _sums: np.ndarray
    _counts: np.ndarray

    def __init__(
        self, trajectory: ReaderBase, max_lag: float | None = None, n_blocks: int = 5, **kwargs
    ):
        super().__init__(trajectory, **kwargs)
        self.max_lag, self.n_blocks = max_lag, checked_n_blocks(n_blocks)

    def _observe(self) -> np.ndarray:
        raise NotImplementedError

    def _correlate(self, past: np.ndarray, now: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _prepare(self) -> None:
        if self.n_frames < 2:
            raise PetDriverError(
                f"{self.n_frames} frames are too few for a time correlation; "
                "widen start, stop and step"
            )
        self._seen = self._correlated = 0  # frames

    def _window(self, first: float, second: float) -> int:
        # the trajectory's dt would be wrong where ``step`` skips frames
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
        n_columns = self._correlate(self._first[None], self._first[None]).shape[2]
        self._sums = np.zeros((self.n_blocks, window, n_columns))
        self._counts = np.zeros((self.n_blocks, window), int)

    def _add(self, now: np.ndarray) -> None:
        self._ring[self._seen % len(self._ring)] = now
        self._seen += 1
        if self._seen - self._correlated == _BATCH:
            self._correlate_new_frames()

    def _correlate_new_frames(self) -> None:
        """Correlate the frames added since the last call with all frames in their window."""
        size, window = len(self._ring), self._window_length
        new = np.arange(self._correlated, self._seen)
        origins = np.arange(max(0, self._correlated - window + 1), self._seen)
        # the frame in each slot of the ring buffer, -1 where it is outside the window
        held = np.full(min(self._seen, size), -1)
        held[origins % size] = origins
        values = self._correlate(self._ring[: len(held)], self._ring[new % size])
        for k, frame in enumerate(new):
            lags = frame - held
            slots = np.flatnonzero((lags >= 0) & (lags < window) & (held >= origins[0]))
            blocks = held[slots] * self.n_blocks // self.n_frames  # of the origin
            self._sums[blocks, lags[slots]] += values[slots, k]
            self._counts[blocks, lags[slots]] += 1
        self._correlated = self._seen

    def _averages(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return lags [L] (ps), averages over all origins [L, k] and their errors [L, k]."""
        if self._correlated < self._seen:
            self._correlate_new_frames()
        lags = np.arange(self._window_length) * self.lag_time
        mean = self._sums.sum(0) / self._counts.sum(0)[:, None]
        with np.errstate(invalid="ignore"):
            blocks = self._sums / self._counts[..., None]
        complete = (self._counts > 0).all(axis=1)
        error = block_error(blocks[complete]) if complete.sum() > 1 else np.full_like(mean, np.nan)
        return lags, mean, error
