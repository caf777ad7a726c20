"""Gaussian kernels on histograms: a kernel density estimate at the cost of a histogram.

The histogram must be finer than the kernel; at a tenth of its width the estimate agrees with
the sum over all points to about 1e-3 of the kernel's height.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

KERNEL_REACH = 5.0  # widths after which a Gaussian counts as zero


def smooth(histogram: np.ndarray, width: float, axis: int, mode: str) -> np.ndarray:
    """A histogram convolved with a Gaussian of ``width`` bins along ``axis``.

    Args:
        mode: ``"reflect"`` (walls), ``"wrap"`` (periodic) or ``"constant"`` (nothing beyond).
    """
    return gaussian_filter1d(histogram, width, axis=axis, mode=mode, truncate=KERNEL_REACH)


def smooth_distances(counts: np.ndarray, centres: np.ndarray, width: float) -> np.ndarray:
    """Counts [.., K] over equal bins of r, each pair spread by a Gaussian of ``width`` A."""
    spacing = centres[1] - centres[0]
    return smooth(counts, width / spacing, axis=-1, mode="constant")
