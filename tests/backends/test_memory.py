"""Allocator settings: freed memory is used again, and settings of the environment are kept."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from ase import Atoms

FAULTS = """
import resource, sys
import numpy as np, pet_driver
from ase.io import read
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
model, atoms = pet_driver.load("water-small"), read(sys.argv[1])
for _ in range(3):
    before = faults()
    model.evaluate(atoms)
print(faults() - before)
"""
KEPT = "from pet_driver.backends.memory import keep_freed_memory; print(keep_freed_memory())"

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not the GNU C library")


def run(code: str, *arguments: str, **variables: str) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_TUN"))}
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    done = subprocess.run(
        command, env={**clean, **variables}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_freed_memory_is_used_again(liquid: Atoms, tmp_path: Path) -> None:
    """Without the settings each evaluation of 1,536 atoms has about 30,000 page faults."""
    liquid.repeat(2).write(tmp_path / "box.xyz", format="extxyz")
    assert int(run(FAULTS, str(tmp_path / "box.xyz"))) < 3000


SHORTAGE = """
import resource, sys
import pet_driver
from ase.io import read
model, atoms = pet_driver.load("water-small", max_edges=10**9), read(sys.argv[1])
model.evaluate(atoms)
in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (in_use + (1 << 30), -1))
try:
    model.evaluate(atoms, "3i")
except pet_driver.PetDriverError as error:
    print(error)
"""


@pytest.mark.parametrize("kernels", ["auto", "off"])
def test_out_of_memory_has_a_remedy(liquid: Atoms, tmp_path: Path, kernels: str) -> None:
    """150 rotations of 192 atoms in one pass need more than the allowed gigabyte."""
    liquid.write(tmp_path / "box.xyz", format="extxyz")
    said = run(SHORTAGE, str(tmp_path / "box.xyz"), PET_DRIVER_KERNELS=kernels)
    assert "out of memory with passes of 1000000000 edges" in said


def test_settings_of_the_environment_are_kept() -> None:
    assert run(KEPT) == "True"
    assert run(KEPT, MALLOC_ARENA_MAX="2") == "False"
    assert run(KEPT, GLIBC_TUNABLES="glibc.malloc.tcache_count=7") == "False"


def test_evaluation_does_not_import_scipy() -> None:
    """Its quadratures need 45 MB, and only an export uses them."""
    code = "import sys, pet_driver.model.evaluator; print('scipy.integrate' in sys.modules)"
    assert run(code) == "False"
