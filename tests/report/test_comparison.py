"""Groups of runs that are compared, and their titles and labels."""

from pathlib import Path

import pytest

from pet_driver.errors import PetDriverError
from pet_driver.report import _entries
from pet_driver.report.comparison import compare, grid_label, labels
from pet_driver.report.drawing import NothingToDraw, Number
from pet_driver.runs.record import Run, find_runs


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
def test_grid_labels(grid, label):
    assert grid_label(a_run(grid=grid)) == label


def test_runs_that_differ_only_in_the_grid_are_compared():
    averaged, raw = (
        a_run(
            name, grid=grid, provenance={"input file (SHA-256)": name, "weights (SHA-256)": "0123"}
        )
        for name, grid in (("b", "2i"), ("a", "0"))
    )
    groups, notes = compare([averaged, raw], lambda run: run.name)
    (group,) = groups
    assert group.title == "64 molecules, NVT, classical"
    assert [member.label for member in group.members] == ["raw", "averaged over 2i"]
    assert [member.result for member in group.members] == ["a", "b"]
    assert not notes


@pytest.mark.parametrize(
    "other",
    [
        {"system": "molecule", "n_atoms": 3},
        {"n_atoms": 1536},
        {"motion": "npt"},
        {"n_beads": 8},
        {"temperature": 350.0},
        {"provenance": {"weights (SHA-256)": "0123", "settings": "grid=2i structure=b.xyz"}},
        {"provenance": {"weights (SHA-256)": "another"}},
    ],
)
def test_runs_that_differ_otherwise_are_not_compared(other):
    groups, notes = compare([a_run("a"), a_run("b", grid="2i", **other)], lambda run: None)
    assert len({group.title for group in groups}) == 2
    assert len(notes) == 2 and "none with another grid" in notes[0]


def test_titles_distinguish_networks():
    def run(name, archive, weights):
        return a_run(name, provenance={"archive": archive, "weights (SHA-256)": weights})

    assert titles([run("a", "m.pt", "01"), run("b", "n.pt", "02")]) == [
        "64 molecules, NVT, classical, m.pt",
        "64 molecules, NVT, classical, n.pt",
    ]
    assert titles([run("a", "m.pt", "01"), run("b", "m.pt", "02")]) == [
        "64 molecules, NVT, classical, 01",
        "64 molecules, NVT, classical, 02",
    ]


def test_relaxations_of_several_structures_share_a_group():
    def run(name, settings):
        return a_run(name, motion="relaxation", provenance={"settings": settings})

    one, two, other = "structure=a.xyz (01)", "grid=2i structure=b c.xyz (02)", "force=0.01"
    assert len(titles([run("a", one), run("b", two)])) == 1
    assert titles([run("a", one), run("b", f"{two} {other}")])[1].endswith(", force=0.01")


def test_labels_have_one_style_in_all_panels():
    runs = [a_run("a"), a_run("b", grid="3i")]
    runs += [a_run(n, n_atoms=96, grid=g) for n, g in (("c", "0"), ("d", "2i"), ("e", "3i"))]
    runs += [a_run(n, n_atoms=96, grid=g) for n, g in (("f", "2"), ("g", "i"))]
    members = [member for group in compare(runs, lambda run: None)[0] for member in group.members]
    styles = {}
    for member in members:
        assert styles.setdefault(member.label, member.style) == member.style
    values = [tuple(style.values()) for style in styles.values()]
    assert len(set(values)) == len(values) == 5


def test_names_of_runs_in_different_folders_are_unique(tmp_path):
    for folder in ("molecule/raw", "liquid/raw", "other"):
        (tmp_path / folder).mkdir(parents=True)
        a_run(folder.split("/")[-1], folder=tmp_path / folder).write()
    names = [run.name for run in find_runs([tmp_path])]
    assert names == ["liquid/raw", "molecule/raw", "other"]


def test_numbers_of_one_name_are_all_kept():
    numbers = [Number("drift, raw", f"{k}", {"x": float(k)}) for k in range(3)]
    found = _entries(numbers)
    assert [found[f"drift, raw{end}"]["x"] for end in ("", " (2)", " (3)")] == [0.0, 1.0, 2.0]


def test_labels_contain_what_else_differs():
    lammps = a_run("b", engine="LAMMPS 2025", grid="2i", timestep=5.0)
    assert labels([a_run("a"), lammps]) == [
        "raw, i-PI, steps of 0.5 fs",
        "averaged over 2i, LAMMPS, steps of 5 fs",
    ]
    assert labels([a_run("a"), a_run("b")]) == ["raw, a", "raw, b"]
    assert labels([a_run("a", state="running")]) == ["raw (running)"]


def test_runs_that_cannot_be_analyzed_are_named():
    def analyze(run):
        if run.name == "bad":
            raise PetDriverError("it is empty")

    groups, notes = compare([a_run("bad"), a_run("good", grid="2i")], analyze)
    assert len(groups) == 1 and "bad: it is empty" in notes
    with pytest.raises(NothingToDraw, match="bad: it is empty"):
        compare([a_run("bad")], analyze)
    with pytest.raises(NothingToDraw):
        compare([], analyze)
