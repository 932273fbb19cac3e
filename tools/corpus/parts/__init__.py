"""The corpus scripts' parts; see ../README.md for the reading order."""
