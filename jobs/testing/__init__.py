"""For the tests of code in the same project: time passes, and what is due runs, in the test itself (docs/in-process.md).

    from jobs.testing import clock_at, run_due

Nothing here is for production: the clock of the whole process is stopped and moved.
"""

from executors.base import AttemptFailed, Call, Done, Failed
from jobs.testing.results import Ran
from jobs.testing.running import clock_at, run_due
from jobs.testing.standins import Answer

__all__ = ["Answer", "AttemptFailed", "Call", "Done", "Failed", "Ran", "clock_at", "run_due"]
