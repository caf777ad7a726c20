"""Write pairs of structures with equal interatomic distances, and print their PET energies.

python make_pairs.py --model water-small --grid 3i
"""

import argparse
from pathlib import Path

from ase.io import write

import pet_driver
from pet_driver.probe import degenerate_pair, distances_coincide

PAIRS = {
    "octahedra": (("O", "O", "O"), (1.6, 1.6, 1.6), (0.3, 0.3, 0.3)),
    "three-lines": (("O", "H", "H"), (1.4, 1.6, 1.5), (0.4, 0.3, 0.5)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="water-small", help="exported model or shipped name")
    parser.add_argument("--grid", default="3i", help="rotations to average over")
    parser.add_argument("--output", type=Path, default=Path(), help="output folder")
    options = parser.parse_args()
    model = pet_driver.load(options.model)
    for name, lines in PAIRS.items():
        pair = degenerate_pair(*lines)
        write(options.output / f"{name}.xyz", pair)
        first, second = model.evaluate(pair, options.grid)
        print(
            f"{name}: same distances: {distances_coincide(*pair)}, "
            f"energies {first.energy:.6f} and {second.energy:.6f} eV, "
            f"difference {1e3 * abs(first.energy - second.energy):.3f} meV"
        )


if __name__ == "__main__":
    main()
