"""The file of results as a table and figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed import figures
from benchmarks.speed.contenders import OURS, OWN

Record = dict[str, Any]


def write(results: Path) -> list[Path]:
    """Write ``<name>.md`` and the figures beside ``<name>.json``; the paths of all."""
    values = json.loads(results.read_text())
    page = results.with_suffix(".md")
    page.write_text(tables(values))
    return [results, page, *figures.draw(values, results.with_suffix(""))]


def tables(values: Record) -> str:
    """All parts, each with the day on which it was measured: they may be measured apart."""
    sections = [head(values)]
    for part, section in SECTIONS.items():
        if values.get(part):
            title, rest = section(values[part]).split("\n\n", 1)
            day = values.get("plans", {}).get(part, {}).get("date", "an unknown day")
            sections += [title, f"Measured on {day}.", rest]
    sections.append(foot(values))
    return "\n\n".join(sections) + "\n"


def head(values: Record) -> str:
    machine = values["machine"]
    device = "" if machine["device"] == "cpu" else f", {machine['device']}"
    return (
        f"# Speed on {machine['processor']}, {machine['cores']} cores{device}\n\n"
        f"{machine['memory_gb']} GB, {machine['system']}, Python "
        f"{machine['python']}. Energy, forces and virial in float32, from positions; each of "
        "them is new to those who evaluate it, and a small step from the one before, as in "
        "molecular dynamics. pet-driver and pet-jax keep a list of neighbours over such steps; "
        "a new search, due every some twenty steps of a run, is not among what is timed. "
        "Medians of evaluations in turn, ± half the distance of the quartiles; in brackets the "
        "processor time of all threads, which other work on the machine disturbs less. "
        "A ratio below 1 says that pet-driver takes less."
    )


def speed(records: list[Record]) -> str:
    names = contenders(records)
    peers = [name for name in names if name not in OWN]
    header = ["network", "atoms", "threads", *names, "to the fastest peer", "load"]
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
        "Floating-point operations counted from the network and the edges, forward and backward, "
        "without padding, over the time, as part of the best rate at which torch worked off a "
        "large square product of matrices in turn with them. More than 100 % says that torch's "
        "library does not reach what the processor could."
    )
    return f"## Part of the matmul rate\n\n{note}\n\n" + markdown(header, rows)


def scaling(records: list[Record]) -> str:
    header = ["network", "threads", "contender", "atoms", "µs an atom", "to the smallest box"]
    rows = []
    for known, group in grouped(records, "network", "threads", "contender"):
        boxes = sorted((r for r in group if r["atoms"] > 3), key=lambda r: r["atoms"])
        costs = [r["seconds"] / r["atoms"] for r in boxes]
        for record, cost in zip(boxes, costs, strict=True):
            relative = f"{cost / costs[0]:.2f}"
            rows.append([*known, record["atoms"], f"{1e6 * cost:.0f}", relative])
    return "## Cost by size\n\n" + markdown(header, rows)


def accuracy(records: list[Record]) -> str:
    header = ["network", "atoms", "contender", "energy, meV/atom", "force, meV/A", "virial, meV"]
    rows = []
    for known, group in grouped(records, "network", "atoms", "contender"):
        record = group[0]
        errors = [record[f"{what}_error"] for what in ("energy", "force", "virial")]
        rows.append([*known, *(f"{error:.2g}" for error in errors)])
    return "## Largest error against float64\n\n" + markdown(header, rows)


def memory(records: list[Record]) -> str:
    names = contenders(records)
    header = ["network", "atoms", "threads", *names, "to the leanest peer"]
    rows = []
    for known, group in grouped(records, "network", "atoms", "threads"):
        peaks = {record["contender"]: record["peak"] for record in group}
        loaded = {record["contender"]: record["loaded"] for record in group}
        leanest = min((peak for name, peak in peaks.items() if name not in OWN), default=None)
        before = {n: f" ({value:.0f})" if value is not None else "" for n, value in loaded.items()}
        cells = [f"{peaks[n]:.0f}{before[n]}" if n in peaks else "-" for n in names]
        rows.append([*known, *cells, f"**{peaks[OURS] / leanest:.2f}**" if leanest else "-"])
    note = "A process of its own for each; in brackets before the first evaluation."
    return f"## Peak memory (MB)\n\n{note}\n\n" + markdown(header, rows)


def batches(records: list[Record]) -> str:
    header = ["network", "atoms", "copies", "threads", "contender", "one call", "calls", "gain"]
    rows = [
        [r["network"], r["atoms"], r["copies"], r["threads"], r["contender"]]
        + [milliseconds(r["one_call"]), milliseconds(r["calls"]), f"**{r['gain']:.2f}**"]
        for r in records
    ]
    return "## Copies in one call against a call each (ms)\n\n" + markdown(header, rows)


def rotations(records: list[Record]) -> str:
    header = ["network", "atoms", "threads", "grid", "way", "ms", "to pet-driver"]
    header += ["force error, meV/A"]
    rows = [
        [r["network"], r["atoms"], r["threads"], r["grid"], way(r), milliseconds(r)]
        + [f"{r['ratio']:.2f}", f"{r['force_error']:.2g}"]
        for r in records
    ]
    return "## Averages over rotations in Python\n\n" + markdown(header, rows)


RUNS = "Medians over all steps; ± half the range of the medians of runs, where there were several."


def over_runs(record: Record) -> str:
    return f" ± {100 * record['spread']:.0f} %" if record["rounds"] > 1 else ""


def way(record: Record) -> str:
    return str(record["way"])


def ipi(records: list[Record]) -> str:
    header = ["atoms", "beads", "grid", "threads", "way", "ms a step", "of processor time"]
    header += ["in the driver"]
    header += ["not the network", "to pet-driver", "energy error, meV/atom"]
    header += ["force error, meV/A"]
    rows = []
    for r in records:
        outside = (
            f"**{100 * r['not_network']:.1f} %**" if r["not_network"] == r["not_network"] else "-"
        )
        rows.append(
            [r["atoms"], r["beads"], r["grid"], r["threads"], way(r)]
            + [f"{1e3 * r['seconds']:.2f}{over_runs(r)}"]
            + [f"{1e3 * r['processor_seconds']:.2f}"]
            + [f"{1e3 * r['driver_seconds']:.2f}", outside, f"{r['ratio']:.2f}"]
            + [f"{r['energy_error']:.2g}", f"{r['force_error']:.2g}"]
        )
    return f"## Steps of i-PI, the driver in its own process\n\n{RUNS}\n\n" + markdown(header, rows)


def lammps(records: list[Record]) -> str:
    header = ["network", "atoms", "threads", "Pair, ms", "archive alone, ms", "ratio"]
    header += ["of processor times"]
    header += ["energy error, meV/atom", "force error, meV/A"]
    rows = [
        [r["network"], r["atoms"], r["threads"]]
        + [f"{1e3 * r['pair_seconds']:.1f}{over_runs(r)}"]
        + [f"{1e3 * r['archive_seconds']:.1f}", f"**{r['ratio']:.2f}**"]
        + [f"{r['processor_ratio']:.2f}"]
        + [f"{r['energy_error']:.2g}", f"{r['force_error']:.2g}"]
        for r in records
    ]
    return f"## LAMMPS, `pair_style pet`\n\n{RUNS}\n\n" + markdown(header, rows)


def foot(values: Record) -> str:
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
    """In the order in which they come."""
    return list(dict.fromkeys(record["contender"] for record in records))


def grouped(records: list[Record], *keys: str) -> list[tuple[Sequence[Any], list[Record]]]:
    """Records with the same values of some keys, in the order in which they come."""
    groups: dict[tuple, list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(record[key] for key in keys), []).append(record)
    return list(groups.items())


def milliseconds(record: Record | None) -> str:
    if record is None:
        return "-"
    seconds, spread, used = (record[k] for k in ("seconds", "spread", "processor_seconds"))
    digits = 1 if seconds < 1 else 0
    return f"{1e3 * seconds:.{digits}f} ± {100 * spread:.0f} % ({1e3 * used:.{digits}f})"


def markdown(header: list[str], rows: list[list[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
