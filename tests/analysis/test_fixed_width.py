"""The parser of fixed-width numbers agrees with ``float``."""

import numpy as np
import pytest

from pet_driver.analysis import fixed_width
from pet_driver.analysis.formats import parse_xyz


def lines(values, form: str) -> bytes:
    names = ("O ", "H ", "Na")
    rows = [names[k % 2] + "".join(f" {form % v}" for v in row) for k, row in enumerate(values)]
    return ("\n".join(rows) + "\n").encode()


def word_by_word(text: bytes) -> np.ndarray:
    return np.array([[float(word) for word in line.split()[1:]] for line in text.splitlines()])


@pytest.mark.parametrize("form", ["%16.8f", "%12.5e", "%20.11f", "%8.1f", "%14.6E"])
def test_numbers_equal_those_of_float(form):
    random = np.random.default_rng(3)
    values = random.normal(size=(500, 3)) * 10.0 ** random.integers(-3, 3, (500, 3))
    values[7] = [0.0, -0.0, -1.0e-9]
    text = lines(values, form)
    found = fixed_width.parse_columns(text, 500, 4, 1)
    expected = word_by_word(text)
    assert found is not None
    assert (found == expected).all()
    assert (np.signbit(found) == np.signbit(expected)).all()
    without_end = fixed_width.parse_columns(text[:-1], 500, 4, 1)
    assert (without_end == expected).all()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b" 1.25000000", b" 1.2500000x"),
        (b" 1.25000000", b"--1.2500000"),
        (b" 1.25000000", b" 1 25000000"),
        (b" 1.25000000", b" 1.2500 000"),
        (b" 1.25000000", b"1- .2500000"),
        (b" 1.25000000", b"        nan"),
        (b" 1.25000000", b" 1.2500000 "),
        (b" 1.25000000", b"11.25000000" + b"0"),  # another length
        (b"O ", b"  "),  # no name
    ],
)
def test_text_that_is_not_of_fixed_width_is_refused(old, new):
    text = lines(np.full((6, 3), 1.25), "%16.8f")
    at = text.index(old, 150)
    text = text[:at] + new + text[at + len(old) :]
    assert fixed_width.parse_columns(text, 6, 4, 1) is None


def test_numbers_with_too_many_digits_are_refused():
    text = b"O 1234567890.1234567890 2.0000000000 3.0000000000\n" * 2
    assert fixed_width.parse_columns(text, 2, 4, 1) is None
    head = b'2\nProperties=species:S:1:pos:R:3 Lattice="9 0 0 0 9 0 0 0 9"\n'
    assert (parse_xyz(head + text, 2).values[:, 0] == 1234567890.1234567890).all()
    assert fixed_width.parse_columns(b"", 0, 4, 1) is None
