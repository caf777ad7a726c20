"""The wheel contains what an installed package needs, and runs where there is no compiler."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tarfile
import zipfile
from importlib import import_module
from pathlib import Path

import pytest

from pet_driver.backends.cpu import SOURCES, library
from pet_driver.errors import PetDriverError
from pet_driver.model.shipped import shipped_ensembles
from tests.packaging.conftest import ROOT, build_wheel, run

pytestmark = pytest.mark.xdist_group("wheel")  # one process builds it
on_linux = pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc",
    reason="the wheel contains compiled kernels on Linux with the GNU C library",
)


def files(folder: Path) -> set[str]:
    """Names of all files in a folder of the checkout that git would not ignore."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)) for path in paths if "__pycache__" not in path.parts}


def check_contents(wheel: Path) -> set[str]:
    """Check that a wheel, with or without compiled kernels, is complete; return its files."""
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, target in {
        ROOT / "lammps_plugin": "pet_driver/lammps_plugin_src",
        ROOT / "inputs": "pet_driver/inputs",
        SOURCES: "pet_driver/backends/cpu/cpp",
    }.items():
        assert {f"{target}/{name}" for name in files(folder)} <= names
    assert "pet_driver/model/weights/water-small.pt" in names
    for ensemble, members in shipped_ensembles().items():
        assert f"pet_driver/model/weights/{ensemble}.members" in names
        assert {f"pet_driver/model/weights/{member}.pt" for member in members.split("+")} <= names
    assert "pet_driver/engines/ipi/pet_driver_ipi_shim.py" in names
    assert "pet_driver/py.typed" in names
    entry_points = next(name for name in names if name.endswith("entry_points.txt"))
    text = zipfile.ZipFile(wheel).read(entry_points).decode()
    assert "[lammps.plugins]" in text and "pet-driver = pet_driver.cli:app" in text
    assert all(name.startswith(("pet_driver/", "pet_driver-")) for name in names)
    return names


@on_linux
def test_wheel_is_for_this_platform_and_contains_kernels(wheel: Path) -> None:
    tag = wheel.stem.split("-", 2)[2]
    assert tag.startswith("py3-none-manylinux_2_") and tag.endswith(platform.machine())
    names = check_contents(wheel)
    compiled = [name for name in names if name.endswith(".so")]
    assert len(compiled) == 1
    assert compiled[0].startswith("pet_driver/backends/cpu/prebuilt/")


def test_sdist_is_complete_and_builds_without_a_compiler(sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0:
        present = {name for name in listed.stdout.split("\n") if (ROOT / name).is_file()}
        assert present <= names
    assert {"hatch_build.py", "Makefile", "constraints.txt", "pyproject.toml"} <= names
    wheel, said = build_wheel(sdist, tmp_path, CXX="no-such-compiler")
    assert wheel.stem.endswith("py3-none-any")
    assert "the wheel contains no compiled CPU kernels" in said and "no-such-compiler" in said
    assert not [name for name in check_contents(wheel) if name.endswith(".so")]


EVALUATE = """
import json, os
from ase.build import molecule
import pet_driver
from pet_driver.backends.cpu import binding, library
from pet_driver.engines.lammps.environment import find_sources

def energy():
    return pet_driver.load("water-small").evaluate(molecule("H2O")).energy

found = {
    "package": pet_driver.__file__,
    "library": str(library()),
    "sources": str(find_sources()),
    "kernels": energy(),
}
maps = open("/proc/self/maps").read().splitlines()
found["loaded"] = sorted({line.split()[-1] for line in maps if "petkernels" in line})
found["openmp"] = sorted({line.split()[-1] for line in maps if "libgomp" in line})
os.environ["PET_DRIVER_KERNELS"] = "off"
found["torchscript"] = energy()
print(json.dumps(found))
"""


@on_linux
def test_installed_kernels_run_without_a_compiler(
    installed: Path, machine: dict[str, str], tmp_path: Path
) -> None:
    printed = run(sys.executable, "-W", "ignore", "-c", EVALUATE, env=machine, cwd=tmp_path)
    found = json.loads(printed.splitlines()[-1])
    package = installed / "pet_driver"
    assert found["package"] == str(package / "__init__.py")
    assert found["sources"] == str(package / "lammps_plugin_src")
    assert found["library"].startswith(str(package / "backends" / "cpu" / "prebuilt"))
    assert found["loaded"] == [found["library"]]
    assert len(found["openmp"]) == 1, "torch and the kernels share one OpenMP library"
    assert found["kernels"] == pytest.approx(found["torchscript"], abs=1e-4)
    assert not Path(machine["PET_DRIVER_CACHE"]).exists(), "nothing was compiled"


@on_linux
def test_installed_commands_run_in_another_folder(
    installed: Path, machine: dict[str, str], tmp_path: Path
) -> None:
    program = str(installed / "bin" / "pet-driver")
    (tmp_path / "one.xyz").write_text("1\n\nO 0 0 0\n")
    said = run(program, "evaluate", "water-small", "one.xyz", env=machine, cwd=tmp_path)
    assert "energy" in said
    assert not Path(machine["PET_DRIVER_CACHE"]).exists(), "nothing was compiled"


@on_linux
def test_library_of_other_sources_is_not_used(installed: Path, machine: dict[str, str]) -> None:
    """An edited source file of an installed package is compiled, not ignored."""
    script = """
from pet_driver.backends.cpu import SOURCES, library
assert "prebuilt" in str(library())
edited = SOURCES / "new.h"
edited.write_text("")
try:
    print(library())
finally:
    edited.unlink()
assert "prebuilt" in str(library())
"""
    printed = run(sys.executable, "-c", script, env=machine, cwd=installed)
    assert printed.startswith(machine["PET_DRIVER_CACHE"])


def test_prebuilt_library_that_cannot_be_loaded_is_compiled_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from pet_driver.backends.cpu import binding

    build = import_module("pet_driver.backends.cpu.build")  # not the function of this name
    folder = tmp_path / build.checksum(platform.machine())
    folder.mkdir()
    (folder / build.NAME).write_bytes(b"no library")
    monkeypatch.setattr(build, "PREBUILT", tmp_path)
    monkeypatch.setenv("PET_DRIVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert library() == folder / build.NAME
    binding.load_library.cache_clear()
    try:
        with (
            pytest.warns(UserWarning, match="kernels of the wheel cannot be loaded"),
            pytest.raises(PetDriverError, match="no-such-compiler"),
        ):
            binding.load_library()
    finally:
        binding.load_library.cache_clear()


def test_build_hook_needs_the_standard_library_alone() -> None:
    """The hook imports the package where none of its dependencies is installed."""
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pet_driver.backends.cpu.build import compile_for_wheel
"""
    run(sys.executable, "-I", "-S", "-c", script, env=dict(os.environ))
