"""Power spectra of time series, and the vibrational density of states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from MDAnalysis.analysis.base import AnalysisBase
from scipy.signal import get_window

from pet_driver.analysis.base import atoms_of, block_error, check_spacing
from pet_driver.analysis.units import AMU_A2_PS2_TO_EV, BOLTZMANN_EV
from pet_driver.errors import PetDriverError

_LONGEST_SEGMENT = 4000  # frames of all velocities, unless asked for
THZ_TO_CM = 33.35640951981521  # 1/ps in cm^-1


@dataclass(frozen=True)
class Spectrum:
    """A one-sided power spectrum: its integral over ``frequency`` is the variance of the series."""

    frequency: np.ndarray  # [K], cm^-1
    power: np.ndarray  # [K], unit of the series squared per cm^-1
    error: np.ndarray  # [K], from the segments


def power_spectrum(series: np.ndarray, dt: float, segment: float | None = None) -> Spectrum:
    """The power spectrum of a scalar series by Welch's method (Hann window, half overlap).

    Figure 1c of Langer, Pozdnyakov, Ceriotti, Mach. Learn.: Sci. Technol. 5 (2024) 04LT01, of the
    potential energy and of the non-equivariant part of it.

    Args:
        series: [F], evenly spaced.
        dt: ps between samples.
        segment: ps; its inverse is the resolution. ``None`` means a quarter of the series.

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
    """Welch's method on a stream of vectors [k]; powers are summed over k with weights."""

    def __init__(self, length: int, dt: float, width: int, weights: np.ndarray | None = None):
        self.length, self.dt = length, dt
        self.window = get_window("hann", length)
        self.buffer = np.empty((length, width))
        self.filled = 0
        self.weights = np.ones(width) if weights is None else weights
        self.segments: list[np.ndarray] = []

    def add(self, values: np.ndarray) -> None:
        self.buffer[self.filled] = values
        self.filled += 1
        if self.filled == self.length:
            self.segments.append(self._periodogram())
            keep = self.length - self.length // 2
            self.buffer[: self.length - keep] = self.buffer[keep:]
            self.filled = self.length - keep

    def _periodogram(self) -> np.ndarray:
        power = np.zeros(self.length // 2 + 1)
        # columns in slices: a transform of all would double the memory
        for at in range(0, self.buffer.shape[1], 512):
            part = self.buffer[:, at : at + 512] * self.window[:, None]
            transform = np.abs(np.fft.rfft(part, axis=0)) ** 2
            power += transform @ self.weights[at : at + 512]
        power *= 2.0 * self.dt / (self.window @ self.window)
        power[0] *= 0.5
        if self.length % 2 == 0:
            power[-1] *= 0.5
        return power / THZ_TO_CM

    def spectrum(self) -> Spectrum:
        frequency = np.fft.rfftfreq(self.length, self.dt) * THZ_TO_CM
        segments = np.array(self.segments)
        return Spectrum(frequency, segments.mean(axis=0), block_error(segments))


class VibrationalDensityOfStates(AnalysisBase):
    """The power spectrum of the mass-weighted velocities, by Welch's method.

    Normalised to the kinetic energy: the integral over frequency is <sum m v^2> / (3 N k) in K,
    the temperature if all degrees of freedom are free. Frames depend on each other, so only the
    serial backend serves; memory grows with the segment, not with the run. Save velocities at least
    every 2 fs to see the O-H stretch without aliasing.

    Args:
        group: atoms with masses and velocities.
        segment: ps; its inverse is the resolution. ``None`` means a quarter of the run, 4000 frames
            at most.

    Attributes:
        results.frequency: [K] in cm^-1.
        results.power: [K] in K cm.
        results.error: [K] in K cm.
    """

    def __init__(self, group, segment: float | None = None, **kwargs):
        atoms = atoms_of(group)
        super().__init__(atoms.universe.trajectory, **kwargs)
        if not self._trajectory.ts.has_velocities:
            raise PetDriverError(
                f"{self._trajectory.filename}: has no velocities; "
                "give velocities= the file that holds them"
            )
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


_AMU_A2_PS2_TO_K = AMU_A2_PS2_TO_EV / BOLTZMANN_EV
