"""Write the results as Markdown tables and figures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed import figures
from benchmarks.speed.contenders import OURS, OWN

Record = dict[str, Any]


def write(results: Path) -> list[Path]:
    """Write ``<name>.md`` and the figures next to ``<name>.json``; return all paths."""
    values = json.loads(results.read_text())
    page = results.with_suffix(".md")
    page.write_text(tables(values))
    return [results, page, *figures.draw(values, results.with_suffix(""))]


def tables(values: Record) -> str:
    """Return the page with all parts, each with the date of its measurement."""
    sections = [head(values)]
    for part, section in SECTIONS.items():
        if values.get(part):
            title, rest = section(values[part]).split("\n\n", 1)
            day = values.get("plans", {}).get(part, {}).get("date", "an unknown date")
            sections += [title, f"Measured on {day}.", rest]
    sections.append(foot(values))
    return "\n\n".join(sections) + "\n"


def head(values: Record) -> str:
    """Return the title, the machine, and how to read the tables."""
    machine = values["machine"]
    device = "" if machine["device"] == "cpu" else f", {machine['device']}"
    return (
        f"# Speed on {machine['processor']}, {machine['cores']} cores{device}\n\n"
        f"{machine['memory_gb']} GB, {machine['system']}, Python "
        f"{machine['python']}. Energy, forces and virial in float32, from positions. Every "
        "structure is new to the contenders and differs from the one before by small "
        "displacements, as in molecular dynamics. pet-driver and pet-jax keep a neighbour list "
        "over such steps; its update, about every twenty steps of a run, is not timed. The "
        "contenders evaluate the structures in turn. Times are medians ± half the interquartile "
        "range; in brackets the processor time of all threads, which depends less on other load "
        "on the machine. Ratios to a peer are the value of pet-driver divided by that of the peer: "
        "below 1, pet-driver is better. Ratios to pet-driver are the time of a method divided by "
        "that of pet-driver: above 1, pet-driver is faster."
    )


def speed(records: list[Record]) -> str:
    """Return the times in Python, and what follows from them."""
    names = contenders(records)
    peers = [name for name in names if name not in OWN]
    header = ["network", "atoms", "threads", *names, "ratio to fastest peer", "load"]
    rows = []
    for known, group in grouped(records, "network", "atoms", "threads"):
        by_name = {record["contender"]: record for record in group}
        times = [milliseconds(by_name.get(name)) for name in names]
        fastest = min((by_name[p]["seconds"] for p in peers if p in by_name), default=None)
        ratio = f"**{by_name[OURS]['seconds'] / fastest:.2f}**" if fastest else "-"
        rows.append([*known, *times, ratio, f"{group[0]['load']:.1f}"])
    text = "## Energy, forces and virial in Python (ms)\n\n" + markdown(header, rows)
    return "\n\n".join([text, roofline(records), scaling(records), accuracy(records)])


def roofline(records: list[Record]) -> str:
    """Return the rates of the contenders as fractions of the rate of a matrix product."""
    names = contenders(records)
    header = ["network", "atoms", "threads", "GFLOP", "matmul, GFLOP/s", *names]
    rows = []
    for known, group in grouped(records, "network", "atoms", "threads"):
        by_name = {record["contender"]: record for record in group}
        first = group[0]
        roof = figures.best_matmul_rate(records, first["threads"])
        rates = {name: one["operations"] / one["seconds"] for name, one in by_name.items()}
        parts = [rates[n] / roof if n in rates else None for n in names]
        numbers = [f"{first['operations'] / 1e9:.2f}", f"{roof / 1e9:.0f}"]
        rows.append([*known, *numbers, *(f"{100 * p:.0f} %" if p else "-" for p in parts)])
    note = (
        "Floating-point operations that the network needs, forward and backward and without "
        "padding, divided by the time; as a fraction of the best rate of torch for the product of "
        "two large square matrices, measured in turn with the contenders. Above 100 %, torch does "
        "not reach the limit of the processor."
    )
    return f"## Fraction of the rate of a matrix product\n\n{note}\n\n" + markdown(header, rows)


def scaling(records: list[Record]) -> str:
    """Return the time per atom for every size."""
    header = ["network", "threads", "contender", "atoms", "µs per atom", "ratio to smallest box"]
    rows = []
    for known, group in grouped(records, "network", "threads", "contender"):
        boxes = sorted((r for r in group if r["atoms"] > 3), key=lambda r: r["atoms"])
        costs = [r["seconds"] / r["atoms"] for r in boxes]
        for record, cost in zip(boxes, costs, strict=True):
            relative = f"{cost / costs[0]:.2f}"
            rows.append([*known, record["atoms"], f"{1e6 * cost:.0f}", relative])
    return "## Time per atom\n\n" + markdown(header, rows)


def accuracy(records: list[Record]) -> str:
    """Return the errors of the contenders."""
    header = ["network", "atoms", "contender", "energy, meV/atom", "force, meV/A", "virial, meV"]
    rows = []
    for known, group in grouped(records, "network", "atoms", "contender"):
        record = group[0]
        errors = [record[f"{what}_error"] for what in ("energy", "force", "virial")]
        rows.append([*known, *(f"{error:.2g}" for error in errors)])
    return "## Largest error against float64\n\n" + markdown(header, rows)


def memory(records: list[Record]) -> str:
    """Return the peak memory."""
    names = contenders(records)
    header = ["network", "atoms", "threads", *names, "ratio to smallest peer"]
    rows = []
    for known, group in grouped(records, "network", "atoms", "threads"):
        peaks = {record["contender"]: record["peak"] for record in group}
        loaded = {record["contender"]: record["loaded"] for record in group}
        smallest = min((peak for name, peak in peaks.items() if name not in OWN), default=None)
        before = {n: f" ({value:.0f})" if value is not None else "" for n, value in loaded.items()}
        cells = [f"{peaks[n]:.0f}{before[n]}" if n in peaks else "-" for n in names]
        rows.append([*known, *cells, f"**{peaks[OURS] / smallest:.2f}**" if smallest else "-"])
    note = "Each in a new process; in brackets before the first evaluation."
    return f"## Peak memory (MB)\n\n{note}\n\n" + markdown(header, rows)


def batches(records: list[Record]) -> str:
    """Return the times of a batch in one call and in separate calls."""
    header = ["network", "atoms", "copies", "threads", "contender", "one call", "separate calls"]
    header += ["speedup"]
    rows = [
        [r["network"], r["atoms"], r["copies"], r["threads"], r["contender"]]
        + [milliseconds(r["one_call"]), milliseconds(r["calls"]), f"**{r['speedup']:.2f}**"]
        for r in records
    ]
    return "## Batch in one call against separate calls (ms)\n\n" + markdown(header, rows)


def rotations(records: list[Record]) -> str:
    """Return the times of rotational averages."""
    header = ["network", "atoms", "threads", "grid", "method", "ms", "ratio to pet-driver"]
    header += ["force error, meV/A"]
    rows = [
        [r["network"], r["atoms"], r["threads"], r["grid"], r["method"], milliseconds(r)]
        + [f"{r['ratio']:.2f}", f"{r['force_error']:.2g}"]
        for r in records
    ]
    return "## Rotational averages in Python\n\n" + markdown(header, rows)


RUNS = "Medians over all steps; if there were several runs, ± half the range of their medians."


def uncertainty(record: Record) -> str:
    """Return half the range over the runs, if there were several."""
    return f" ± {100 * record['half_range']:.0f} %" if record["rounds"] > 1 else ""


def ipi(records: list[Record]) -> str:
    """Return the times of steps of i-PI."""
    header = ["atoms", "beads", "grid", "threads", "method", "ms per step", "processor ms"]
    header += ["ms in the driver", "outside the network", "ratio to pet-driver"]
    header += ["energy error, meV/atom", "force error, meV/A"]
    rows = []
    for r in records:
        outside = (
            "-" if math.isnan(r["outside_network"]) else f"**{100 * r['outside_network']:.1f} %**"
        )
        rows.append(
            [r["atoms"], r["beads"], r["grid"], r["threads"], r["method"]]
            + [f"{1e3 * r['seconds']:.2f}{uncertainty(r)}"]
            + [f"{1e3 * r['processor_seconds']:.2f}"]
            + [f"{1e3 * r['driver_seconds']:.2f}", outside, f"{r['ratio']:.2f}"]
            + [f"{r['energy_error']:.2g}", f"{r['force_error']:.2g}"]
        )
    return f"## Steps of i-PI, the driver in the i-PI process\n\n{RUNS}\n\n" + markdown(
        header, rows
    )


def lammps(records: list[Record]) -> str:
    """Return the times of LAMMPS."""
    header = ["network", "atoms", "threads", "Pair, ms", "network alone, ms", "ratio"]
    header += ["ratio of processor times"]
    header += ["energy error, meV/atom", "force error, meV/A"]
    rows = [
        [r["network"], r["atoms"], r["threads"]]
        + [f"{1e3 * r['pair_seconds']:.1f}{uncertainty(r)}"]
        + [f"{1e3 * r['archive_seconds']:.1f}", f"**{r['ratio']:.2f}**"]
        + [f"{r['processor_ratio']:.2f}"]
        + [f"{r['energy_error']:.2g}", f"{r['force_error']:.2g}"]
        for r in records
    ]
    return f"## LAMMPS, `pair_style pet`\n\n{RUNS}\n\n" + markdown(header, rows)


def foot(values: Record) -> str:
    """Return the versions, and what was left out."""
    packages = {k: v for versions in values["versions"].values() for k, v in versions.items()}
    text = "## Versions\n\n" + ", ".join(f"{k} {v}" for k, v in sorted(packages.items()))
    if values["left_out"]:
        reasons = [f"- {what}: {why}" for what, why in values["left_out"].items()]
        text += "\n\n## Left out\n\n" + "\n".join(reasons)
    return text


SECTIONS: dict[str, Callable[[list[Record]], str]] = {
    "speed": speed,
    "batches": batches,
    "rotations": rotations,
    "ipi": ipi,
    "lammps": lammps,
    "memory": memory,
}


def contenders(records: Iterable[Record]) -> list[str]:
    """Return the names of the contenders in the order of the records."""
    return list(dict.fromkeys(record["contender"] for record in records))


def grouped(records: list[Record], *keys: str) -> list[tuple[Sequence[Any], list[Record]]]:
    """Group the records by the values of some keys, in the order of the records."""
    groups: dict[tuple, list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(record[key] for key in keys), []).append(record)
    return list(groups.items())


def milliseconds(record: Record | None) -> str:
    """Return the wall-clock time, its half interquartile range and the processor time, in ms."""
    if record is None:
        return "-"
    seconds, processor = record["seconds"], record["processor_seconds"]
    half_range = 100 * record["half_interquartile_range"]
    digits = 1 if seconds < 1 else 0
    return f"{1e3 * seconds:.{digits}f} ± {half_range:.0f} % ({1e3 * processor:.{digits}f})"


def markdown(header: list[str], rows: list[list[Any]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
