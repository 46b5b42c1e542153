"""WHY a job ran, waits or did not run at a moment: facts in, an explanation out. Pure: reads no clock and no row."""

from jobs.explaining.model import Explanation, Facts, Intervention, Load, Reason
from jobs.explaining.moment import explain

__all__ = ["Explanation", "Facts", "Intervention", "Load", "Reason", "explain"]
