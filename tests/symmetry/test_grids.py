"""The N[i] grids: the published rotations, and what they integrate exactly."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y

import pet_driver
from pet_driver.symmetry import rotation_grid

SIZES = {"0": 1, "i": 2, "1": 1, "1i": 2, "2": 18, "2i": 36, "3": 75, "3i": 150}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_weights_and_orthogonality(name: str) -> None:
    rotations, weights = rotation_grid(name)
    assert len(rotations) == len(weights) == SIZES[name]
    assert abs(weights.sum() - 1.0) < 1e-14
    products = rotations @ rotations.transpose(0, 2, 1)
    assert np.abs(products - np.eye(3)).max() < 1e-14
    proper = np.linalg.det(rotations) > 0
    assert proper.sum() == (len(rotations) // 2 if name.endswith("i") else len(rotations))


@pytest.mark.parametrize("order", [2, 3, 4])
def test_published_rotations(order: int) -> None:
    """Extrinsic zxz Euler angles: equal steps about z, Gauss-Legendre nodes in cos nu."""
    nodes, _ = np.polynomial.legendre.leggauss(order)
    steps = 2 * np.pi * np.arange(2 * order - 1) / (2 * order - 1)
    published = np.array(
        [
            Rotation.from_euler("zxz", [theta, np.arccos(node), omega]).as_matrix()
            for theta in steps
            for omega in steps
            for node in nodes
        ]
    )
    ours, _ = rotation_grid(str(order))
    assert np.abs(ours - published).max() < 1e-14


@pytest.mark.parametrize("name", ["i", "2", "2i", "3", "3i", "4", "5i", "6"])
def test_exactness(name: str) -> None:
    """Averages of Y_lm over the grid vanish up to its degree, and not just beyond.

    The vector that is rotated, and with it every row of the Wigner matrix, is taken at random.
    """
    rotations, weights = rotation_grid(name)
    order = int(name.rstrip("i") or 1)
    degree = 2 * order - 2
    rng = np.random.default_rng(0)

    def defect(ell: int) -> float:
        vectors = rng.normal(size=(20, 3))
        rotated = np.einsum("na,rab->rnb", vectors, rotations)
        polar = np.arccos(rotated[..., 2] / np.linalg.norm(rotated, axis=-1))
        azimuth = np.arctan2(rotated[..., 1], rotated[..., 0])
        values = [sph_harm_y(ell, m, polar, azimuth) for m in range(-ell, ell + 1)]
        return float(np.abs(np.einsum("r,mrn->mn", weights, np.array(values))).max())

    if name.endswith("i"):
        exact = [*range(1, degree + 1), *(ell for ell in range(1, 14, 2))]
        beyond = degree + 2
    else:
        exact, beyond = list(range(1, degree + 1)), degree + 1
    assert max((defect(ell) for ell in exact), default=0.0) < 1e-12
    assert defect(beyond) > 1e-3


@pytest.mark.parametrize("name", ["", "7", "0i", "2x", "i2", "-1", "2 i"])
def test_unknown_names(name: str, model_f32: pet_driver.Model) -> None:
    with pytest.raises(ValueError, match="unknown grid"):
        rotation_grid(name)
    with pytest.raises(pet_driver.PetDriverError, match="unknown grid") as caught:
        model_f32.rotations(name)
    assert "\n" not in str(caught.value)
