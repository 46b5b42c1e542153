"""The run loop of a worker process: claim a batch → run it concurrently → settle in batches.

`loop` owns the runs in flight, `settler` gathers outcomes, `keeper` keeps the lease and gives
up what it cannot keep, `resolution` remembers targets for a moment, `outcome` decides what an
attempt means, `isolation` runs what may crash in processes of their own.
"""

from jobs.runner.loop import Runner

__all__ = ["Runner"]
