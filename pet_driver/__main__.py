"""``python -m pet_driver`` is the command line."""

from pet_driver.cli import app

app()
