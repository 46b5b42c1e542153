"""Where `ductape-jobs` starts."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command of sys.argv and end the process with its exit code."""
    try:
        from ductape.cli.app import app
    except ModuleNotFoundError as missing:
        if missing.name not in {"typer", "rich"}:
            raise
        sys.exit(f"ductape-jobs needs {missing.name}, which is not installed: pip install 'ductape-client[cli]'")
    app(prog_name="ductape-jobs")


if __name__ == "__main__":
    main()
