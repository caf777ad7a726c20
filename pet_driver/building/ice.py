"""Build ice Ih with disordered protons that obey the ice rules.

Each oxygen of the lattice has four neighbours. Every bond between two neighbours holds one
hydrogen, which is covalently bonded to one of the two oxygens (its donor), and every oxygen is the
donor of two hydrogens (J. D. Bernal and R. H. Fowler, J. Chem. Phys. 1 (1933) 515). Choosing the
donors means giving each bond a direction, with two bonds leaving and two entering every oxygen.
Closed walks that use each bond once give such directions. Reversing all bonds of a random directed
cycle keeps the ice rules; many such moves disorder the protons and remove the dipole moment of the
cell (A. Rahman and F. H. Stillinger, J. Chem. Phys. 57 (1972) 4009).
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import make_supercell

from pet_driver.errors import PetDriverError
from pet_driver.neighbors.neighbor_list import Edges, find_edges
from pet_driver.neighbors.structure import Structure

# Hexagonal cell at 250 K (A), and the fractional height of the oxygens in it: K. Rottger et al.,
# Acta Cryst. B 50 (1994) 644.
A, C, HEIGHT = 4.5181, 7.3560, 0.0622
BOND = 3.2  # A, largest O-O distance of a hydrogen bond: between the first and the second shell
COVALENT = 1.25  # A, largest O-H distance within a molecule
R_OH = 0.98  # A
SWEEPS = 20  # random cycles per molecule that disorder the protons
PATIENCE = 1000  # further cycles per molecule, at most, to remove the dipole moment


def ice_ih(repeats: tuple[int, int, int] = (3, 2, 2), seed: int = 0) -> Atoms:
    """Build ice Ih in an orthorhombic cell whose bond dipoles sum to zero.

    Args:
        repeats: number of 8-molecule cells along a, b and c (4.52, 7.83 and 7.36 A). The default
            gives 96 molecules.
        seed: seed of the proton disorder.

    Returns:
        Unwrapped molecules in the order O H H; the hydrogens lie on the lines between oxygens.

    Raises:
        PetDriverError: a number of repeats is below 1, or no proton arrangement without a dipole
            moment was found.
    """
    if len(repeats) != 3 or min(repeats) < 1:
        raise PetDriverError(f"repeats {repeats}: give three integers of at least 1")
    oxygens = oxygen_lattice().repeat(repeats)
    structure = Structure.from_ase(oxygens)
    edges = find_edges(structure, BOND)
    once = np.flatnonzero(np.arange(len(edges.reverse)) < edges.reverse)
    network = BondNetwork(
        len(oxygens), edges.centers[once], edges.neighbors[once], edges.vectors[once], seed
    )
    network.disorder()
    donors, directions = network.hydrogens()
    order = np.argsort(donors, kind="stable")
    hydrogens = directions[order].reshape(len(oxygens), 2, 3) * R_OH
    positions = oxygens.positions[:, None] + np.concatenate(
        [np.zeros((len(oxygens), 1, 3)), hydrogens], axis=1
    )
    ice = Atoms("OHH" * len(oxygens), positions.reshape(-1, 3), cell=oxygens.cell, pbc=True)
    check_ice_rules(ice)
    return ice


def oxygen_lattice() -> Atoms:
    """Return the 8 oxygens of the orthorhombic cell."""
    third, z = 1.0 / 3.0, HEIGHT
    hexagonal = Atoms(
        "O4",
        scaled_positions=[
            [third, 2 * third, z],
            [2 * third, third, z + 0.5],
            [2 * third, third, 1.0 - z],
            [third, 2 * third, 0.5 - z],
        ],
        cell=[[A, 0, 0], [-0.5 * A, 0.75**0.5 * A, 0], [0, 0, C]],
        pbc=True,
    )
    return make_supercell(hexagonal, [[1, 0, 0], [1, 2, 0], [0, 0, 1]])


class BondNetwork:
    """Directed bonds between oxygens; a bond points away from the donor of its hydrogen.

    Args:
        n_oxygens: number of oxygens.
        first, second: the two oxygens of each bond [B].
        vectors: vector from the first to the second oxygen [B, 3] in A.
        seed: seed of the random numbers.

    Raises:
        PetDriverError: an oxygen does not have four bonds.
    """

    def __init__(
        self,
        n_oxygens: int,
        first: np.ndarray,
        second: np.ndarray,
        vectors: np.ndarray,
        seed: int = 0,
    ) -> None:
        self.ends = np.stack([first, second])
        self.vectors = vectors
        self.random = np.random.default_rng(seed)
        self.forward = np.ones(len(first), dtype=bool)
        self.bonds: list[list[int]] = [[] for _ in range(n_oxygens)]
        for bond, ends in enumerate(self.ends.T):
            for oxygen in ends:
                self.bonds[oxygen].append(bond)
        if any(len(bonds) != 4 for bonds in self.bonds):
            raise PetDriverError("an oxygen of the lattice does not have four neighbours")

    def disorder(self) -> None:
        """Draw random directions that obey the ice rules and whose sum is zero.

        Raises:
            PetDriverError: the sum did not vanish within ``PATIENCE`` cycles per molecule.
        """
        self._direct_along_closed_walks()
        n_oxygens = len(self.bonds)
        dipole = self._signed().sum(axis=0)
        for attempt in range((SWEEPS + PATIENCE) * n_oxygens):
            if attempt >= SWEEPS * n_oxygens and np.linalg.norm(dipole) < 1e-6:
                return
            cycle = self._random_cycle()
            change = -2.0 * self._signed(cycle).sum(axis=0)
            if np.linalg.norm(dipole + change) < np.linalg.norm(dipole) + 1e-6:
                self.forward[cycle] ^= True
                dipole = dipole + change
        raise PetDriverError(
            "found no proton arrangement without a dipole moment: choose other repeats or another "
            "seed"
        )

    def hydrogens(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the donor [B] of each hydrogen, and the unit vector [B, 3] to its acceptor."""
        donors = np.where(self.forward, *self.ends)
        signed = self._signed()
        return donors, signed / np.linalg.norm(signed, axis=1, keepdims=True)

    def _signed(self, bonds: list[int] | slice = slice(None)) -> np.ndarray:
        """Return the vectors [..., 3] of bonds, from donor to acceptor."""
        return np.where(self.forward[bonds], 1.0, -1.0)[:, None] * self.vectors[bonds]

    def _other_end(self, bond: int, oxygen: int) -> int:
        """Return the oxygen at the other end of a bond."""
        one, two = self.ends[:, bond]
        return int(two if one == oxygen else one)

    def _direct_along_closed_walks(self) -> None:
        """Direct all bonds along closed walks that use each bond once.

        Each visit enters and leaves an oxygen, so that two of its four bonds point away from it.
        """
        unused = [list(self.random.permutation(bonds)) for bonds in self.bonds]
        walked = np.zeros(len(self.forward), dtype=bool)
        for start in range(len(self.bonds)):
            oxygen = start
            while True:
                while unused[oxygen] and walked[unused[oxygen][-1]]:
                    unused[oxygen].pop()
                if not unused[oxygen]:
                    break
                bond = int(unused[oxygen].pop())
                walked[bond] = True
                self.forward[bond] = self.ends[0, bond] == oxygen
                oxygen = self._other_end(bond, oxygen)

    def _random_cycle(self) -> list[int]:
        """Return a directed cycle of bonds: a random walk that stops at a visited oxygen."""
        oxygen = int(self.random.integers(len(self.bonds)))
        path: list[int] = []
        visited = {oxygen: 0}
        while True:
            away = [
                bond
                for bond in self.bonds[oxygen]
                if self.ends[0 if self.forward[bond] else 1, bond] == oxygen
            ]
            path.append(away[int(self.random.integers(len(away)))])
            oxygen = self._other_end(path[-1], oxygen)
            if oxygen in visited:
                return path[visited[oxygen] :]
            visited[oxygen] = len(path)


