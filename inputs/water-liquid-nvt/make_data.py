"""Write water.data: the equilibrated 64 molecules of ../structures/water-64.xyz for LAMMPS."""

from pathlib import Path

from ase.io import read, write

HERE = Path(__file__).parent


def main() -> None:
    box = read(HERE / "../structures/water-64.xyz")
    write(HERE / "water.data", box, format="lammps-data", specorder=["O", "H"], masses=True)


if __name__ == "__main__":
    main()
