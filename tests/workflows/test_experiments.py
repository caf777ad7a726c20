"""The Snakemake workflow of experiments: configurations, resources, killed and resumed runs."""

import json
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import yaml

import pet_driver

WORKFLOW = Path(__file__).parents[2] / "workflows" / "experiments"
PATIENCE = 300  # s

pytest.importorskip("snakemake", reason="needs the extra `workflow`")
psutil = pytest.importorskip("psutil")  # a dependency of snakemake

sys.path.insert(0, str(WORKFLOW))
import configuration  # noqa: E402


def command(path: Path, *options: str, profile: str = "local") -> list[str]:
    return [
        *(sys.executable, "-m", "snakemake", "-s", str(WORKFLOW / "Snakefile")),
        *("--configfile", str(path)),
        *("--workflow-profile", str(WORKFLOW / "profiles" / profile)),
        *options,
    ]


def snakemake(folder: Path, *arguments, **keywords) -> subprocess.CompletedProcess:
    line = command(*arguments, **keywords)
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)


@pytest.mark.parametrize(("name", "profile"), [("quick", "local"), ("paper", "slurm")])
def test_dry_run_plans_all_replicas(tmp_path, name, profile):
    done = snakemake(tmp_path, WORKFLOW / f"{name}.yaml", "-n", profile=profile)
    assert done.returncode == 0, done.stdout + done.stderr
    config = yaml.safe_load((WORKFLOW / f"{name}.yaml").read_text())
    n_runs = sum(run.get("replicas", 1) for run in config["runs"].values())
    assert f"run {n_runs}" in " ".join(done.stdout.split())


def test_runs_and_probes_on_gpus_request_one(tmp_path):
    """A run may have another device than the configuration."""
    entries = yaml.safe_load((WORKFLOW / "quick.yaml").read_text()) | {"device": "cuda"}
    entries["runs"]["molecule-nve-raw"]["device"] = "cpu"
    path = tmp_path / "gpus.yaml"
    path.write_text(yaml.safe_dump(entries))
    done = snakemake(tmp_path, path, "-n", "-p")
    assert done.returncode == 0, done.stdout + done.stderr
    seen = {}
    for job in done.stdout.split("\nrule ")[1:]:
        if found := re.search(r"wildcards: \w+=(\S+)", job):
            device = re.search(r"--device (\S+)", job)
            gpus = re.search(r"\bgpu=(\d)", job)
            seen[found[1]] = device and device[1], int(gpus[1]) if gpus else 0
    assert seen["molecule-nve-raw"] == ("cpu", 0)
    assert seen["molecule-nve-2i"] == ("cuda", 1), "a run"
    assert seen["liquid"] == ("cuda", 1), "a probe"


def test_slurm_jobs_request_cores_and_gpus_of_each_run(tmp_path):
    """All on one host. There is no SLURM here: submissions fail."""
    entries = small(tmp_path) | {"device": "cuda"}
    shared = {"input_file": "water-liquid-pimd/ipi-in-process.xml", "clients": 4, "gpus": 4}
    entries["runs"] |= {
        "shared": shared,
        "ranks": {"input_file": "water-large-lammps/in.water", "ranks": 2, "gpus": 2},
    }
    path = tmp_path / "slurm.yaml"
    path.write_text(yaml.safe_dump(entries))
    options = ("--retries", "0", "--slurm-init-seconds-before-status-checks", "1")
    done = snakemake(tmp_path, path, *options, profile="slurm")
    assert done.returncode != 0
    found = re.findall(
        r"wildcards: run=(\w+)\n.*\n +resources: .*gpu=(\d), nodes=1, cpus_per_task=(\d+)",
        done.stdout + done.stderr,
    )
    asked = {name: (int(gpus), int(cores)) for name, gpus, cores in found}
    assert asked == {"molecule": (1, 8), "shared": (4, 32), "ranks": (2, 16)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"runs": {"a": {"input_file": "water/ipi.xml"}}}, "there is no input file"),
        ({"runs": {"a": {"steps": 5}}}, "run a: no 'input_file'"),
        ({"runs": {"a": {"input_file": "grid-scan/ipi.xml", "step": 5}}}, "run a: unknown step"),
        (
            {"runs": {"a": {"input_file": "grid-scan/ipi.xml", "structure": "b.xyz"}}},
            "structure b.xyz is not among",
        ),
        (
            {"runs": {"a": {"input_file": "grid-scan/ipi.xml", "grid": "2x"}}},
            "run a: unknown grid '2x'; known are 0 ",
        ),
        ({"probes": {"p": {"run": "b"}}}, "probe p: b is not among"),
        ({"model": None}, "has no 'model'"),
    ],
)
def test_invalid_configuration_is_an_error(change, message, tmp_path):
    entries = {**small(tmp_path), **change}
    config = {key: value for key, value in entries.items() if value is not None}
    with pytest.raises(configuration.ConfigurationError, match=message):
        configuration.read_replicas(config, WORKFLOW.parents[1] / "inputs")


