"""The plugin's table of atomic weights agrees with the masses that Python uses."""

import re
from pathlib import Path

import pytest
from ase.data import atomic_masses, chemical_symbols

SOURCE = Path(__file__).parents[2] / "lammps_plugin" / "elements.cpp"
LARGEST_DIFFERENCE = 0.02  # amu, of rounding and of revised standard weights


def test_weights_of_the_plugin_are_those_of_ase() -> None:
    found = re.findall(r'\{"([A-Z][a-z]?)", ([\d.]+)\}', SOURCE.read_text())
    assert [symbol for symbol, _ in found] == chemical_symbols[1:]
    stable = [z for z in range(1, 84) if z not in (43, 61)]
    weights = [float(found[z - 1][1]) for z in stable]
    assert weights == pytest.approx(atomic_masses[stable].tolist(), abs=LARGEST_DIFFERENCE)
