"""Which runs stand side by side, and what they are called there."""

from pathlib import Path

import pytest

from pet_driver.errors import PetDriverError
from pet_driver.report.comparison import compare, grid_label, labels
from pet_driver.report.drawing import NothingToDraw
from pet_driver.runs.record import Run


def a_run(name="run", **entries) -> Run:
    defaults = {
        "system": "bulk", "motion": "nvt", "grid": "0", "engine": "i-PI 3.3.1", "n_atoms": 192,
        "n_beads": 1, "timestep": 0.5, "steps": 10, "positions": [], "properties": "",
        "folder": Path("/nowhere"),
    }  # fmt: skip
    return Run(name=name, **(defaults | entries))


def titles(runs):
    return [group.title for group in compare(runs, lambda run: None)[0]]


@pytest.mark.parametrize(
    ("grid", "label"),
    [
        ("0", "raw"),
        ("2i", "averaged over 2i"),
        ("ecse", "exactly symmetrized (ecse)"),
        ("ecsei-pooled", "exactly symmetrized (ecsei-pooled)"),
        ("random@1", "random rotations (random@1)"),
        ("2i+random@3", "random rotations (2i+random@3)"),
    ],
)
def test_grids_in_words(grid, label):
    assert grid_label(a_run(grid=grid)) == label


def test_runs_that_differ_in_the_grid_alone_share_a_group():
    averaged, raw = (
        a_run(name, grid=grid, provenance={"deck (SHA-256)": name, "weights (SHA-256)": "0123"})
        for name, grid in (("b", "2i"), ("a", "0"))
    )
    groups, notes = compare([averaged, raw], lambda run: run.name)
    (group,) = groups
    assert group.title == "64 molecules, NVT, classical"
    assert [one.label for one in group.shown] == ["raw", "averaged over 2i"]
    assert [one.found for one in group.shown] == ["a", "b"]
    assert not notes


@pytest.mark.parametrize(
    "other",
    [
        {"system": "molecule", "n_atoms": 3},
        {"n_atoms": 1536},
        {"motion": "npt"},
        {"n_beads": 8},
        {"provenance": {"weights (SHA-256)": "another"}},
    ],
)
def test_whatever_else_differs_is_not_compared(other):
    groups, notes = compare([a_run("a"), a_run("b", grid="2i", **other)], lambda run: None)
    assert len(groups) == 2
    assert len(notes) == 2 and "would stand beside it" in notes[0]


def test_labels_say_what_else_differs():
    lammps = a_run("b", engine="LAMMPS 2025", grid="2i", timestep=5.0)
    assert labels([a_run("a"), lammps]) == [
        "raw, i-PI, steps of 0.5 fs",
        "averaged over 2i, LAMMPS, steps of 5 fs",
    ]
    assert labels([a_run("a"), a_run("b")]) == ["raw, a", "raw, b"]
    assert labels([a_run("a", state="running")]) == ["raw (running)"]


def test_a_run_that_cannot_be_analysed_is_named():
    def analyse(run):
        if run.name == "bad":
            raise PetDriverError("it is empty")

    groups, notes = compare([a_run("bad"), a_run("good", grid="2i")], analyse)
    assert len(groups) == 1 and "bad: it is empty" in notes
    with pytest.raises(NothingToDraw, match="bad: it is empty"):
        compare([a_run("bad")], analyse)
    with pytest.raises(NothingToDraw):
        compare([], analyse)
