"""Vectors between points of a periodic cell.

``MDAnalysis.lib.distances.minimize_vectors`` works for all cells. For orthorhombic cells, rounding
fractional coordinates gives the same vectors several times faster.
"""

from __future__ import annotations

import numpy as np
from MDAnalysis.lib.distances import minimize_vectors


def minimum_image_vectors(
    start: np.ndarray, stop: np.ndarray, cell: np.ndarray | None, axis: int = -1
) -> np.ndarray:
    """Return the vectors from ``start`` to the nearest periodic images of ``stop``.

    Args:
        start: points [..., 3] in A, or with their three components along another ``axis``.
        stop: points in A, in the same layout.
        cell: a, b, c (A), alpha, beta, gamma (degrees), or ``None`` without periodicity.
        axis: the axis of the three components.

    Returns:
        Vectors in A, float64, in the layout of ``start``.
    """
    vectors = np.asarray(stop, np.float64) - np.asarray(start, np.float64)
    if cell is None:
        return vectors
    if (np.asarray(cell[3:]) == 90.0).all():
        shape = [1] * vectors.ndim
        shape[axis] = 3
        edges = np.asarray(cell[:3], np.float64).reshape(shape)
        images = vectors / edges
        np.round(images, out=images)
        images *= edges
        return np.subtract(vectors, images, out=vectors)
    rows = np.moveaxis(vectors, axis, -1)
    nearest = minimize_vectors(np.ascontiguousarray(rows.reshape(-1, 3)), cell)
    return np.moveaxis(nearest.reshape(rows.shape), -1, axis)


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the scalar products [...] of two arrays of vectors [3, ...]."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
