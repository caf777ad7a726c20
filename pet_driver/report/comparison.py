"""Groups of runs that are compared with each other, and their labels and colors.

Runs are compared if they differ only in the grid: the system and its size, the motion, the
temperature, the number of beads, the network and the settings of the input file are the same.
Engines and time steps may differ; the labels say so.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pet_driver.errors import PetDriverError
from pet_driver.report.drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    NothingToDraw,
)
from pet_driver.runs.record import Run
from pet_driver.symmetry.grid_names import NO_FRAMES, parse_grid_name

RAW, AVERAGED, RANDOM, EXACT = "raw", "averaged", "random", "exact"
# Colors by treatment, one for each label; different line styles show curves that coincide. With
# more labels than colors, the lines get thinner.
COLORS = {
    RAW: (VERMILION, ORANGE),
    AVERAGED: (BLUE, SKY),
    RANDOM: (PURPLE, GREY),
    EXACT: (GREEN, BLACK),
}
LINES = {RAW: "-", AVERAGED: "--", RANDOM: ":", EXACT: "-."}
WIDTH, THINNER = 1.2, 0.6  # line width in points, and its factor after each cycle of colors


@dataclass(frozen=True)
class LabelledRun:
    """A run in a figure, with the result of its analysis.

    Attributes:
        run: the run.
        label: its label in the legend.
        style: arguments of matplotlib for its line.
        result: what ``analyze`` of :func:`compare` returned.
    """

    run: Run
    label: str
    style: dict[str, Any]
    result: Any


@dataclass(frozen=True)
class Group:
    """Runs that differ only in the grid."""

    title: str
    members: list[LabelledRun]

    @property
    def n_beads(self) -> int:
        """Number of beads of every member."""
        return self.members[0].run.n_beads


def treatment(run: Run) -> str:
    """Return how a run treats the broken symmetry: RAW, AVERAGED, RANDOM or EXACT."""
    parsed = parse_grid_name(run.grid)
    if parsed.frames != NO_FRAMES:
        return EXACT
    if parsed.random:
        return RANDOM
    return RAW if run.grid == "0" else AVERAGED


def grid_label(run: Run) -> str:
    """Return the grid in words."""
    kind = treatment(run)
    if kind == RAW:
        return "raw"
    if kind == EXACT:
        return f"exactly symmetrized ({run.grid})"
    if kind == RANDOM:
        return f"random rotations ({run.grid})"
    return f"averaged over {run.grid}"


def compare(
    runs: Iterable[Run], analyze: Callable[[Run], Any], needs_partner: bool = True
) -> tuple[list[Group], list[str]]:
    """Analyze runs and group those that can be compared.

    Args:
        runs: the runs.
        analyze: function that is called with each run.
        needs_partner: whether to add a note about each group of a single run.

    Returns:
        The groups, and notes about runs that could not be analyzed, warnings about their files,
        and groups of a single run.

    Raises:
        NothingToDraw: no run could be analyzed; the message says why.
    """
    members: dict[tuple, list[tuple[Run, Any]]] = {}
    notes: list[str] = []
    for run in runs:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                members.setdefault(_key(run), []).append((run, analyze(run)))
            except PetDriverError as error:
                notes.append(f"{run.name}: {error}")
        # keep only the warnings about files of this run
        notes += [
            str(w.message)
            for w in caught
            if str(run.folder) in str(w.message) and not issubclass(w.category, ResourceWarning)
        ]
    analyzed = [entries for entries in members.values() if entries]
    if not analyzed:
        raise NothingToDraw("; ".join(notes))
    groups = _groups(analyzed)
    if needs_partner:
        notes += [
            f"{group.title}: there is only the run {group.members[0].label} and none with another "
            "grid to compare with"
            for group in groups
            if len(group.members) == 1
        ]
    return groups, list(dict.fromkeys(notes))


def _key(run: Run) -> tuple:
    what = run.system, run.n_atoms, run.motion, run.n_beads
    return *what, run.temperature, weights_checksum(run), changed_settings(run)


def weights_checksum(run: Run) -> str:
    """Return the checksum of the network from the run's provenance, "" without one."""
    return next((v for key, v in run.provenance.items() if key.startswith("weights")), "")


