"""``workflows/first_run.py`` with few steps: both engines, the analysis and the report."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(1200)
def test_first_run_writes_runs_and_report(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "workflows" / "first_run.py", "--fraction", "0.02"]
    done = subprocess.run(
        [*map(str, command), "--output", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "report.html").read_text()
    assert page.count("<figure>") >= 8
    for figure in ("angular-momentum", "radial-distribution", "conserved-quantity"):
        for suffix in ("png", "svg", "pdf"):
            assert (tmp_path / f"{figure}.{suffix}").stat().st_size > 5000
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert len(numbers["radial-distribution"]) == 1  # the beads run too briefly to be equilibrated
    assert "too short for 8 beads" in page
    assert len(numbers["conserved-quantity"]) == 5
    runs = [json.loads(path.read_text()) for path in tmp_path.glob("*/run.json")]
    found = {(run["system"], run["motion"], run["n_beads"]) for run in runs}
    assert found == {("molecule", "nve", 1), ("bulk", "nvt", 1), ("bulk", "nvt", 8)}
    assert all(run["wall_time"] > 0 for run in runs)
