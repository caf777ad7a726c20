"""The HTML page: its content, missing figures, and its display in a browser."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pet_driver.cli import app
from pet_driver.report import find_bundle, write_report
from pet_driver.report.contents import PLANS
from pet_driver.report.excerpt import ATOMS, FRAMES, excerpt
from pet_driver.report.viewer import dataset
from tests.report import synthetic_runs
from tests.report.browser import open_tab

# in one process, which writes the report of the fixture once
pytestmark = pytest.mark.xdist_group("report page")

needs_chemiscope = pytest.mark.skipif(
    find_bundle() is None, reason="chemiscope is not installed (the extra `report`)"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report on two runs of a molecule and an unfinished run of a liquid in two folders."""
    folder = tmp_path_factory.mktemp("report")
    synthetic_runs.spinning_molecule(folder / "one" / "raw", "0", drift=0.5)
    synthetic_runs.spinning_molecule(folder / "one" / "2i", "2i", drift=0.0)
    run = synthetic_runs.diffusing_liquid(
        folder / "two" / "deep" / "<liquid>", "0", 0.05, frames=60
    )
    synthetic_runs.record(run.folder, n_atoms=81, steps=run.steps, state="running")
    return write_report([folder / "one", folder / "two"], folder / "out")


@pytest.fixture
def png_only(monkeypatch):
    """Write figures in the one format that the page needs."""
    monkeypatch.setattr("pet_driver.report.FORMATS", ("png",))


def test_report_writes_figures_and_numbers(page):
    numbers = json.loads((page.parent / "numbers.json").read_text())
    assert {"angular-momentum", "radial-distribution", "conserved-quantity"} <= set(numbers)
    assert len(numbers["conserved-quantity"]) == 3
    for name in numbers:
        for suffix in ("png", "svg", "pdf"):
            assert (page.parent / f"{name}.{suffix}").stat().st_size > 5000
    change = numbers["angular-momentum"]["largest change of L, raw"]
    assert change["relative"] == pytest.approx(0.1, rel=1e-3)


def test_page_contains_runs_figures_and_provenance(page):
    text = page.read_text()
    numbers = json.loads((page.parent / "numbers.json").read_text())
    assert text.count("<figure>") == len(numbers) == len(PLANS) - 5
    assert "&lt;liquid&gt; (running)" in text and "<liquid>" not in text
    assert "0123" in text, "the checksum"
    assert page.stat().st_size < 10e6


def test_page_names_what_missing_figures_need(page):
    missing = page.read_text().split("Missing figures")[1]
    for remedy in (
        "inputs/water-molecule-nvt",
        "inputs/water-molecule-delta",
        "inputs/ice-relaxation",
        "pet-driver probe MODEL inputs/grid-scan/frames.xyz",
    ):
        assert remedy in missing
    assert "inputs/water-liquid-nvt" not in missing


def test_page_loads_no_other_files(page):
    text = re.sub(r"<script>.*?</script>", "", page.read_text(), flags=re.DOTALL)
    assert not re.search(r"""(src|href|url\()\s*=?\s*["']?(https?:)?//""", text)
    assert "@import" not in text and "<script src" not in text


# Chemiscope's canvas is in a shadow tree.
CANVASES = """(function deep(root) {
    return [...root.querySelectorAll('*')].flatMap((e) =>
        e.tagName === 'CANVAS' ? [e] : e.shadowRoot ? deep(e.shadowRoot) : []);
})(document.getElementById('view-structure'))"""


# Change the size of the map, and choose the liquid before chemiscope has resized the map.
SWITCH = """(() => {
    const choice = document.getElementById('view-choice');
    const map = document.getElementById('view-map');
    const observer = new ResizeObserver(() => {
        if (map.style.width) {
            observer.disconnect();
            Promise.resolve().then(() => {
                choice.value = '2';
                choice.dispatchEvent(new Event('change'));
            });
        }
    });
    observer.observe(map);
    map.style.width = '300px';
})()"""


def oxygen_pixels(tab) -> int:
    """Return the number of red pixels in the view of the structure."""
    place = tab.evaluate(
        "(() => { const b = document.getElementById('view-structure').getBoundingClientRect();"
        "return [b.x + scrollX, b.y + scrollY, b.width, b.height]; })()"
    )
    # without the border, the axes in the corner and the buttons
    clip = {"x": place[0] + 40, "y": place[1] + 40, "width": place[2] - 80,
            "height": place[3] - 80, "scale": 1}  # fmt: skip
    image = tab.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
    rgb = np.array(Image.open(io.BytesIO(base64.b64decode(image))).convert("RGB")).astype(int)
    return int(((rgb[..., 0] > 150) & (rgb[..., 1] < 60) & (rgb[..., 2] < 60)).sum())


