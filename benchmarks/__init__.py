"""Benchmarks: each row of the goals measured beside its peers, in one run, on the same cores.

`python -m benchmarks` runs them and prints a table, `--write` puts it into `docs/benchmarks.md`.
They report and never assert a time: machines differ, and a claim is a ratio of one run.
"""