def changed_settings(run: Run) -> str:
    """Return the settings that were changed in the input file, without those shown elsewhere.

    The structures of relaxations are left out, because their figure matches them itself.
    """
    elsewhere = {"grid", "seed", "temperature"} | ({"structure"} if run.ends_itself else set())
    changed = re.findall(r"(\w+)=(.*?)(?= \w+=|$)", run.provenance.get("settings", ""))
    return " ".join(f"{key}={value}" for key, value in changed if key not in elsewhere)


def _groups(members: list[list[tuple[Run, Any]]]) -> list[Group]:
    order = list(COLORS)
    for entries in members:
        entries.sort(key=lambda m: (order.index(treatment(m[0])), m[0].grid, m[0].name))
    labelled = [labels([run for run, _ in entries]) for entries in members]
    styles = _styles(
        (label, run)
        for names, entries in zip(labelled, members, strict=True)
        for label, (run, _) in zip(names, entries, strict=True)
    )
    groups = []
    titles = _titles([entries[0][0] for entries in members])
    for title, entries, names in zip(titles, members, labelled, strict=True):
        pairs = zip(entries, names, strict=True)
        runs = [LabelledRun(run, label, styles[label], result) for (run, result), label in pairs]
        groups.append(Group(title, runs))
    return groups


def _titles(runs: Sequence[Run]) -> list[str]:
    """Return the titles of groups, given one run of each; equal titles get distinguishing parts."""
    titles = [describe(run) for run in runs]
    parts = (_temperature, changed_settings, _archive, weights_checksum, lambda run: run.name)
    for part in parts:
        for title in {title for title in titles if titles.count(title) > 1}:
            same = [k for k, other in enumerate(titles) if other == title]
            if len({part(runs[k]) for k in same}) > 1:
                for k in same:
                    titles[k] = f"{title}, {part(runs[k])}" if part(runs[k]) else title
    return titles


def _temperature(run: Run) -> str:
    return "" if run.temperature is None else f"{run.temperature:g} K"


def _archive(run: Run) -> str:
    return run.provenance.get("archive", "")


def describe(run: Run) -> str:
    """Return the system and the motion, which all runs of a group have in common."""
    if run.system == "molecule":
        system = "one molecule"
    else:
        is_water = run.n_atoms % 3 == 0
        system = f"{run.n_atoms // 3} molecules" if is_water else f"{run.n_atoms} atoms"
    if run.motion in ("relaxation", "replay"):
        return f"{system}, {run.motion}"
    nuclei = "classical" if run.n_beads == 1 else f"{run.n_beads} beads"
    return f"{system}, {run.motion.upper()}, {nuclei}"


def labels(runs: Sequence[Run]) -> list[str]:
    """Return a label for each run: the grid, and what else distinguishes it from the others."""
    differing_engines = len({run.engine.split()[0] for run in runs}) > 1
    differing_steps = len({run.timestep for run in runs}) > 1
    texts = []
    for run in runs:
        parts = [grid_label(run)]
        if differing_engines:
            parts.append(run.engine.split()[0])
        if differing_steps:
            parts.append(f"steps of {run.timestep:g} fs")
        texts.append(", ".join(parts))
    texts = [
        f"{label}, {run.name}" if texts.count(label) > 1 else label
        for label, run in zip(texts, runs, strict=True)
    ]
    return [label + state_note(run) for label, run in zip(texts, runs, strict=True)]


def state_note(run: Run) -> str:
    """Return the suffix for the name of an unfinished run, such as " (running)"."""
    return "" if run.state == "finished" else f" ({run.state})"


def _styles(labelled: Iterable[tuple[str, Run]]) -> dict[str, dict[str, Any]]:
    """Return the line style of each label, the same in all panels of a figure."""
    seen: dict[str, int] = {}
    styles: dict[str, dict[str, Any]] = {}
    for label, run in labelled:
        if label in styles:
            continue
        kind = treatment(run)
        number = seen.get(kind, 0)
        seen[kind] = number + 1
        cycle, index = divmod(number, len(COLORS[kind]))
        styles[label] = {
            "color": COLORS[kind][index],
            "ls": LINES[kind],
            "lw": WIDTH * THINNER**cycle,
        }
    return styles
