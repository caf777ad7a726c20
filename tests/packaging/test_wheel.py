"""The wheel carries what an installed package needs beside its Python code."""

import subprocess
import sys
import zipfile
from pathlib import Path

from pet_driver.backends.cpu import SOURCES
from pet_driver.model.shipped import shipped_ensembles

ROOT = Path(__file__).parents[2]


def test_wheel_contents(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "-w", str(tmp_path)]  # of itself pip would go to an index
    built = subprocess.run([*command, str(ROOT)], capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {path.name for path in (ROOT / "lammps_plugin").iterdir() if path.is_file()}
    assert {f"pet_driver/lammps_plugin_src/{name}" for name in sources} <= names
    assert "pet_driver/model/weights/water-small.pt" in names
    for ensemble, members in shipped_ensembles().items():
        assert f"pet_driver/model/weights/{ensemble}.members" in names
        assert {f"pet_driver/model/weights/{member}.pt" for member in members.split("+")} <= names
    assert {f"pet_driver/backends/cpu/cpp/{path.name}" for path in SOURCES.iterdir()} <= names
    assert "pet_driver/engines/ipi/pet_driver_ipi_shim.py" in names
    entry_points = next(name for name in names if name.endswith("entry_points.txt"))
    text = zipfile.ZipFile(wheel).read(entry_points).decode()
    assert "[lammps.plugins]" in text and "pet-driver = pet_driver.cli:app" in text
    assert not any(name.startswith(("tests/", "results/", ".venv")) for name in names)
