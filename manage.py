#!/usr/bin/env python
"""Django's command line: the three processes (api, worker, scheduler) and the tools."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ductape_jobs.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import Error as DatabaseError

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"the configuration is refused: {error}")
    except DatabaseError:
        from ductape_jobs.processes import why_not_ready

        reason = why_not_ready()
        if reason is None:
            raise  # it is ready, so the mistake is ours
        sys.exit(reason)


if __name__ == "__main__":
    main()
