"""Draw the figures: time per atom, and the roofline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.speed.contenders import NAMES

COLORS = dict(zip(NAMES, ("#0072b2", "#56b4e9", "#d55e00", "#009e73", "#cc79a7"), strict=True))
Record = dict[str, Any]


def draw(values: Record, stem: Path) -> list[Path]:
    """Write the figures whose results are available, and return their paths."""
    paths = []
    for name, figure in (("speed", draw_speed), ("roofline", draw_roofline)):
        if values.get("speed"):
            path = stem.with_name(f"{stem.name}-{name}.svg")
            drawn = figure(values)
            drawn.savefig(path, bbox_inches="tight")
            plt.close(drawn)
            paths.append(path)
    return paths


def panels(
    values: Record, label: str, sharey: str, draw: Callable[[Axes, list[Record]], None]
) -> plt.Figure:
    """Draw one panel for each network and number of threads, over the number of atoms."""
    records = [r for r in values["speed"] if r["atoms"] > 3]
    networks = list(dict.fromkeys(r["network"] for r in records))
    threads = sorted({r["threads"] for r in records})
    size = (3.2 * len(networks), 2.8 * len(threads))
    figure, axes = plt.subplots(
        len(threads), len(networks), figsize=size, sharex=True, sharey=sharey, squeeze=False
    )
    for row, number in zip(axes, threads, strict=True):
        for axis, network in zip(row, networks, strict=True):
            draw(axis, [r for r in records if (r["network"], r["threads"]) == (network, number)])
            axis.set_title(f"{network}, {number} thread{'s' * (number > 1)}", fontsize=9)
        row[0].set_ylabel(label)
    finish(figure, axes)
    return figure


def draw_speed(values: Record) -> plt.Figure:
    """Draw the time per atom over the number of atoms."""

    def draw(axis: Axes, records: list[Record]) -> None:
        lines(axis, records, lambda r: 1e6 * r["seconds"] / r["atoms"])
        axis.set_yscale("log")

    return panels(values, "µs per atom", "col", draw)


def draw_roofline(values: Record) -> plt.Figure:
    """Draw the useful GFLOP/s, and the rate of a large matrix product as the limit."""

    def draw(axis: Axes, records: list[Record]) -> None:
        lines(axis, records, lambda r: r["operations"] / r["seconds"] / 1e9)
        roof = best_matmul_rate(values["speed"], records[0]["threads"]) / 1e9
        sizes = [r["atoms"] for r in records]
        axis.plot([min(sizes), max(sizes)], [roof, roof], "k--", label="matmul")
        axis.set_ylim(bottom=0)

    return panels(values, "GFLOP/s", "row", draw)


def best_matmul_rate(records: list[Record], threads: int) -> float:
    """Return the largest rate (operations per second) of the matrix products.

    The others were slowed down by other load on the machine.
    """
    return max(record["matmul_rate"] for record in records if record["threads"] == threads)


def lines(axis: Axes, records: list[Record], value: Any) -> None:
    """Draw one line for each contender over the number of atoms."""
    for name in NAMES:
        points = sorted((r["atoms"], value(r), r) for r in records if r["contender"] == name)
        if not points:
            continue
        sizes, heights, timed = zip(*points, strict=True)
        ranges = [r["half_interquartile_range"] for r in timed]
        errors = [height * part for height, part in zip(heights, ranges, strict=True)]
        axis.errorbar(
            sizes, heights, errors, marker="o", ms=4, lw=1.2, label=name, color=COLORS[name]
        )
    axis.set_xscale("log")


def finish(figure: plt.Figure, axes: Any) -> None:
    """Set the ticks at the sizes, and draw one legend for all panels."""
    sizes = sorted({x for axis in axes.flat for line in axis.lines for x in line.get_xdata()})
    for axis in axes.flat:
        axis.set_xticks(sizes, [str(int(size)) for size in sizes], fontsize=7)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel("atoms")
    entries: dict[str, Any] = {}
    for axis in axes.flat:
        handles, labels = axis.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=len(entries))
    figure.set_layout_engine("constrained")
