"""What a figure function hands over, and the looks that all figures share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pet_driver.errors import PetDriverError

# Colours of Okabe and Ito, which people with any colour vision tell apart.
ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = (
    "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
GREY, BLACK = "0.55", "0.0"

STYLE = {
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 9.0,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.0,
    "savefig.dpi": 200,
    "svg.fonttype": "none",  # text stays text
    "pdf.fonttype": 42,
}

POINTS = 2000  # of a line; more cannot be seen, and make large files


class NothingToDraw(PetDriverError):
    """No run serves a figure."""


@dataclass(frozen=True)
class Number:
    """A result in words and as values, whose names end in their unit."""

    what: str
    text: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Drawing:
    """A figure with its caption and the numbers it shows.

    Attributes:
        name: of its files.
        title: above it on the page.
        caption: below it.
        figure: itself.
        numbers: results.
        header: of ``rows``.
        rows: a table.
        notes: what could not be shown, and why.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    numbers: list[Number]
    header: Sequence[str] = ()
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def panels(
    n_panels: int, width: float = 3.4, height: float = 2.8, columns: int = 3, **options: object
) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels in rows of at most ``columns``; width and height are a panel's."""
    columns = min(columns, n_panels)
    rows = math.ceil(n_panels / columns)
    figure = Figure(figsize=(width * columns + 0.4, height * rows + 0.2), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **options).ravel())
    for axis in axes[n_panels:]:
        axis.remove()
    return figure, axes[:n_panels]


def thinned(*series: np.ndarray) -> list[np.ndarray]:
    """Evenly spaced points of equally long series, at most ``POINTS``."""
    step = max(1, math.ceil(len(series[0]) / POINTS))
    return [values[::step] for values in series]


def band(axis: Axes, x: np.ndarray, y: np.ndarray, error: np.ndarray, **style: object) -> None:
    """A line with its standard error around it."""
    (line,) = axis.plot(x, y, **style)
    axis.fill_between(x, y - error, y + error, alpha=0.25, color=line.get_color(), lw=0)


def binned(
    x: np.ndarray, y: np.ndarray, bins: int = 150
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of x and of y, and the standard deviation of y, over so many consecutive stretches.

    A series of fewer than four points a stretch stays as it is, with zero deviation.
    """
    if len(x) < 4 * bins:
        return x, y, np.zeros(len(y))
    x, y = (np.array_split(values, bins) for values in (x, y))
    return (
        np.array([part.mean() for part in x]),
        np.array([part.mean() for part in y]),
        np.array([part.std() for part in y]),
    )


def legend_below(figure: Figure) -> None:
    """One legend for all panels, each label once, where it covers nothing."""
    entries: dict[str, Artist] = {}
    for axis in figure.axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    columns = max(1, int(figure.get_figwidth() // 2.2))
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns)


def plus_minus(value: float, error: float, digits: int = 2) -> str:
    """``0.23 ± 0.02``: as many decimals as the error has, or ``digits`` where it has none."""
    if not np.isfinite(error) or error <= 0.0:
        return f"{value:.{digits}f}"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"
