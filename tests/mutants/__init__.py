"""Guards taken out, and the tests that notice: `python -m tests.mutants` prints the table."""
