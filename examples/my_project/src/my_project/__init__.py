"""A project with a loss of its own."""
