"""One command of eight minutes for a GPU: tests that matter there, and the timings that the project is held to."""
