"""Rotation grids: published rotations, and components that each set integrates exactly."""

import numpy as np
import pytest
import torch
from ase import Atoms
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y

import pet_driver
from pet_driver.symmetry import RotationGrids, rotation_grid, tables

SIZES = {
    **{"0": 1, "i": 2, "1": 1, "1i": 2, "2": 18, "2i": 36, "3": 75, "3i": 150},
    **{"lebedev3": 18, "lebedev5": 70, "lebedev7i": 364, "lebedev9i": 684, "lebedev29": 8758},
    **{"T": 12, "T_d": 24, "O": 24, "O_h": 48, "I": 60, "I_h": 120},
    **{"random": 1, "randomi": 2, "random5": 5, "random5i": 10, "2i+random": 36},
}
IMPROPER = ("T_d", "O_h", "I_h")

# The largest l up to which all components vanish: even ones under inversion, and odd ones.
ODD = 99
DEGREES = {
    **{str(n): (2 * n - 2, 2 * n - 2) for n in range(1, 7)},
    **{f"{n}i": (2 * n - 2, ODD) for n in range(1, 7)},
    **{f"lebedev{n}": (n - 1, n - 1) for n in tables.LEBEDEV_DEGREES},
    **{f"lebedev{n}i": (n - 1, ODD) for n in (3, 9, 19)},
    **{"T": (2, 2), "T_d": (3, 2), "O": (3, 3), "O_h": (3, ODD), "I": (5, 5), "I_h": (5, ODD)},
    **{"0": (0, 0), "i": (0, ODD), "random3i": (0, ODD)},
    **{"2i+random@3": (2, ODD), "lebedev7+random": (6, 6), "O_h+random": (3, ODD)},
}
EXACT = 1e-12
BROKEN = 1e-3


