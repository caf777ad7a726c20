"""One library serves all processors: only functions for AVX-512 contain its instructions."""

import platform
import re
import shutil
import subprocess

import pytest

from pet_driver.backends.cpu import build

PREFIXES = {"66", "67", "f2", "f3", "2e", "3e"}
EVEX = "62"  # the first byte of every instruction that only AVX-512 has


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only one instruction set")
@pytest.mark.skipif(shutil.which("objdump") is None, reason="objdump is missing")
def test_shared_functions_do_without_avx512() -> None:
    """Of an inline function in several units, the linker must not keep the AVX-512 version."""
    command = ["objdump", "-d", "--insn-width=16", str(build())]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    function, found = "", set()
    for line in listing.splitlines():
        if name := re.match(r"[0-9a-f]+ <(.*)>:", line):
            function = name[1]
        elif line.count("\t") >= 2:
            code = [byte for byte in line.split("\t")[1].split() if byte not in PREFIXES]
            if code and code[0] == EVEX:
                found.add(function)
    assert any("avx512" in name for name in found), "the listing was not parsed"
    assert not [name for name in found if "avx512" not in name]
