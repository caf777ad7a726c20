"""The model card: learning curves and the reference surface."""

import json
from pathlib import Path

import pytest
from card import _gather_curve
from training import sections
from training.molecule import ReferenceSurface
from training.record import read_record

import pet_driver
from tests.conftest import ROOT
from tests.workflows.train.conftest import labelled, molecules

SHIPPED = ROOT / "pet_driver" / "model" / "weights" / "water-small.json"


def written(folder: Path, name: str, **changes) -> Path:
    """Write the record of the shipped model under another name, with changes.

    Returns the path of the archive, which is not written.
    """
    entries = json.loads(SHIPPED.read_text())
    entries["settings"] |= {"name": name, **changes.pop("settings", {})}
    if frames := entries["settings"].get("frames"):
        entries["split"]["liquid"]["train"] = entries["split"]["liquid"]["train"][:frames]
    path = folder / name / f"{name}.json"
    path.parent.mkdir()
    path.write_text(json.dumps(entries | {"name": name, "curve": {}} | changes))
    return path.with_suffix(".pt")


def test_learning_curve_has_trainings_that_differ_only_in_frames(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    archive = written(tmp_path, "a")
    written(tmp_path, "a-30", settings={"frames": 30})
    written(tmp_path, "a-40", settings={"frames": 40}, seed=7)
    written(tmp_path, "a-50", settings={"frames": 50}, errors={})
    record = read_record(archive.with_suffix(".json"))
    _gather_curve(record, archive, write=True)
    assert list(record.curve) == ["30", "130"]
    assert "a-40.json: not in the learning curve" in capsys.readouterr().err
    assert read_record(archive.with_suffix(".json")).curve == record.curve


def test_no_learning_curve_without_held_out_frames(tmp_path: Path) -> None:
    archive = written(tmp_path, "a", errors={})
    record = read_record(archive.with_suffix(".json"))
    _gather_curve(record, archive, write=False)
    assert record.curve == {}


def test_reference_surface_does_not_depend_on_the_order_of_atoms(
    model_f64: pet_driver.Model,
) -> None:
    frames = labelled(model_f64, molecules(120))
    reordered = labelled(model_f64, [frame[[1, 0, 2]] for frame in molecules(120)])
    assert sections._are_water(reordered) and not sections._are_water([frames[0][:2]])
    a, b = (ReferenceSurface(some).equilibrium() for some in (frames, reordered))
    assert (a.length, a.angle) == pytest.approx((b.length, b.angle))
    assert a.frequencies == pytest.approx(b.frequencies, rel=1e-4)
