"""Water clusters: geometry, and energies of the data for distant molecules."""

import ase.io
import clusters
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import pet_driver
from tests.conftest import lattice_water
from tests.workflows.train.conftest import labelled, molecules


@pytest.fixture
def parts(model_f32: pet_driver.Model) -> None:
    """Prepare a few molecules and a liquid to cut clusters from."""
    clusters._molecule_surface.cache_clear()
    clusters._prepare(labelled(model_f32, molecules(4)), [lattice_water(3)])


@pytest.mark.parametrize("make", [clusters.pair, clusters.cut])
def test_molecules_keep_their_geometry(make, parts: None) -> None:
    for seed in range(20):
        cluster, chosen, rotations = make(np.random.default_rng(seed))
        assert len(cluster) == 3 * len(chosen) == 3 * len(rotations)
        for k, number in enumerate(chosen):
            found = cluster[3 * k : 3 * k + 3].get_all_distances()
            known = clusters._molecules[number].get_all_distances()
            np.testing.assert_allclose(found, known, atol=1e-12)


def test_unscaled_clusters_have_distances_of_the_liquid(parts: None) -> None:
    """O-O distances of unscaled clusters occur in the liquid."""
    liquid = lattice_water(3)[::3].get_all_distances(mic=True)
    same = 0
    for seed in range(20):
        cluster, *_ = clusters.cut(np.random.default_rng(seed))
        first = cluster[::3].get_all_distances()[0, 1:]
        same += all(np.abs(liquid - d).min() < 1e-9 for d in first)
    assert 5 <= same < 20


def test_molecules_across_the_cell_boundary_keep_their_orientation(
    model_f32: pet_driver.Model, parts: None
) -> None:
    unwrapped, wrapped = lattice_water(3), lattice_water(3)
    wrapped.positions += 0.37 * wrapped.cell.lengths()
    wrapped.wrap()
    clusters._prepare(labelled(model_f32, molecules(4)), [unwrapped])
    one = [clusters.cut(np.random.default_rng(seed))[0] for seed in range(20)]
    clusters._prepare(labelled(model_f32, molecules(4)), [wrapped])
    other = [clusters.cut(np.random.default_rng(seed))[0] for seed in range(20)]
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a.get_all_distances(), b.get_all_distances(), atol=1e-9)


def test_contacts(parts: None) -> None:
    rotations = [Rotation.identity(), Rotation.identity()]
    near, far = (
        clusters.assemble([0, 1], rotations, np.array([[0, 0, 0], [x, 0, 0]])) for x in (1.0, 4.0)
    )
    assert clusters.closest(near) < 0 < clusters.closest(far)


def test_energy_of_distant_molecules_is_the_sum(
    parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And forces are those of the molecules, rotated, up to the remaining interaction."""
    pytest.importorskip("pyscf", reason="clusters need pyscf and dftd3")
    rotations = [Rotation.identity(), Rotation.from_rotvec([0.4, -1.1, 0.3])]
    places = np.array([[0, 0, 0], [40.0, 0, 0]])
    made = clusters.assemble([0, 1], rotations, places), [0, 1], rotations
    monkeypatch.setattr(clusters, "pair", lambda rng: made)
    found = clusters._labelled(0)
    known = clusters._molecules[:2]
    total = sum(one.get_potential_energy() for one in known)
    assert found.get_potential_energy() == pytest.approx(total, abs=1e-3)
    for k, (one, rotation) in enumerate(zip(known, rotations, strict=True)):
        np.testing.assert_allclose(
            found.get_forces()[3 * k : 3 * k + 3], rotation.apply(one.get_forces()), atol=5e-3
        )


@pytest.mark.parametrize("name", ["water-clusters.xyz", "water-pairs.xyz"])
def test_committed_clusters(name: str) -> None:
    """There are bound and repulsive clusters, and none beyond the limits."""
    frames = ase.io.read(clusters.Path(clusters.__file__).parent / "data" / name, ":")
    interaction = np.array([frame.info["interaction"] for frame in frames])
    assert len(frames) >= 90 and interaction.min() > -1.0
    assert (interaction < -0.1).sum() > 10 and (interaction > 0.5).sum() > 3
    assert interaction.max() < clusters.LARGEST_INTERACTION
    for frame in frames:
        assert np.abs(frame.get_forces()).max() < clusters.LARGEST_FORCE
        assert clusters.closest(frame) >= 0
        np.testing.assert_allclose(frame.get_forces().sum(axis=0), 0, atol=0.05)
