"""A Verlet list gives exactly the edges that a new search would find, after every move."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

import pet_driver
from pet_driver.errors import PetDriverError
from pet_driver.neighbors import verlet_list as verlet
from pet_driver.neighbors.batches import AtomBatch, EdgeBatch
from pet_driver.neighbors.neighbor_list import find_edges
from pet_driver.neighbors.structure import Structure
from pet_driver.neighbors.verlet_list import SKIN, WIDEST_SKIN, VerletList, VerletLists

CUTOFF = 4.0
CPU = torch.device("cpu")
STEP = 0.02  # A, of a random walk


Edge = tuple[int, int, int, int, int]  # centre, neighbour, cell shift


def as_integers(structure: Structure, centers, neighbors, vectors: np.ndarray) -> set[Edge]:
    """Return the edges as integers, and check their vectors."""
    cell = np.where(np.array(structure.pbc)[:, None], structure.cell, 0.0)
    differences = structure.positions[neighbors] - structure.positions[centers]
    shifts = np.round((vectors - differences) @ np.linalg.pinv(cell))
    assert np.abs(differences + shifts @ cell - vectors).max(initial=0.0) < 1e-11
    found = np.column_stack([centers, neighbors, shifts.astype(int)]).tolist()
    assert len(set(map(tuple, found))) == len(centers)
    return set(map(tuple, found))


def edges_by_structure(structures: Sequence[Structure], edges: EdgeBatch) -> list[set[Edge]]:
    """Return the edges of each structure of a batch, and check their order."""
    found = []
    for k, structure in enumerate(structures):
        part = edges.part(k, k + 1)
        check_pairing(part)
        arrays = part.centers.numpy(), part.neighbors.numpy(), part.vectors.numpy()
        found.append(as_integers(structure, *arrays))
        assert part.counts[0] == len(part.centers)
    return found


def check_pairing(part: EdgeBatch) -> None:
    assert (part.centers.diff() >= 0).all()
    assert torch.equal(part.reverse[part.reverse], torch.arange(len(part.reverse)))
    assert torch.equal(part.centers[part.reverse], part.neighbors)
    assert ((part.vectors + part.vectors[part.reverse]).abs() < 1e-12).all()
    assert part.numbers.shape == part.owned.shape == part.structures.shape == (part.sizes[0],)
    assert part.owned.all() and not part.structures.any()


def new_search(structure: Structure) -> set[Edge]:
    edges = find_edges(structure, CUTOFF)
    return as_integers(structure, edges.centers, edges.neighbors, edges.vectors)


class Follower:
    """Compares the edges of Verlet lists with new searches, and counts the saved searches.

    Lists whose edges the C++ kernels select must give exactly the same.
    """

    def __init__(self) -> None:
        self.lists = VerletLists(CUTOFF, CPU)
        self.with_kernels = VerletLists(CUTOFF, CPU, use_kernels=True)
        self.kept = self.searched = 0
        self.last: EdgeBatch | None = None

    def follow(self, structures: Sequence[Structure]) -> None:
        atoms = AtomBatch.from_structures(structures)
        edges = self.lists.edges(atoms)
        if edges is None:
            self.searched += 1
            edges = self.lists.search(atoms)
        else:
            self.kept += 1
        self.last = edges
        expected = [new_search(structure) for structure in structures]
        assert edges_by_structure(structures, edges) == expected
        again = self.with_kernels.edges(atoms) or self.with_kernels.search(atoms)
        assert list(again.counts) == list(edges.counts)
        for name in ("centers", "neighbors", "reverse", "vectors"):
            assert torch.equal(getattr(again, name), getattr(edges, name)), name


def systems(small_box: Atoms) -> dict[str, list[Structure]]:
    dense = molecule("H2O", cell=[[3.1, 0, 0], [0.6, 3.3, 0], [-0.4, 0.5, 3.2]], pbc=True)
    slab = small_box.copy()
    slab.pbc = (True, False, True)
    tilted = small_box.copy()
    tilted.set_cell(small_box.cell + np.array([[0, 0, 0], [0.9, 0, 0], [0.2, -0.5, 0]]))
    cluster = molecule("C6H6")
    groups = {
        "box": [small_box],
        "tilted": [tilted],
        "slab": [slab],
        "many images": [dense],
        "no cell": [cluster],
        "one atom": [Atoms("O")],
        "beads": [small_box] * 3,
        "mixed batch": [cluster, small_box, Atoms("O"), dense, slab],
    }
    return {name: [Structure.from_ase(a) for a in group] for name, group in groups.items()}


NAMES = ["box", "tilted", "slab", "many images", "no cell", "one atom", "beads", "mixed batch"]


@pytest.mark.parametrize("name", NAMES)
def test_random_walk(name: str, small_box: Atoms) -> None:
    """A walk so long that neighbours change and every atom of the box leaves its cell."""
    rng = np.random.default_rng(1)
    structures = systems(small_box)[name]
    drift = np.array([0.04, -0.03, 0.01])
    follower = Follower()
    counts = set()
    for _ in range(160):
        follower.follow(structures)
        counts.add(sum(len(new_search(structure)) for structure in structures))
        structures = [
            replace(s, positions=s.positions + drift + STEP * rng.normal(size=s.positions.shape))
            for s in structures
        ]
    assert follower.kept > follower.searched > 10
    assert len(counts) > 3 or name in ("no cell", "one atom")


def test_barostat_strains_cell_and_positions(small_box: Atoms) -> None:
    rng = np.random.default_rng(2)
    structure = Structure.from_ase(small_box)
    follower = Follower()
    for step in range(200):
        follower.follow([structure])
        strain = np.eye(3) + 2e-3 * rng.normal(size=(3, 3)) - 1e-3 * np.sin(step / 20) * np.eye(3)
        structure = replace(
            structure,
            cell=structure.cell @ strain,
            positions=structure.positions @ strain
            + 0.2 * STEP * rng.normal(size=structure.positions.shape),
        )
    assert follower.kept > 2 * follower.searched > 4


def test_cell_shrinks_around_fixed_atoms(small_box: Atoms) -> None:
    """The atoms do not move, but come closer to their periodic images."""
    structure = Structure.from_ase(small_box)
    follower = Follower()
    for _ in range(60):
        follower.follow([structure])
        structure = replace(structure, cell=0.997 * structure.cell)
    assert follower.kept and follower.searched > 5
    partial = replace(structure, pbc=(True, True, False))
    for _ in range(10):
        follower.follow([partial])
        partial = replace(partial, cell=0.99 * partial.cell)


@pytest.mark.parametrize("start", [3.3, 4.7])
@pytest.mark.parametrize("stretched", [False, True])
def test_pair_crosses_the_cutoff(start: float, stretched: bool) -> None:
    """In both directions, because the atoms move or because the cell is stretched."""
    follower = Follower()
    lengths = start + np.concatenate([np.linspace(0, 8.0 - 2 * start, 60)] * 2)
    counts = []
    for step, length in enumerate(lengths):
        cell = np.diag([3 * length if stretched else 30.0, 20.0, 20.0])
        ends = np.array([[length, 5.0, 5.0], [2 * length, 5.0, 5.0]])
        if not stretched:
            ends[:, 0] = 15.0 - length / 2, 15.0 + length / 2
        ends[0, 1] += 1e-3 * (step % 2)  # so that there is a skin from the second step on
        follower.follow([Structure(np.array([8, 8]), ends, cell, (True, True, True))])
        counts.append(len(follower.last.centers))
    assert set(counts) == {0, 2}
    assert follower.kept > follower.searched


def test_rigid_rotation_keeps_the_list(small_box: Atoms) -> None:
    rotated = small_box.copy()
    follower = Follower()
    for _ in range(20):
        follower.follow([Structure.from_ase(rotated)])
        rotated.rotate(7, (1, 2, 3), rotate_cell=True)
    assert (follower.kept, follower.searched) == (18, 2)  # the first without a skin


def test_jumps_need_a_new_search(small_box: Atoms) -> None:
    """A displaced atom, wrapped atoms, exchanged elements, a missing atom."""
    start = Structure.from_ase(small_box)
    near = replace(start, positions=start.positions + 0.01)
    rng = np.random.default_rng(3)
    follower = Follower()
    for _ in range(3):
        moved = start.positions.copy()
        moved[rng.integers(len(moved))] += rng.normal(size=3)
        wrapped = small_box.copy()
        wrapped.positions += 2.0
        wrapped.wrap()
        fewer = small_box[1:]
        others = [replace(start, positions=moved), *map(Structure.from_ase, (wrapped, fewer))]
        for structure in (start, near, *others):
            follower.follow([structure])
        follower.follow([start, *others])
    swapped = replace(start, numbers=start.numbers[::-1].copy())
    known = VerletList(AtomBatch.from_structures([start]), CUTOFF, SKIN, CPU)
    assert known.edges(AtomBatch.from_structures([near])) is not None
    assert known.edges(AtomBatch.from_structures([swapped])) is None


def test_list_is_valid_up_to_half_the_skin(small_box: Atoms) -> None:
    structure = Structure.from_ase(small_box)
    known = VerletList(AtomBatch.from_structures([structure]), CUTOFF, SKIN, CPU)
    for distance, valid in ((0.499 * SKIN, True), (0.501 * SKIN, False)):
        positions = structure.positions.copy()
        positions[5] += distance * np.array([0.6, 0.0, -0.8])
        moved = AtomBatch.from_structures([replace(structure, positions=positions)])
        assert (known.edges(moved) is not None) == valid


def test_beads_evaluated_one_by_one_keep_their_lists(small_box: Atoms) -> None:
    rng = np.random.default_rng(4)
    start = Structure.from_ase(small_box)
    shape = start.positions.shape
    beads = [
        replace(start, positions=start.positions + 0.3 * rng.normal(size=shape)) for _ in range(6)
    ]
    follower = Follower()
    for _ in range(40):
        for bead in beads:
            follower.follow([bead])
        beads = [
            replace(b, positions=b.positions + 0.5 * STEP * rng.normal(size=shape)) for b in beads
        ]
    assert follower.kept > 5 * follower.searched


def test_fast_atoms_get_a_wider_skin(small_box: Atoms) -> None:
    """0.1 A a step, as for beads: the skin grows, and shrinks again when the atoms are slow."""
    structure = Structure.from_ase(small_box)
    follower = Follower()
    for _ in range(60):
        structure = replace(structure, positions=structure.positions.copy())
        structure.positions[7] += np.array([0.06, 0.0, 0.08])
        follower.follow([structure])
    skins = [known.skin for known in follower.lists._lists]
    assert max(skins) == WIDEST_SKIN
    assert follower.searched < 15  # with 0.5 A, every third step
    for _ in range(200):  # the atoms come to rest
        structure = replace(structure, positions=structure.positions + 0.003)
        follower.follow([structure])
    assert follower.lists._lists[-1].skin < WIDEST_SKIN
    slow = Follower()
    for _ in range(60):
        structure = replace(structure, positions=structure.positions + 0.01)
        slow.follow([structure])
    assert max(known.skin for known in slow.lists._lists) == SKIN


def test_skin_does_not_exceed_the_memory_bound(
    small_box: Atoms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list beyond the bound would be searched and dropped at once."""
    structure = Structure.from_ase(small_box)
    one = len(find_edges(structure, CUTOFF + SKIN).centers)
    monkeypatch.setattr(verlet, "MAX_PAIRS", 3 * one)
    follower = Follower()
    for _ in range(60):
        structure = replace(structure, positions=structure.positions.copy())
        structure.positions[7] += np.array([0.06, 0.0, 0.08])
        follower.follow([structure])
        assert follower.lists._lists
    assert max(known.skin for known in follower.lists._lists) < WIDEST_SKIN


