"""Structural observables of systems with known results."""

import MDAnalysis as mda
import numpy as np
import pytest
from MDAnalysis.analysis.hydrogenbonds import HydrogenBondAnalysis
from MDAnalysis.analysis.rdf import InterRDF

from pet_driver.analysis import (
    DipoleCorrelation,
    HydrogenBonds,
    OrientationalFreeEnergy,
    RadialDistribution,
)
from pet_driver.analysis import pairs as pairs_module
from pet_driver.analysis.pairs import Pairs
from pet_driver.errors import PetDriverError
from tests.analysis.conftest import lattice_water, memory_water

BOX = 12.0


def gas(frames=60, molecules=64, seed=0, directions=None):
    """Return a Universe of molecules at random positions with random or given dipoles."""
    rng = np.random.default_rng(seed)
    oxygen = rng.uniform(0, BOX, (frames, molecules, 3))
    u = rng.normal(size=oxygen.shape) if directions is None else directions(rng, oxygen)
    u /= np.linalg.norm(u, axis=-1, keepdims=True)
    side = np.cross(u, rng.normal(size=u.shape))
    side /= np.linalg.norm(side, axis=-1, keepdims=True)
    x = np.stack([oxygen, oxygen + 0.6 * u + 0.75 * side, oxygen + 0.6 * u - 0.75 * side], axis=2)
    return memory_water(x.reshape(frames, -1, 3) % BOX, BOX)


@pytest.mark.parametrize("kernel", [None, 0.1])
@pytest.mark.parametrize("pair", ["OO", "OH", "HH"])
def test_radial_distribution_of_an_ideal_gas(pair, kernel):
    result = RadialDistribution(gas(), pair, bin_width=0.1 if kernel is None else 0.02,
                                kernel=kernel).run().results  # fmt: skip
    far = result.r > 2.0
    reach = 6.0 - 3 * (kernel or 0.0)
    assert result.r[-1] < reach <= result.r[-1] + 0.1
    np.testing.assert_allclose(result.g[far].mean(), 1.0, atol=0.01)
    assert np.abs(result.g[far] - 1).max() < 0.25
    deviation = np.sqrt(np.mean((result.g[far] - 1) ** 2))
    assert 0.3 < deviation / np.sqrt(np.mean(result.error[far] ** 2)) < 3


def test_distances_beyond_half_the_cell_are_refused():
    with pytest.raises(PetDriverError, match="beyond half the smallest height of the cell, 6 A"):
        RadialDistribution(gas(frames=1), "OO", r_max=6.5)


@pytest.mark.parametrize("kernel", [None, 0.1])
@pytest.mark.parametrize("observable", [RadialDistribution, DipoleCorrelation])
def test_distances_end_at_half_the_smallest_cell(observable, kernel):
    """In a shrinking cell, pairs beyond half the smallest cell are missing in some frames."""
    rng = np.random.default_rng(1)
    lengths = np.linspace(12.4, 11.6, 200)
    oxygen = rng.uniform(0, lengths[:, None, None, None], (200, 64, 1, 3))
    one = np.array([[0, 0, 0], [0.6, 0.75, 0], [0.6, -0.75, 0]])
    universe = memory_water((oxygen + one).reshape(200, -1, 3), lengths)
    found = observable(universe, kernel=kernel).run()
    reach = 5.8 - 3 * (kernel or 0.0)
    assert found.r_max == pytest.approx(reach) and found.results.r[-1] < reach
    if observable is RadialDistribution:
        last = found.results.g[found.results.r > reach - 0.4]
        assert last.mean() == pytest.approx(1.0, abs=0.02)
    with pytest.raises(PetDriverError, match=r"r_max = 6 A reaches beyond .* in frame 100"):
        observable(universe, kernel=kernel, r_max=6.0).run()


@pytest.mark.parametrize("pair", ["OO", "OH", "HH"])
def test_radial_distribution_equals_mdanalysis(pair):
    u = gas(frames=6)
    ours = RadialDistribution(u, pair, r_max=5.0, bin_width=0.1).run()
    a, b = (u.select_atoms(f"element {name}") for name in pair)
    theirs = InterRDF(a, b, nbins=50, range=(0.0, 5.0), exclude_same="residue").run()
    counts = ours.results.count * 6 * (2 if pair[0] == pair[1] else 1)
    # with errors of 1e-5 A in the distances, one or two pairs may be in the next bin
    np.testing.assert_allclose(counts, theirs.results.count, atol=2)
    assert np.abs(counts - theirs.results.count).sum() <= 1e-3 * counts.sum()
    ratio = len(a) * len(b) / ours.n_pairs / (2 if pair[0] == pair[1] else 1)
    np.testing.assert_allclose(ours.results.g, theirs.results.rdf * ratio, rtol=0.01, atol=0.02)