def check_ice_rules(atoms: Atoms) -> None:
    """Raise PetDriverError if a structure breaks the ice rules.

    Args:
        atoms: oxygens and hydrogens of ice.

    Raises:
        PetDriverError: an oxygen without two covalently bonded and two accepted hydrogens, or a
            bond without exactly one hydrogen.
    """
    edges = find_edges(Structure.from_ase(atoms), BOND)
    numbers = atoms.numbers
    lengths = np.linalg.norm(edges.vectors, axis=1)
    pairs = (numbers[edges.centers] == 8) & (numbers[edges.neighbors] == 1)
    own = pairs & (lengths < COVALENT)
    _expect(atoms, edges.centers[own], 2, "covalently bonded hydrogens")
    accepted = pairs & (lengths > COVALENT) & (lengths < BOND - R_OH)
    _expect(atoms, edges.centers[accepted], 2, "accepted hydrogens")
    bonds = (numbers[edges.centers] == 8) & (numbers[edges.neighbors] == 8)
    _expect(atoms, edges.centers[bonds], 4, "neighbouring oxygens")
    _check_bonds(edges, bonds, own)


def _check_bonds(edges: Edges, bonds: np.ndarray, own: np.ndarray) -> None:
    """Raise PetDriverError unless every bond holds exactly one hydrogen."""
    once = np.flatnonzero(bonds & (np.arange(len(bonds)) < edges.reverse))
    held = dict.fromkeys([*once.tolist(), *edges.reverse[once].tolist()], 0)
    for oh in np.flatnonzero(own):
        around = np.flatnonzero(bonds & (edges.centers == edges.centers[oh]))
        along = edges.vectors[around] @ edges.vectors[oh]
        held[int(around[np.argmax(along)])] += 1
    for bond in once.tolist():
        if (number := held[bond] + held[int(edges.reverse[bond])]) != 1:
            raise PetDriverError(
                f"the ice rules are broken: {number} hydrogens lie between oxygens "
                f"{edges.centers[bond]} and {edges.neighbors[bond]}, not 1"
            )


def _expect(atoms: Atoms, found: np.ndarray, number: int, what: str) -> None:
    """Raise PetDriverError unless every oxygen occurs ``number`` times in ``found``."""
    counts = np.bincount(found, minlength=len(atoms))[atoms.numbers == 8]
    wrong = np.flatnonzero(counts != number)
    if len(wrong):
        oxygen = np.flatnonzero(atoms.numbers == 8)[wrong[0]]
        raise PetDriverError(
            f"the ice rules are broken: oxygen {oxygen} has {counts[wrong[0]]} {what}, not {number}"
        )
