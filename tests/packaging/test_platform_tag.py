"""The platform tag of the wheel follows from the symbols that the kernels need."""

from __future__ import annotations

import pytest

from hatch_build import CannotPackError, platform_tag

NEEDED = " 0x01 (NEEDED)  Shared library: [{}]\n"
VERSION = "  0x0010:   Name: {}  Flags: none  Version: 20\n"
UNDEFINED = "     3: 0000000000000000     0 FUNC    GLOBAL DEFAULT  UND {}\n"


def listing(versions: str, needed: str = "libc.so.6", undefined: str = "free@GLIBC_2.2.5 (8)"):
    """Lines as readelf prints them."""
    return (
        "".join(NEEDED.format(name) for name in needed.split())
        + "".join(VERSION.format(name) for name in versions.split())
        + "".join(UNDEFINED.format(name) for name in undefined.split(";"))
    )


@pytest.mark.parametrize(
    ("versions", "tag"),
    [
        ("GLIBC_2.2.5 GLIBC_2.17 GCC_3.0", "manylinux_2_28"),
        ("GLIBC_2.28 GLIBCXX_3.4.24 CXXABI_1.3.11", "manylinux_2_28"),
        ("GLIBC_2.29 GLIBCXX_3.4.9", "manylinux_2_31"),
        ("GLIBC_2.14 GLIBCXX_3.4.29", "manylinux_2_34"),
        ("GLIBC_2.14 CXXABI_1.3.13", "manylinux_2_34"),
        ("GLIBC_2.36", "manylinux_2_38"),
        ("GLIBCXX_3.4.31", "manylinux_2_39"),
        ("GLIBC_2.99", "linux"),
    ],
)
def test_oldest_policy_that_allows_all_symbols(versions: str, tag: str) -> None:
    assert platform_tag(listing(versions)) == tag


def test_openmp_symbols_may_come_from_the_process() -> None:
    free = "GOMP_parallel;omp_get_thread_num;__gmon_start__;free@GLIBC_2.2.5 (8)"
    assert platform_tag(listing("GLIBC_2.2.5", undefined=free)) == "manylinux_2_28"


@pytest.mark.parametrize("wrong", ["libgomp.so.1", "libomp.so.5"])
def test_library_that_is_not_everywhere_is_refused(wrong: str) -> None:
    with pytest.raises(CannotPackError, match=f"needs {wrong}"):
        platform_tag(listing("GLIBC_2.2.5", needed=f"libc.so.6 {wrong}"))


def test_symbol_of_another_openmp_library_is_refused() -> None:
    with pytest.raises(CannotPackError, match="needs __kmpc_fork_call"):
        platform_tag(listing("GLIBC_2.2.5", undefined="__kmpc_fork_call;GOMP_parallel"))
