"""`manage.py up`: the whole system on one machine, from one command, for trying and developing.

`broker` finds a Redis-compatible server, `children` runs and watches the processes, `console`
prints, `echo` is a receiver for the demo's jobs, `demo` loads them and dispatches the first one,
`supervisor` tells the story from start to Ctrl-C. None of it is used in production.
"""
