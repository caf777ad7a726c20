"""The one exception a user meets."""


class PetDriverError(ValueError):
    """Bad input; the message names the file or value at fault and the remedy."""
