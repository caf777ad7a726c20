"""Names of grids of rotations, the same in Python, in the archive and in every engine.

    BASE [+random] [-each] [@SEED]
    ecse[i] [-pooled]

``BASE`` is a set of rotations (see :mod:`pet_driver.symmetry.grids`); ``+random`` rotates the whole
set by one random rotation; ``-each`` draws rotations for every structure of a batch instead of once
for all; ``@SEED`` selects the sequence of random rotations. ``ecse`` is the exact symmetrization
(see :mod:`pet_driver.symmetry.ecse`): each atom is evaluated in local reference frames of its own,
or with ``-pooled`` the structure in those of all its atoms. Names contain no character that is
special in a shell, in the parameters of i-PI or in the input of LAMMPS.
"""

from typing import NamedTuple

# Values of GridName.frames.
NO_FRAMES, BY_ENVIRONMENT, POOLED = 0, 1, 2


class GridName(NamedTuple):
    """The parts of a grid's name.

    Attributes:
        base: the set of rotations, without what follows it; for ``ecse`` the rotations that are
            composed with the frames.
        random: whether the rotations change from call to call.
        rotated: whether the whole set is rotated at random.
        each: whether every structure of a batch has its own rotations.
        seed: of the random rotations.
        frames: local reference frames: 0 none, 1 those of each atom, 2 pooled over the structure.
        valid: whether what follows the base is valid; the base itself is not checked.
    """

    base: str
    random: bool
    rotated: bool
    each: bool
    seed: int
    frames: int
    valid: bool


def parse_grid_name(name: str) -> GridName:
    """Return the parts of a grid's name (also compiled to TorchScript, hence the style)."""
    base, seed, seeded, valid = name, 0, False, True
    at = name.find("@")
    if at >= 0:
        digits = name[at + 1 :]
        base, seeded = name[:at], True
        valid = digits.isdigit() and len(digits) <= 18  # within int64
        if valid:
            seed = int(digits)
    each = base.endswith("-each")
    if each:
        base = base[: len(base) - 5]
    rotated = base.endswith("+random")
    if rotated:
        base = base[: len(base) - 7]
    drawn = base.startswith("random")
    if (drawn and rotated) or ((each or seeded) and not (drawn or rotated)):
        valid = False
    frames = 0
    if base.startswith("ecse"):
        valid = valid and not rotated
        frames = 2 if base.endswith("-pooled") else 1
        if frames == 2:
            base = base[: len(base) - 7]
        # The frames are composed with the identity, or with the identity and the inversion.
        base = base[4:]
        base = "0" if base == "" else base if base == "i" else "unknown"
    return GridName(base, drawn or rotated, rotated, each, seed, frames, valid)


def draws(name: str, n_structures: int) -> int:
    """Return by how much a call for ``n_structures`` advances the counter of random rotations."""
    parsed = parse_grid_name(name)
    if not parsed.random:
        return 0
    return n_structures if parsed.each else 1
