"""Power spectra of time series, and the vibrational density of states.

``scipy.signal.welch`` gives no error and needs the whole series in memory, which is too much for
the velocities of all atoms; here Welch's method runs frame by frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from MDAnalysis.analysis.base import AnalysisBase
from scipy.signal import get_window

from pet_driver.analysis.base import (
    Atoms,
    atoms_of,
    block_error,
    check_spacing,
    check_velocities,
)
from pet_driver.analysis.units import AMU_A2_PS2_TO_EV, BOLTZMANN_EV
from pet_driver.errors import PetDriverError

_LONGEST_SEGMENT = 4000  # frames with the velocities of all atoms, unless segment is given
THZ_TO_CM = 33.35640951981521  # 1/ps in cm^-1
_AMU_A2_PS2_TO_K = AMU_A2_PS2_TO_EV / BOLTZMANN_EV


@dataclass(frozen=True)
class Spectrum:
    """One-sided power spectrum, whose integral over frequency is the variance of the series.

    Attributes:
        frequency: [K] in cm^-1.
        power: [K] in the squared unit of the series per cm^-1.
        error: standard error of ``power`` from the segments [K].
    """

    frequency: np.ndarray
    power: np.ndarray
    error: np.ndarray


def power_spectrum(series: np.ndarray, dt: float, segment: float | None = None) -> Spectrum:
    """Return the power spectrum of a scalar series.

    By Welch's method with a Hann window and half-overlapping segments. Figure 1c of Langer,
    Pozdnyakov, Ceriotti, Mach. Learn.: Sci. Technol. 5 (2024) 04LT01 shows the spectra of the
    potential energy and of its non-equivariant part.

    Args:
        series: [F], evenly spaced in time.
        dt: time between samples in ps.
        segment: length of a segment in ps, the inverse of the resolution; ``None`` means a quarter
            of the series.

    Returns:
        The spectrum, with the mean of the series removed.

    Raises:
        PetDriverError: the series is shorter than a segment.
    """
    series = np.asarray(series, np.float64)
    welch = _Welch(_segment_length(len(series), dt, segment), dt, 1)
    mean = series.mean()
    for value in series:
        welch.add(np.array([value - mean]))
    return welch.spectrum()


def _segment_length(n: int, dt: float, segment: float | None) -> int:
    if dt <= 0:
        raise PetDriverError(f"the samples are {dt} ps apart; their times must grow")
    length = n // 4 if segment is None else round(segment / dt)
    if length < 4 or length > n:
        raise PetDriverError(
            f"a segment of {length} samples does not fit a series of {n} "
            f"({dt} ps apart): at least 4, at most all"
        )
    return length


class _Welch:
    """Welch's method for a stream of vectors [k].

    Args:
        length: number of samples of a segment.
        dt: time between samples in ps.
        width: number of components, k.
        weights: weights [k] with which the spectra of the components are summed; 1 by default.
    """

    def __init__(self, length: int, dt: float, width: int, weights: np.ndarray | None = None):
        self.length, self.dt = length, dt
        self.window = get_window("hann", length)
        self.buffer = np.empty((length, width))
        self.filled = 0
        self.weights = np.ones(width) if weights is None else weights
        self.segments: list[np.ndarray] = []

    def add(self, values: np.ndarray) -> None:
        """Add a sample [k]."""
        self.buffer[self.filled] = values
        self.filled += 1
        if self.filled == self.length:
            self.segments.append(self._periodogram())
            keep = self.length - self.length // 2
            self.buffer[: self.length - keep] = self.buffer[keep:]
            self.filled = self.length - keep

    def _periodogram(self) -> np.ndarray:
        power = np.zeros(self.length // 2 + 1)
        # slices of columns, because a transform of all of them would double the memory
        for start in range(0, self.buffer.shape[1], 512):
            part = self.buffer[:, start : start + 512] * self.window[:, None]
            transform = np.abs(np.fft.rfft(part, axis=0)) ** 2
            power += transform @ self.weights[start : start + 512]
        power *= 2.0 * self.dt / (self.window @ self.window)
        power[0] *= 0.5
        if self.length % 2 == 0:
            power[-1] *= 0.5
        return power / THZ_TO_CM

    def spectrum(self) -> Spectrum:
        """Return the mean over the segments."""
        frequency = np.fft.rfftfreq(self.length, self.dt) * THZ_TO_CM
        segments = np.array(self.segments)
        return Spectrum(frequency, segments.mean(axis=0), block_error(segments))


class VibrationalDensityOfStates(AnalysisBase):
    """Vibrational density of states: the power spectrum of the mass-weighted velocities.

    It is normalized to the kinetic energy: the integral over frequency is ``<sum m v^2> / (3 N k)``
    in K, the temperature if there are no constraints. The frames depend on each other, so only the
    serial backend is possible; memory grows with the segment, not with the run. Velocities must be
    saved at least every 2 fs for the O-H stretch.

    Args:
        group: atoms with masses and velocities.
        segment: length of a segment in ps, the inverse of the resolution; ``None`` means a quarter
            of the run, at most 4000 frames.

    Attributes:
        results.frequency: [K] in cm^-1.
        results.power: [K] in K cm.
        results.error: standard error of ``power`` [K] in K cm.

    Raises:
        PetDriverError: the trajectory has no velocities, or (in ``run``) frames are too few or not
            evenly spaced in time.
    """

    def __init__(self, group: Atoms, segment: float | None = None, **kwargs):
        atoms = atoms_of(group)
        super().__init__(atoms.universe.trajectory, **kwargs)
        check_velocities(self._trajectory)
        self._indices, self._masses = atoms.indices, atoms.masses.astype(np.float64)
        self.segment = segment

    def _prepare(self) -> None:
        self._welch: _Welch | None = None

    def _single_frame(self) -> None:
        v = self._ts.velocities[self._indices].astype(np.float64).ravel()
        if self._frame_index == 0:
            self._first, self._first_time = v, self._ts.time
            return
        if self._welch is None:
            self._dt = dt = self._ts.time - self._first_time
            segment = self.segment
            if segment is None and self.n_frames > 4 * _LONGEST_SEGMENT:
                segment = _LONGEST_SEGMENT * dt
            length = _segment_length(self.n_frames, dt, segment)
            weights = np.repeat(self._masses, 3) * (_AMU_A2_PS2_TO_K / len(v))
            self._welch = _Welch(length, dt, len(v), weights)
            self._welch.add(self._first)
        check_spacing(self._ts, self._first_time + self._frame_index * self._dt, self._dt)
        self._welch.add(v)

    def _conclude(self) -> None:
        if self._welch is None:
            raise PetDriverError(f"{self.n_frames} frames are too few for a spectrum")
        spectrum = self._welch.spectrum()
        self.results.frequency = spectrum.frequency
        self.results.power, self.results.error = spectrum.power, spectrum.error