@pytest.mark.parametrize("name", SIZES)
def test_sizes_weights_and_orthogonality(name: str) -> None:
    rotations, weights = rotation_grid(name)
    assert len(rotations) == len(weights) == SIZES[name]
    assert abs(weights.sum() - 1.0) < 1e-14
    products = rotations @ rotations.transpose(0, 2, 1)
    assert np.abs(products - np.eye(3)).max() < 2e-15
    proper = np.linalg.det(rotations) > 0
    half = name in IMPROPER or name.split("+")[0].endswith("i")
    assert proper.sum() == (len(rotations) // 2 if half else len(rotations))


@pytest.mark.parametrize("order", [2, 3, 4, 5, 6])
def test_euler_grids_are_the_published_ones(order: int) -> None:
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


@pytest.mark.parametrize("name", DEGREES)
def test_components_vanish_up_to_the_degree(name: str) -> None:
    """The mean Wigner matrix is zero up to the degree, and not zero for the next one.

    The product of a rotation and the inversion has the Wigner matrix of the rotation, with a minus
    sign for the components that are odd under inversion.
    """
    rotations, weights = rotation_grid(name)
    signs = np.sign(np.linalg.det(rotations))
    proper = rotations * signs[:, None, None]
    parities = (np.ones_like(signs), signs)
    if signs.min() > 0:  # without improper rotations, even and odd are one case
        assert len(set(DEGREES[name])) == 1
        parities = parities[:1]
    for degree, parity in zip(DEGREES[name], parities, strict=False):
        lowest = 1 if parity.min() > 0 else 0  # the constant vanishes too where it is odd
        highest = 12 if degree == ODD else degree
        for ell in range(lowest, highest + 1):
            assert mean_wigner(proper, weights * parity, ell) < EXACT
        if degree < ODD:
            assert mean_wigner(proper, weights * parity, degree + 1) > BROKEN


def mean_wigner(rotations: np.ndarray, weights: np.ndarray, ell: int) -> float:
    """Return the largest component of sum_r w_r D^l(R_r), for proper rotations."""
    m = np.arange(-ell, ell + 1)
    raising = np.diag(np.sqrt(ell * (ell + 1) - m[:-1] * (m[:-1] + 1)), -1)
    values, vectors = np.linalg.eigh((raising - raising.T) / 2j)
    beta = np.arccos(np.clip(rotations[:, 2, 2], -1, 1))
    at_pole = np.hypot(rotations[:, 0, 2], rotations[:, 1, 2]) < 1e-12
    alpha = np.where(at_pole, 0.0, np.arctan2(rotations[:, 1, 2], rotations[:, 0, 2]))
    gamma = np.arctan2(rotations[:, 2, 1], -rotations[:, 2, 0])
    flat = np.arctan2(rotations[:, 1, 0] * rotations[:, 2, 2], rotations[:, 1, 1])
    gamma = np.where(at_pole, flat, gamma)
    mean = np.zeros((len(m), len(m)), complex)
    for angle in np.unique(beta.round(13)):
        members = np.abs(beta - angle) < 1e-12
        about_y = (vectors * np.exp(-1j * angle * values)) @ vectors.conj().T
        left = np.exp(-1j * np.outer(m, alpha[members])) * weights[members]
        mean += about_y * (left @ np.exp(-1j * np.outer(gamma[members], m)))
    return float(np.abs(mean).max())


def test_mean_wigner_agrees_with_spherical_harmonics() -> None:
    """Check the function of the test above against rotated spherical harmonics."""
    rotations, weights = rotation_grid("random3")
    directions = np.random.default_rng(0).normal(size=(40, 3))
    for ell in (1, 2, 5):
        here = harmonics(directions, ell)
        there = sum(
            w * harmonics(directions @ r, ell) for w, r in zip(weights, rotations, strict=True)
        )
        matrix = np.linalg.lstsq(here, there, rcond=None)[0]
        assert abs(np.abs(matrix).max() - mean_wigner(rotations, weights, ell)) < 1e-12


def harmonics(vectors: np.ndarray, ell: int) -> np.ndarray:
    polar = np.arccos(vectors[:, 2] / np.linalg.norm(vectors, axis=1))
    azimuth = np.arctan2(vectors[:, 1], vectors[:, 0])
    return np.stack([sph_harm_y(ell, m, polar, azimuth) for m in range(-ell, ell + 1)], axis=1)


@pytest.mark.parametrize("name", ["2i", "O_h", "lebedev9i"])
def test_odd_spherical_harmonics_vanish_with_the_inversion(name: str) -> None:
    rotations, weights = rotation_grid(name)
    vectors = np.random.default_rng(1).normal(size=(20, 3)) @ rotations
    for ell in range(1, 20, 2):
        values = harmonics(vectors.reshape(-1, 3), ell).reshape(len(weights), -1)
        assert np.abs(weights @ values).max() < EXACT


@pytest.mark.parametrize("name", tables.POINT_GROUPS)
def test_point_groups_are_groups(name: str) -> None:
    elements = tables.point_group(name)
    assert np.array_equal(elements[0], np.eye(3))
    for one in elements:
        products = elements @ one
        distances = np.abs(products[:, None] - elements[None]).max(axis=(2, 3))
        assert distances.min(axis=1).max() < 1e-15
        assert len(set(distances.argmin(axis=1))) == len(elements)


def test_tables_in_an_archive_are_small() -> None:
    tensors = RotationGrids().buffers()
    assert sum(t.numel() * t.element_size() for t in tensors) < 150_000


@pytest.mark.parametrize(
    "name",
    ["", "7", "0i", "2x", "i2", "-1", "2 i", "lebedev4", "lebedev31", "lebedev", "Ii", "o", "I_d"]
    + ["random0", "random-1", "2+random0", "2i@3", "2-each", "random@", "random@x", "random@-1"]
    + ["random+random", "random@3-each", "random@" + "9" * 19]
    + ["ecse2", "ecse+random", "ecse@3", "ecse-each", "2i-pooled", "Ecse", "ecsei-"],
)
def test_unknown_names_are_refused(name: str, model_f64: pet_driver.Model) -> None:
    with pytest.raises(ValueError, match="unknown grid"):
        rotation_grid(name)
    with pytest.raises(pet_driver.PetDriverError, match="unknown grid") as caught:
        model_f64.rotations(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "passes"), [("0", 1), ("i", 2), ("O_h", 48), ("2i", 37)])
def test_identity_is_evaluated_once(
    name: str, passes: int, model_f64: pet_driver.Model, water: Atoms
) -> None:
    rotations, weights, _ = model_f64.rotations(name)
    assert len(rotations) == len(weights) == passes
    assert torch.equal(rotations[0], torch.eye(3, dtype=rotations.dtype))
    raw = model_f64.evaluate(water, grid="0").energy
    assert model_f64.evaluate(water, grid=name).raw_energy == pytest.approx(raw, abs=1e-9)


@pytest.mark.parametrize("name", ["3i", "lebedev11i", "T_d", "I_h"])
def test_torchscript_grids_equal_python(name: str, model_f64: pet_driver.Model) -> None:
    rotations, weights, _ = model_f64.archive.module.grid(name)
    expected = RotationGrids()(name)
    for found, value in zip((rotations, weights), expected[:2], strict=True):
        torch.testing.assert_close(found, value, rtol=0.0, atol=1e-15)
