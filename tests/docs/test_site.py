"""The site builds without a warning, and the reference is what the program and docstrings say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs" / "_extensions"))

DOCSTRING = """Return the norm |F|.

    pet-driver | tee log

| name | meaning |
|---|---|
| ``a`` | the first, ``|a|`` |

Args:
    force: the vector.
"""
EXPECTED = r"""Return the norm \|F\|.

::

    pet-driver | tee log


.. list-table::
   :header-rows: 1

   * - name
     - meaning
   * - ``a``
     - the first, ``|a|``

Args:
    force: the vector.
"""


def test_site_builds_without_warnings(tmp_path: Path) -> None:
    # The dummy builder reads all pages and docstrings and resolves all references.
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "dummy"]
    done = subprocess.run(
        [*command, str(ROOT / "docs"), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_conventions_of_docstrings_become_restructured_text() -> None:
    from plain_docstrings import convert

    assert convert(DOCSTRING.split("\n")) == EXPECTED.split("\n")
