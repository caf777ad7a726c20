"""The exception for errors that a user can correct."""


class PetDriverError(ValueError):
    """Error in the input; the message names the file or value, and the remedy."""