def test_shells_of_a_lattice():
    """A simple cubic lattice: 6, 12 and 8 neighbours at a, sqrt(2) a, sqrt(3) a."""
    u = memory_water(lattice_water(4, 3.0)[None], BOX)
    run = RadialDistribution(u, "OO", r_max=5.5, bin_width=0.05).run()
    neighbours = run.results.count * 2 / 64
    for distance, number in ((3.0, 6), (3.0 * 2**0.5, 12), (3.0 * 3**0.5, 8)):
        near = np.abs(run.results.r - distance) < 0.06
        assert neighbours[near].sum() == pytest.approx(number)
    assert neighbours.sum() == pytest.approx(26)


def test_kernel_replaces_each_bond_by_a_gaussian():
    u = memory_water(lattice_water(4, 3.0)[None], BOX)
    within = RadialDistribution(u, "OH", r_max=4, intermolecular=False, kernel=0.1).run()
    peak = within.results.peaks[0]
    assert peak[0] == pytest.approx(0.97, abs=0.03)
    without = RadialDistribution(u, "OH", r_max=4, kernel=0.1).run()
    # one Gaussian of 0.1 A for each of the two bonds of a molecule: area 2
    r = within.results.r
    inner = r < 1.6
    difference = (within.results.count - without.results.count)[inner] / 64
    assert difference.sum() == pytest.approx(2.0, abs=1e-6)
    gaussian = 2 * np.exp(-0.5 * ((r[inner] - 0.97) / 0.1) ** 2) / (0.1 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(difference / 0.02, gaussian, atol=0.5)


def test_neighbor_search_finds_the_same_pairs(monkeypatch):
    u = gas(frames=1)
    ts, residues = u.trajectory[0], u.atoms.resindices
    plain = Pairs(residues).distances(ts.positions, ts.positions, 4.0, ts.dimensions)
    monkeypatch.setattr(pairs_module, "_MAX_ALL_PAIRS", 0)
    grid = Pairs(residues)
    i, j, near = grid.near(ts.positions, ts.positions, 4.0, ts.dimensions)
    np.testing.assert_allclose(np.sort(near), np.sort(plain), atol=1e-5)
    assert (residues[i] != residues[j]).all() and grid.count() == 192 * 191 // 2 - 64 * 3


@pytest.mark.parametrize("within", [True, False])
def test_distances_in_cells_of_any_shape(within):
    """Integer arithmetic and MDAnalysis' loops agree with the minimum over all images."""
    rng = np.random.default_rng(7)
    x, y = rng.uniform(-20, 40, (90, 3)).astype(np.float32), rng.uniform(0, 9, (70, 3))
    y = y.astype(np.float32)
    residues, others = np.arange(90) // 3, None if within else np.arange(70) // 2
    for angles in ([90.0, 90.0, 90.0], [80.0, 95.0, 100.0]):
        cell = np.array([9.0, 10.0, 11.0, *angles], np.float32)
        found = Pairs(residues, others)
        near = found.distances(x, y, 4.0, cell)
        vectors = mda.lib.mdamath.triclinic_vectors(cell).astype(float)
        shifts = np.array(list(np.ndindex(3, 3, 3))) - 1
        a, b = np.triu_indices(90, 1) if within else np.divmod(np.arange(90 * 70), 70)
        second = x if within else y
        apart = residues[a] != (residues if within else others)[b]
        steps = (second[b] - x[a]).astype(float)[apart]
        steps -= np.round(steps @ np.linalg.inv(vectors)) @ vectors
        images = shifts @ vectors
        lengths = np.linalg.norm(steps[:, None] + images, axis=2).min(axis=1)
        assert len(lengths) == found.count()
        expected = np.sort(lengths[lengths < 4.0 - 1e-4])
        np.testing.assert_allclose(np.sort(near)[: len(expected)], expected, atol=2e-5)


def test_free_energy_of_uniform_orientations_is_zero():
    result = OrientationalFreeEnergy(gas(frames=400)).run().results
    assert result.density.mean() == pytest.approx(1.0, abs=1e-9)
    # noise of a kernel density of N points: sqrt(area / (4 pi width^2 N)), more at the walls
    noise = np.sqrt(4 * np.pi / (4 * np.pi * 0.1**2 * 400 * 64))
    assert result.rms == pytest.approx(noise, rel=0.2)
    assert np.abs(result.free_energy).max() < 6 * noise
    assert 0.4 < result.rms / np.sqrt(np.mean(result.error**2)) < 2.5


def polarized(rng, oxygen, a=0.6):
    """Draw directions with the density 1 + a cos(theta) in (cos theta, phi), by rejection."""
    cosine, phi = (
        rng.uniform(-1, 1, (40, *oxygen.shape[:2])),
        rng.uniform(-np.pi, np.pi, oxygen.shape[:2]),
    )
    keep = rng.uniform(0, 1 + a, cosine.shape) < 1 + a * cosine
    cosine = np.take_along_axis(cosine, keep.argmax(0)[None], 0)[0]
    sine = np.sqrt(1 - cosine**2)
    return np.stack([sine * np.cos(phi), sine * np.sin(phi), cosine], axis=-1)


def test_free_energy_of_a_known_anisotropy():
    result = OrientationalFreeEnergy(gas(frames=600, directions=polarized)).run().results
    inner = np.abs(result.cos_theta) < 0.8  # near the walls the kernel changes the density
    expected = 1 + 0.6 * result.cos_theta[inner]
    np.testing.assert_allclose(result.density[inner].mean(axis=1), expected, atol=0.03)
    free = -np.log(expected)[:, None]
    assert np.sqrt(np.mean((result.free_energy[inner] - free) ** 2)) < 0.06


def test_density_of_a_single_direction_is_the_kernel():
    """The kernel continues across phi = pi."""

    def fixed(rng, oxygen):
        return np.broadcast_to([-np.sqrt(1 - 0.3**2), 1e-6, 0.3], oxygen.shape).copy()

    result = OrientationalFreeEnergy(gas(frames=2, directions=fixed)).run().results
    c, p = result.cos_theta[:, None], result.phi[None]
    wrapped = np.minimum(np.abs(p - np.pi), np.abs(p + np.pi))
    gaussian = np.exp(-0.5 * ((c - 0.3) ** 2 + wrapped**2) / 0.01) / (2 * np.pi * 0.01) * 4 * np.pi
    np.testing.assert_allclose(result.density, gaussian, atol=0.12 * gaussian.max())
    assert result.density.max() == pytest.approx(gaussian.max(), rel=0.05)
    with pytest.raises(PetDriverError, match="narrower"):
        OrientationalFreeEnergy(gas(frames=1), width=0.01)


def test_dipole_correlation_of_random_and_parallel_molecules():
    result = DipoleCorrelation(gas(frames=200)).run().results
    far = result.r > 2
    assert np.abs(result.longitudinal[far]).max() < 0.05
    assert np.abs(result.transverse[far]).max() < 0.08

    def parallel(rng, oxygen):
        return np.broadcast_to([0.0, 0.0, 1.0], oxygen.shape).copy()

    result = DipoleCorrelation(gas(frames=200, directions=parallel)).run().results
    far = result.r > 3
    np.testing.assert_allclose(result.longitudinal[far], 1 / 3, atol=0.05)
    np.testing.assert_allclose(result.transverse[far], 2 / 3, atol=0.05)
    np.testing.assert_allclose((result.longitudinal + result.transverse)[far], 1.0, atol=1e-6)


def test_hydrogen_bonds_equal_mdanalysis():
    rng = np.random.default_rng(4)
    x = lattice_water(4, 3.0)
    u = memory_water([x + np.repeat(rng.normal(0, 0.2, (64, 3)), 3, axis=0) for _ in range(8)], BOX)
    ours = HydrogenBonds(u, distance=3.5, angle=140).run().results
    theirs = HydrogenBondAnalysis(
        u, hydrogens_sel="element H", acceptors_sel="element O",
        d_a_cutoff=3.5, d_h_a_angle_cutoff=140,
    )  # fmt: skip
    theirs.run()
    bonds = theirs.results.hbonds
    np.testing.assert_array_equal(np.bincount(bonds[:, 0].astype(int), minlength=8), ours.counts)
    assert ours.counts.sum() > 50
    assert ours.mean_distance == pytest.approx(bonds[:, 4].mean(), rel=1e-6)
    assert ours.mean_angle == pytest.approx(bonds[:, 5].mean(), rel=1e-6)
    assert ours.per_molecule == pytest.approx(2 * ours.counts.mean() / 64)
    assert (np.arange(9) * ours.coordination).sum() == pytest.approx(ours.per_molecule)


def test_errors():
    u = gas(frames=2)
    with pytest.raises(PetDriverError, match="element N"):
        RadialDistribution(u, "ON")
    with pytest.raises(PetDriverError, match="n_blocks"):
        RadialDistribution(u, "OO", n_blocks=1)
    with pytest.raises(PetDriverError, match="no frames"):
        RadialDistribution(u, "OO").run(start=2)
    plain = mda.Universe.empty(3, trajectory=True)
    with pytest.raises(PetDriverError, match="water_universe"):
        OrientationalFreeEnergy(plain)