def test_error_of_the_configuration_is_shown_by_snakemake(tmp_path):
    entries = small(tmp_path) | {"probes": {"p": {"run": "b"}}}
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(entries))
    done = snakemake(tmp_path, path, "-n")
    assert done.returncode != 0
    assert "probe p: b is not among" in done.stdout + done.stderr


def small(results: Path) -> dict:
    return {
        "results": str(results),
        "model": "water-small",
        "device": "cpu",
        "runs": {"molecule": {"input_file": "water-molecule-nve/ipi-raw.xml", "steps": 400}},
    }


@pytest.fixture
def with_checkpoints(tmp_path, monkeypatch) -> Path:
    """Copy the workflow, with an input file that writes a checkpoint every 20 steps."""
    root = tmp_path / "clone"
    shutil.copytree(WORKFLOW, root / "workflows" / "experiments")
    shutil.copytree(WORKFLOW.parents[1] / "inputs", root / "inputs")
    input_file = root / "inputs" / "water-molecule-nve" / "ipi-raw.xml"
    text = input_file.read_text()
    assert 'stride="1000"' in text
    input_file.write_text(text.replace('stride="1000"', 'stride="20"'))
    monkeypatch.setattr(sys.modules[__name__], "WORKFLOW", root / "workflows" / "experiments")
    return root


def test_changed_weights_fail_until_the_run_is_deleted(tmp_path):
    """The failed run is not repeated, and the log has the reason."""
    model, run = tmp_path / "mine.pt", tmp_path / "runs" / "molecule"
    pet_driver.export("water-small", model)
    entries = small(tmp_path) | {"model": str(model)}
    entries["runs"]["molecule"]["steps"] = 8
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(entries))
    done = snakemake(tmp_path, path, str(run / "done"))
    assert done.returncode == 0, done.stdout + done.stderr
    done = snakemake(tmp_path, path, "-n", str(run / "done"))
    assert "Nothing to be done" in done.stdout
    pet_driver.export("water-small-ensemble-2", model)
    refused = snakemake(tmp_path, path, "--retries", "2", str(run / "done"))
    assert refused.returncode != 0
    assert "holds another run (weights" in (tmp_path / "logs" / "molecule.log").read_text()
    assert json.loads((run / "run.json").read_text())["state"] == "finished"
    shutil.rmtree(run)
    done = snakemake(tmp_path, path, str(run / "done"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_killed_workflow_resumes_and_gives_the_same_report(with_checkpoints, tmp_path):
    """The paths of the results have spaces, and the run starts from a structure that is built."""
    numbers = {}
    for name in ("full", "resumed"):
        results = tmp_path / f"{name} results"
        entries = small(results) | {"structures": {"one.xyz": "molecule"}}
        entries["runs"]["molecule"]["structure"] = "one.xyz"
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(entries))
        if name == "resumed":
            kill_in_the_middle(tmp_path, path, results / "runs" / "molecule")
        done = snakemake(tmp_path, path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (results / "report" / "report.html").is_file()
        numbers[name] = json.loads((results / "report" / "numbers.json").read_text())
    # A checkpoint has fifteen digits, but the network is in single precision.
    full, resumed = (flat(numbers[name]) for name in ("full", "resumed"))
    assert list(resumed) == list(full)
    np.testing.assert_allclose(list(resumed.values()), list(full.values()), rtol=1e-4, atol=1e-5)
    run = tmp_path / "resumed results" / "runs" / "molecule"
    record = json.loads((run / "run.json").read_text())
    assert record["command"] == "i-pi resumed.xml" and record["steps"] == 400


def flat(entry: dict, name: str = "") -> dict[str, float]:
    """Return the numbers of nested dictionaries by their path."""
    found = {}
    for key, value in entry.items():
        if isinstance(value, dict):
            found |= flat(value, f"{name}/{key}")
        elif isinstance(value, int | float):
            found[f"{name}/{key}"] = float(value)
    return found


def kill_in_the_middle(folder: Path, path: Path, run: Path) -> None:
    """Kill the workflow and all its processes after a third of the run."""
    process = subprocess.Popen(
        command(path),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + PATIENCE
    while not (run / "raw.out").is_file() or len((run / "raw.out").read_text().splitlines()) < 30:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    # The engine has its own session and would otherwise continue.
    for started in [*psutil.Process(process.pid).children(recursive=True), process]:
        with suppress(psutil.NoSuchProcess):
            started.kill()
    process.wait()
