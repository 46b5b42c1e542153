"""The only writers of a status. Every transition is one guarded write of `jobs.states`' table.

Lock order, everywhere: the Job's row, then its Executions. Whoever holds a job's row holds
everything about it, so nothing here reads a state, loses it and writes anyway:

* a claim and the scheduler take jobs with SKIP LOCKED and never wait,
* outcomes and interventions wait for the row (milliseconds), read what is true, and write
  under `WHERE status = …` and the fence.

`create` makes jobs, `promote` opens their runs, `claim` gives runs to a worker, `settle`
records outcomes, `lease` and `reap` deal with workers that die, `intervene` is what people
ask for, `hold` is maintenance. The two hottest statements exist once per dialect in `sql`.
"""