def test_number_of_pairs_is_bounded(small_box: Atoms, monkeypatch: pytest.MonkeyPatch) -> None:
    start = Structure.from_ase(small_box)
    one = len(find_edges(start, CUTOFF + SKIN).centers)
    monkeypatch.setattr(verlet, "MAX_PAIRS", 5 * one)
    follower = Follower()
    rng = np.random.default_rng(5)
    for _ in range(12):
        shape = start.positions.shape
        follower.follow([replace(start, positions=start.positions + rng.normal(size=shape))])
        assert sum(map(len, follower.lists._lists)) <= 5 * one
    monkeypatch.setattr(verlet, "MAX_PAIRS", one // 2)
    follower.follow([start])
    assert not follower.lists._lists


def test_positions_and_cells_must_be_finite(small_box: Atoms) -> None:
    start = Structure.from_ase(small_box)
    for value in (np.nan, np.inf):
        broken = start.positions.copy()
        broken[3, 1] = value
        follower = Follower()
        follower.follow([start])
        with pytest.raises(PetDriverError, match="position of atom 3"):
            follower.follow([replace(start, positions=broken)])
        with pytest.raises(PetDriverError, match="cell is not finite"):
            follower.follow([replace(start, cell=np.full((3, 3), value))])


def test_results_do_not_depend_on_kept_lists(small_box: Atoms, archive_f64) -> None:
    """A model that has followed a trajectory, against one that sees each frame first."""
    rng = np.random.default_rng(6)
    model = pet_driver.load(archive_f64)
    frames = [small_box[:9], small_box[:12]]
    for _ in range(4):
        for frame in frames:
            frame.positions += 2 * STEP * rng.normal(size=frame.positions.shape)
        fresh = pet_driver.Model(model.archive)
        for found, expected in zip(model.evaluate(frames), fresh.evaluate(frames), strict=True):
            assert abs(found.energy - expected.energy) < 1e-12 * abs(expected.energy)
            assert np.abs(found.forces - expected.forces).max() < 1e-11
            assert np.abs(found.full_virial - expected.full_virial).max() < 1e-11
