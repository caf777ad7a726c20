"""The road from frames to a shipped archive: split, train by metatrain, export, describe."""
