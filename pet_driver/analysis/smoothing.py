"""Kernel density estimates from histograms.

Smoothing a histogram with a Gaussian gives a kernel density estimate at the cost of the histogram.
The bins must be narrower than the kernel: with bins of a tenth of its width the estimate agrees
with the sum over all samples to about 1e-3 of the kernel's height. ``scipy.stats.gaussian_kde``
needs all samples in memory and has neither reflecting nor periodic boundaries.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

KERNEL_CUTOFF = 5.0  # standard deviations beyond which the Gaussian counts as zero


def smooth(histogram: np.ndarray, width: float, axis: int, mode: str) -> np.ndarray:
    """Convolve a histogram with a Gaussian along one axis.

    Args:
        histogram: counts or sums by bin.
        width: standard deviation of the Gaussian, in bins.
        axis: the axis to smooth.
        mode: boundary: ``"reflect"`` (walls), ``"wrap"`` (periodic) or ``"constant"`` (zero).

    Returns:
        The smoothed histogram, of the same shape.
    """
    return gaussian_filter1d(histogram, width, axis=axis, mode=mode, truncate=KERNEL_CUTOFF)


def smooth_distances(counts: np.ndarray, centers: np.ndarray, width: float) -> np.ndarray:
    """Replace each counted pair by a Gaussian in the distance.

    Args:
        counts: [..., K] over bins of equal width.
        centers: centers of the bins [K] in A.
        width: standard deviation of the Gaussian in A.

    Returns:
        The smoothed counts [..., K].
    """
    spacing = centers[1] - centers[0]
    return smooth(counts, width / spacing, axis=-1, mode="constant")
