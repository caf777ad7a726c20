"""The wheel and the source distribution, each built once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a command that must succeed; return what it prints."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=500, env=env, cwd=cwd)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def build_wheel(source: Path, folder: Path, **variables: str) -> tuple[Path, str]:
    """Build a wheel without a network; return its path and the messages of the build."""
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "--no-build-isolation"]
    said = run(*command, "-w", str(folder), str(source), env=os.environ | variables, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel, said


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from the checkout, with compiled kernels."""
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))[0]


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source distribution built from the checkout."""
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder), cwd=ROOT)
    (archive,) = folder.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the wheel is installed into; its dependencies are those of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    run(*command, "--target", str(folder), str(wheel))
    return folder


@pytest.fixture
def machine(installed: Path, tmp_path: Path) -> dict[str, str]:
    """Variables of a machine with the installed package, no compiler and an empty cache."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("env", "sh"):
        (tools / name).symlink_to(str(shutil.which(name)))
    kept = {name: value for name, value in os.environ.items() if name != "CXX"}
    return kept | {
        "PATH": str(tools),
        "PYTHONPATH": str(installed),
        "PET_DRIVER_CACHE": str(tmp_path / "cache"),
        "PET_DRIVER_KERNELS": "on",
        "OMP_NUM_THREADS": "2",
    }
