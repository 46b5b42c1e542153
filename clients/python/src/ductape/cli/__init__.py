"""`ductape-jobs`: the client in a terminal. One family of commands a file; `main` is where it starts.

It needs the extra `cli` (typer, rich). What it says of itself is in docs/cli.md, which a test holds to it.
"""
