"""Jobs in the admin: to find, to read, and to act on through the same operations as the API.

Nothing here writes a row: lists and pages read, buttons call `jobs.operations`.
"""

from django.contrib import admin

from jobs.admin import audit, executions, holds, jobs, operations, periodic, processes

__all__ = ["audit", "executions", "holds", "jobs", "operations", "periodic", "processes"]

admin.site.index_template = "jobs/admin/dashboard.html"  # unfold's hook in the settings fills it
