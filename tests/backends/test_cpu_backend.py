"""The kernels evaluate the network of an archive, and TorchScript does if they cannot."""

import copy
import gc
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

import pet_driver
from pet_driver.backends.cpu import MODE, binding, library
from pet_driver.cli.doctor import examine


def instruction_set(model: pet_driver.Model) -> str | None:
    return binding.instruction_set(model.archive.module)


def test_same_results_with_and_without_kernels(
    monkeypatch: pytest.MonkeyPatch, small_box: Atoms
) -> None:
    monkeypatch.setenv(MODE, "on")
    fast = pet_driver.load("water-small")
    monkeypatch.setenv(MODE, "off")
    slow = pet_driver.load("water-small")
    assert instruction_set(fast) is not None and instruction_set(slow) is None
    for grid in ("0", "i", "ecse"):
        one, two = fast.evaluate(small_box, grid), slow.evaluate(small_box, grid)
        assert one.energy == pytest.approx(two.energy, abs=1e-4)
        assert np.abs(one.forces - two.forces).max() < 1e-4
        assert np.abs(one.full_virial - two.full_virial).max() < 1e-3
    assert fast.archive.metadata == slow.archive.metadata
    sources = fast.archive.source(), slow.archive.source()
    assert set(sources[0].weights) == set(sources[1].weights)


def test_unknown_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODE, "yes")
    with pytest.raises(pet_driver.PetDriverError, match=r"'yes'; set it to auto, on or off"):
        pet_driver.load("water-small")


@pytest.mark.parametrize("why", ["name", "read-only", "homeless"])
def test_unusable_cache_folder(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """A folder whose name is too long, one that cannot be written, and no home folder."""
    if why == "homeless":
        monkeypatch.delenv("PET_DRIVER_CACHE", raising=False)
        monkeypatch.setattr(Path, "home", no_home)
    else:
        monkeypatch.setenv("PET_DRIVER_CACHE", {"name": "/" + 300 * "a", "read-only": "/proc"}[why])
    monkeypatch.setenv(MODE, "auto")
    binding.load_library.cache_clear()
    try:
        with pytest.warns(UserWarning, match="set PET_DRIVER_CACHE to a folder"):
            model = pet_driver.load("water-small")
        assert instruction_set(model) is None
        assert "PET_DRIVER_CACHE" in next(f for f in examine() if f.part == "kernels").state
    finally:
        binding.load_library.cache_clear()


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_kernels_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The library was compiled on another system, or is damaged."""
    monkeypatch.setenv("PET_DRIVER_CACHE", str(tmp_path))
    monkeypatch.setenv(MODE, "auto")
    library().parent.mkdir(parents=True)
    library().write_bytes(b"no library")
    binding.load_library.cache_clear()
    try:
        with pytest.warns(UserWarning, match=f"delete {library()} to compile them again"):
            pet_driver.load("water-small")
        assert "compile them again" in next(f for f in examine() if f.part == "kernels").state
    finally:
        binding.load_library.cache_clear()


def test_copy_outlives_the_original(monkeypatch: pytest.MonkeyPatch, small_box: Atoms) -> None:
    monkeypatch.setenv(MODE, "on")
    original = pet_driver.load("water-small")
    expected = original.evaluate(small_box).energy
    copied = copy.deepcopy(original)
    del original
    gc.collect()
    assert copied.evaluate(small_box).energy == expected


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PET_DRIVER_CACHE", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    binding.load_library.cache_clear()
    try:
        monkeypatch.setenv(MODE, "auto")
        with pytest.warns(UserWarning, match="no-such-compiler.*PET_DRIVER_KERNELS=off"):
            model = pet_driver.load("water-small")
        assert instruction_set(model) is None
        monkeypatch.setenv(MODE, "on")
        with pytest.raises(pet_driver.PetDriverError, match="no-such-compiler"):
            pet_driver.load("water-small")
        monkeypatch.setenv(MODE, "off")
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            pet_driver.load("water-small")
    finally:
        binding.load_library.cache_clear()
