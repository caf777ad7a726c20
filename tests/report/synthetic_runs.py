"""Synthetic runs with known results, in the file formats of i-PI and LAMMPS."""

from pathlib import Path

import numpy as np

from pet_driver.runs.record import Run

STEP = 2.0  # fs, time step of all runs
SPEED = 100.0  # 1 A/ps in m/s
LATTICE = 3.0 * np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)


def molecules(oxygens: np.ndarray, directions: np.ndarray, plane: np.ndarray) -> np.ndarray:
    """Return positions [..., M, 3, 3] of O H H.

    Args:
        oxygens: positions of the oxygens [..., M, 3].
        directions: directions of the dipoles.
        plane: directions perpendicular to the H-H axis.
    """
    u = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    side = np.cross(u, plane)
    side /= np.linalg.norm(side, axis=-1, keepdims=True)
    return np.stack([oxygens, oxygens + 0.6 * u + 0.75 * side, oxygens + 0.6 * u - 0.75 * side], -2)


def write_frames(
    path: Path, frames: np.ndarray, box: float, what: str = "positions{angstrom}", stride: int = 1
) -> None:
    """Write values [F, N, 3] of molecules O H H in a cubic cell, in i-PI's format xyz."""
    names = "OHH" * (frames.shape[1] // 3)
    lines = []
    for index, frame in enumerate(frames):
        lines.append(str(len(frame)))
        lines.append(
            f"# CELL(abcABC): {box} {box} {box} 90.0 90.0 90.0  Step: {index * stride}  Bead: 0 "
            f"{what} cell{{angstrom}}"
        )
        lines += [f"{n} {x:.7f} {y:.7f} {z:.7f}" for n, (x, y, z) in zip(names, frame, strict=True)]
    path.write_text("\n".join(lines) + "\n")


def write_table(path: Path, stride: int, **columns: np.ndarray) -> None:
    """Write a property file; the columns are energies in eV, or a temperature in K."""
    n_rows = len(next(iter(columns.values())))
    steps = np.arange(n_rows) * stride
    heads = ["step", "time{picosecond}"]
    units = {"temperature": "kelvin"}
    heads += [f"{name}{{{units.get(name, 'electronvolt')}}}" for name in columns]
    table = np.column_stack([steps, steps * STEP * 1e-3, *columns.values()])
    with open(path, "w") as file:
        for index, head in enumerate(heads):
            file.write(f"# column {index + 1} --> {head} : made.\n")
        np.savetxt(file, table, fmt="%.10e")


def write_extras(path: Path, raw: np.ndarray, stride: int = 1) -> None:
    """Write a file of extras with raw energies (eV)."""
    with open(path, "w") as file:
        for index, value in enumerate(raw):
            file.write(f" #EXTRAS(raw_energy_ev,rotation_std_ev)# Step: {index * stride:11d} \n")
            file.write(f" {value:.10e} 0.0\n")


def record(folder: Path, **entries) -> Run:
    """Write a run.json, with defaults for the entries that are not given."""
    folder.mkdir(parents=True, exist_ok=True)
    defaults = {
        "name": folder.name,
        "system": "bulk",
        "motion": "nvt",
        "grid": "0",
        "engine": "i-PI 3.3.1",
        "n_beads": 1,
        "timestep": STEP,
        "positions": ["made.pos_0.xyz"],
        "properties": "made.out",
        "provenance": {"weights (SHA-256)": "0123", "input file": "made"},
        "command": "i-pi made.xml",
    }
    run = Run(**(defaults | entries), folder=folder)
    run.write()
    return run


def spinning_molecule(folder: Path, grid: str, drift: float) -> Run:
    """Write a run of a molecule that rotates about z.

    Its angular momentum grows by a fraction ``drift`` per ps.
    """
    frames = 101
    time = np.arange(frames) * STEP * 1e-3
    rate = 20.0 * (1.0 + drift * time)  # rad/ps
    angle = 20.0 * (time + 0.5 * drift * time**2)
    u = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    x = molecules(np.zeros((frames, 3)), u, np.array([0.0, 0.0, 1.0]))
    x -= np.average(x, axis=1, weights=(15.9994, 1.00794, 1.00794))[:, None]
    v = np.cross(np.array([0.0, 0.0, 1.0]), x) * rate[:, None, None]
    folder.mkdir(parents=True)
    write_frames(folder / "made.pos_0.xyz", x + 25.0, 50.0)
    write_frames(folder / "made.vel_0.xyz", v * SPEED, 50.0, "velocities{m/s}")
    write_table(folder / "made.out", 1, conserved=1e-4 * time, potential=0.1 * np.cos(50 * time))
    return record(
        folder, system="molecule", motion="nve", grid=grid, n_atoms=3, steps=frames - 1,
        velocities=["made.vel_0.xyz"],
    )  # fmt: skip


def oscillating_energies(folder: Path, slow: float, fast: float, delta: bool) -> Run:
    """Write a run with energies only.

    The potential energy oscillates at ``fast`` cm^-1 with 0.2 eV, the symmetry error at ``slow``
    cm^-1 with 3 meV. The run is averaged, with raw energies among the extras, or (``delta``) raw,
    with both energies in the property file.
    """
    frames = 4000
    phase = 2 * np.pi * 0.0299792458 * np.arange(frames) * STEP * 1e-3  # ps x (1/ps in 1/cm)
    potential, error = 0.2 * np.sin(fast * phase), 3e-3 * np.sin(slow * phase)
    folder.mkdir(parents=True)
    columns = {"conserved": 0 * potential, "potential": potential}
    if delta:
        columns |= {"pot_component_raw(0)": potential, "pot_component_raw(1)": potential - error}
    else:
        write_extras(folder / "made.rotations_0", potential + error)
    write_table(folder / "made.out", 1, **columns)
    return record(
        folder, system="molecule", motion="nvt", grid="0" if delta else "2i", n_atoms=3,
        steps=frames - 1, rotations=[] if delta else ["made.rotations_0"], positions=[],
    )  # fmt: skip


def tumbling_molecule(folder: Path, grid: str, bias: float, frames: int = 4000) -> Run:
    """Write a run of a molecule whose directions have the density 1 + bias cos(theta)."""
    rng = np.random.default_rng(3)
    # the inverse of the cumulative distribution, z + bias z^2 / 2 on (-1, 1)
    share = rng.uniform(size=frames)
    z = 2 * share - 1
    if bias:
        z = (np.sqrt(1 - bias * (2 - bias - 4 * share)) - 1) / bias
    phi = rng.uniform(0, 2 * np.pi, frames)
    planar = np.sqrt(1 - z**2)
    u = np.stack([planar * np.cos(phi), planar * np.sin(phi), z], axis=-1)
    x = molecules(np.full((frames, 3), 25.0), u, rng.normal(size=(frames, 3)))
    folder.mkdir(parents=True)
    write_frames(folder / "made.pos_0.xyz", x, 50.0)
    write_table(folder / "made.out", 1, conserved=np.zeros(frames), potential=np.zeros(frames))
    return record(folder, system="molecule", grid=grid, n_atoms=3, steps=frames - 1)


def diffusing_liquid(
    folder: Path,
    grid: str,
    diffusion: float,
    n_beads: int = 1,
    frames: int = 250,
    lammps: bool = False,
) -> Run:
    """Write a run of 27 molecules that diffuse around a cubic lattice and rotate about z.

    The lattice constant is 3 A, the diffusion coefficient is in A^2/ps, one rotation takes 4 ps,
    and dipoles have random initial directions. A frame is written every 10 steps of 2 fs.
    """
    rng = np.random.default_rng(5)
    box, interval = 9.0, 0.02
    steps = rng.normal(0.0, np.sqrt(2 * diffusion * interval), (frames, 27, 3))
    oxygens = LATTICE + np.cumsum(steps, axis=0)
    u0, plane0 = rng.normal(size=(2, 27, 3))
    angle = 2 * np.pi * np.arange(frames) * interval / 4.0
    rotation = np.zeros((frames, 3, 3))
    rotation[:, 0, 0] = rotation[:, 1, 1] = np.cos(angle)
    rotation[:, 0, 1], rotation[:, 1, 0] = -np.sin(angle), np.sin(angle)
    rotation[:, 2, 2] = 1.0
    u, plane = (np.einsum("fab,mb->fma", rotation, v) for v in (u0, plane0))
    x = molecules(oxygens, u, plane).reshape(frames, -1, 3)
    folder.mkdir(parents=True)
    energy = -1.0 + 0.01 * rng.normal(size=frames)
    common = {"grid": grid, "n_atoms": 81, "n_beads": n_beads, "steps": 10 * (frames - 1)}
    if lammps:
        write_dump(folder / "made.lammpstrj", x, box)
        write_log(folder / "log.lammps", energy)
        files = {"positions": ["made.lammpstrj"], "properties": "log.lammps"}
        return record(folder, engine="LAMMPS 2025", **common, **files)
    names = [f"made.pos_{bead}.xyz" for bead in range(n_beads)]
    for name in names:
        write_frames(folder / name, x, box, stride=10)
    zeros = np.zeros(frames)
    columns = {"conserved": zeros, "potential": energy, "temperature": zeros + 300.0}
    write_table(folder / "made.out", 10, **columns)
    return record(folder, positions=names, **common)


def write_dump(path: Path, frames: np.ndarray, box: float) -> None:
    """Write a dump of LAMMPS, one frame every 10 steps."""
    with open(path, "w") as file:
        for index, frame in enumerate(frames):
            file.write(f"ITEM: TIMESTEP\n{10 * index}\nITEM: NUMBER OF ATOMS\n{len(frame)}\n")
            file.write("ITEM: BOX BOUNDS pp pp pp\n" + f"0.0 {box}\n" * 3)
            file.write("ITEM: ATOMS id type element xu yu zu\n")
            for atom, (x, y, z) in enumerate(frame):
                kind, element = (1, "O") if atom % 3 == 0 else (2, "H")
                file.write(f"{atom + 1} {kind} {element} {x:.6f} {y:.6f} {z:.6f}\n")


def write_log(path: Path, energy: np.ndarray) -> None:
    """Write a log of LAMMPS, one row every 10 steps, with a symmetry error of 1 meV."""
    rows = [
        f"{10 * k} {0.02 * k:.4f} 300.0 {e:.8f} 5.0 {e + 1e-3:.8f}" for k, e in enumerate(energy)
    ]
    head = "units metal\ntimestep 0.002\nStep Time Temp PotEng Econserve c_rotations[1]"
    path.write_text("\n".join([head, *rows, "Loop time of 1 on 1 procs"]) + "\n")


def relaxed(folder: Path, grid: str, energies: tuple[float, float], moved: float) -> Run:
    """Write a relaxation of 27 molecules that moves one oxygen by ``moved`` A along x.

    The symmetry error is 1 meV.
    """
    rng = np.random.default_rng(5)
    u, plane = rng.normal(size=(2, 27, 3))
    first = molecules(LATTICE, u, plane).reshape(-1, 3)
    last = first + 0.5  # a translation of all atoms, which is to be ignored
    last[0, 0] += moved
    folder.mkdir(parents=True)
    write_frames(folder / "made.pos_0.xyz", np.array([first, last]), 9.0, stride=20)
    series = np.linspace(*energies, 21)
    write_table(folder / "made.out", 1, potential=series)
    write_extras(folder / "made.rotations_0", series + 1e-3)
    return record(
        folder, motion="relaxation", grid=grid, n_atoms=81, steps=20, timestep=0.0,
        rotations=["made.rotations_0"],
    )  # fmt: skip
