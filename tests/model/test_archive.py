"""Archives: export, metadata, and errors for files that are not valid archives."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms

import pet_driver
from pet_driver.errors import PetDriverError
from pet_driver.model import export as exporting
from pet_driver.model.archive import Archive, read_metadata
from pet_driver.model.shipped import shipped_models


def test_metadata_and_attributes_agree(archive_f32: Path) -> None:
    metadata = read_metadata(archive_f32)
    module = Archive.load(archive_f32).module
    assert metadata["symbols"] == module.symbols == ["H", "O"]
    assert metadata["atomic_numbers"] == module.atomic_numbers == [1, 8]
    assert metadata["cutoff"] == module.cutoff
    assert metadata["interaction_range"] == module.interaction_range
    assert metadata["dtype"] == module.dtype_name == "float32"
    assert metadata["default_grid"] == module.default_grid
    assert (metadata["length_unit"], metadata["energy_unit"]) == ("angstrom", "eV")


def test_default_grid_is_used_unless_a_call_names_another(
    tmp_path: Path, water: Atoms, archive_f64: Path
) -> None:
    averaged = tmp_path / "averaged.pt"
    pet_driver.export(archive_f64, averaged, grid="2i", dtype="float64")
    raw = tmp_path / "raw.pt"
    pet_driver.export(averaged, raw, grid="0")
    again = tmp_path / "again.pt"
    pet_driver.export(averaged, again)
    for path, default in ((raw, "0"), (again, "2i")):
        metadata = read_metadata(path)
        assert (metadata["default_grid"], metadata["dtype"]) == (default, "float64")
    one, two = pet_driver.load(averaged), pet_driver.load(raw)
    assert one.evaluate(water).energy == pytest.approx(two.evaluate(water, "2i").energy, abs=1e-10)
    assert one.evaluate(water, "0").energy == pytest.approx(two.evaluate(water).energy, abs=1e-10)
    assert one.evaluate(water).rotation_std > 0


def test_second_export_keeps_the_weights(tmp_path: Path, archive_f32: Path) -> None:
    again = tmp_path / "again.pt"
    pet_driver.export(archive_f32, again)
    first, second = read_metadata(archive_f32), read_metadata(again)
    assert first["weights_sha256"] == second["weights_sha256"]
    assert first["composition"] == second["composition"]


@pytest.mark.parametrize("name", shipped_models())
def test_shipped_archives_agree_with_the_current_code(
    tmp_path: Path, small_box: Atoms, name: str
) -> None:
    """An archive holds the code that exported it, which must give the same numbers as this code."""
    pet_driver.export(name, tmp_path / "exported.pt")
    shipped, exported = pet_driver.load(name), pet_driver.load(tmp_path / "exported.pt")
    for grid in ("i", "ecse"):
        expected, found = (one.evaluate(small_box, grid) for one in (shipped, exported))
        assert found.energy == pytest.approx(expected.energy, abs=1e-5)
        assert np.allclose(found.forces, expected.forces, atol=1e-5)


def test_files_that_are_not_archives_are_refused(tmp_path: Path, archive_f32: Path) -> None:
    def error(path: Path) -> str:
        with pytest.raises(pet_driver.PetDriverError, match=path.name) as caught:
            pet_driver.load(path)
        return str(caught.value)

    assert "shipped are: water-small" in error(tmp_path / "absent.pt")

    text = tmp_path / "text.pt"
    text.write_text("weights")
    assert "pet-driver export" in error(text)

    truncated = tmp_path / "truncated.pt"
    truncated.write_bytes(archive_f32.read_bytes()[:100_000])
    assert "damaged" in error(truncated)

    foreign = tmp_path / "foreign.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(foreign))
    assert "not a pet-driver archive" in error(foreign)


def edit(source: Path, target: Path, change) -> None:
    """Copy an archive, and apply ``change`` to the bytes of each entry."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))


def test_other_format_versions_and_damaged_weights_are_refused(
    tmp_path: Path, archive_f32: Path
) -> None:
    def newer(name: str, content: bytes) -> bytes:
        if not name.endswith("metadata.json"):
            return content
        return json.dumps(json.loads(content) | {"format_version": 99}).encode()

    edit(archive_f32, tmp_path / "newer.pt", newer)
    with pytest.raises(pet_driver.PetDriverError, match="format version 99"):
        pet_driver.load(tmp_path / "newer.pt")

    def flipped(name: str, content: bytes) -> bytes:
        return content[::-1] if "/data/" in name and len(content) > 50_000 else content

    edit(archive_f32, tmp_path / "flipped.pt", flipped)
    with pytest.raises(pet_driver.PetDriverError, match="do not match their checksum"):
        pet_driver.load(tmp_path / "flipped.pt")


def test_wrong_export_options_are_refused(tmp_path: Path) -> None:
    for options, message in [
        ({"grid": "9"}, "unknown grid '9'"),
        ({"dtype": "float16"}, "float32, float64"),
        ({"target": "energy/pbe"}, "has one energy; choose the target where it is exported from"),
    ]:
        with pytest.raises(pet_driver.PetDriverError, match=message):
            pet_driver.export("water-small", tmp_path / "model.pt", **options)
    with pytest.raises(pet_driver.PetDriverError, match="folder of"):
        pet_driver.export("water-small", tmp_path / "nowhere" / "model.pt")
    assert not list(tmp_path.iterdir())


def test_failed_export_keeps_the_existing_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "mine.pt"
    out.write_bytes(b"an older archive")
    monkeypatch.setitem(exporting.TOLERANCE, "float32", 0.0)
    with pytest.raises(PetDriverError, match="was not written"):
        pet_driver.export("water-small", out)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.pt"]
    assert out.read_bytes() == b"an older archive"


def test_unknown_devices_are_refused() -> None:
    with pytest.raises(pet_driver.PetDriverError, match="not a device"):
        pet_driver.load("water-small", device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(pet_driver.PetDriverError, match="finds no CUDA device"):
            pet_driver.load("water-small", device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_equals_cpu(small_box: Atoms, archive_f64: Path) -> None:
    cpu = pet_driver.load(archive_f64, grid="2i").evaluate(small_box)
    gpu = pet_driver.load(archive_f64, "cuda", grid="2i").evaluate(small_box)
    assert abs(cpu.energy - gpu.energy) < 1e-8
    assert np.abs(cpu.forces - gpu.forces).max() < 1e-8
