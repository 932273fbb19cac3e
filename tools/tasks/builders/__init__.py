"""What makes tasks of packages and text; see ../README.md."""
