"""Run the command line: ``python -m pet_driver``."""

from pet_driver.cli import app

app()
