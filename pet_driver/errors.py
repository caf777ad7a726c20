"""The exception for invalid input."""


class PetDriverError(ValueError):
    """Invalid input. The message names the file or value that is wrong, and the remedy."""
