"""What every page of the admin stands on: read-only by default, counted with a bound, times in words.

Imported by the `admin` modules only: a worker loads none of it. Knows nothing of jobs.
"""