@needs_chemiscope
def test_browser_shows_the_structures(page, tmp_path):
    copy = tmp_path / "copy" / "report.html"  # without the other files of the report
    copy.parent.mkdir()
    shutil.copy(page, copy)
    with open_tab(tmp_path / "profile") as tab:
        tab.call("Page.navigate", url=copy.as_uri())
        tab.wait_for("document.readyState === 'complete'")
        shown = "document.getElementById('view').dataset.shown"
        tab.wait_for(f"{shown} === '0' || !document.getElementById('view-error').hidden")
        assert tab.evaluate("document.getElementById('view-error').textContent") == ""
        assert tab.evaluate(f"{CANVASES}.length") >= 1
        assert oxygen_pixels(tab) > 50
        # after the change to the liquid, the code of the page still works
        tab.evaluate(SWITCH)
        tab.wait_for(f"{shown} === '2'")
        assert tab.evaluate(f"{CANVASES}.length") >= 1
        assert oxygen_pixels(tab) > 50
        assert tab.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
        assert tab.errors == []
        elsewhere = [u for u in tab.requests if not u.startswith(("file:", "data:", "blob:"))]
        assert elsewhere == []


def test_page_without_chemiscope_has_a_picture(tmp_path, monkeypatch, png_only):
    monkeypatch.setattr("pet_driver.report.find_bundle", lambda: None)
    synthetic_runs.spinning_molecule(tmp_path / "raw", "0", drift=0.5)
    text = write_report(tmp_path).read_text()
    assert '<img alt="structures" src="data:image/png;base64,' in text
    assert "pip install &#x27;pet-driver[report]&#x27;" in text
    assert "<script" not in text


def test_excerpt(tmp_path):
    run = synthetic_runs.diffusing_liquid(tmp_path / "run", "0", 0.5, frames=120)
    found = excerpt(run)
    assert len(found.positions) == FRAMES and FRAMES * 81 < ATOMS
    np.testing.assert_allclose(found.time, 0.02 * np.arange(70, 120))
    x = found.positions.reshape(FRAMES, 27, 3, 3)
    bonds = np.linalg.norm(x[:, :, 1:] - x[:, :, :1], axis=-1)
    np.testing.assert_allclose(bonds, np.hypot(0.6, 0.75), atol=1e-4)
    assert (x[:, :, 0] >= 0).all() and (x[:, :, 0] <= 9.0).all()
    seen = dataset(found)
    assert len(seen["structures"]) == len(seen["properties"]["time"]["values"]) == FRAMES
    assert seen["structures"][0]["cell"] == [9.0, 0, 0, 0, 9.0, 0, 0, 0, 9.0]
    assert len(json.dumps(seen)) < 1e6


def failure(*arguments):
    result = CliRunner().invoke(app, ["report", *map(str, arguments)])
    assert result.exit_code == 1
    return result.output


def test_errors(tmp_path, png_only):
    assert "no run.json in or below" in failure(tmp_path)
    run = synthetic_runs.diffusing_liquid(tmp_path / "run", "0", 0.5, frames=4)
    run.path("made.pos_0.xyz").unlink()
    assert "names made.pos_0.xyz, which is not there" in failure(tmp_path)
    synthetic_runs.record(run.folder, n_atoms=81, steps=run.steps, state="stopped")
    synthetic_runs.spinning_molecule(tmp_path / "other", "0", drift=0.5)
    missing = write_report(tmp_path).read_text().split("Missing figures")[1]
    assert "all figures of the run run" in missing and "made.pos_0.xyz" in missing
    (run.folder / "run.json").write_text("{")
    assert "does not describe a run" in failure(tmp_path)
    assert "--output names a folder" in failure(tmp_path, "-o", run.folder / "run.json")


def test_command(tmp_path, png_only):
    synthetic_runs.spinning_molecule(tmp_path / "raw", "0", drift=0.5)
    folders = [str(tmp_path / "raw"), str(tmp_path / "raw")]
    result = CliRunner().invoke(app, ["report", *folders, "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert result.output.strip() == str(tmp_path / "out" / "report.html")
