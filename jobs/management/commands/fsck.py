"""`manage.py fsck`: does what must hold, hold? Exits 1 and names the jobs where it does not."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs import fsck


class Command(BaseCommand):
    help = "Check the invariants of jobs and runs on the live database. Reads only; exits 1 when one is broken."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--limit", type=int, default=fsck.LIMIT, help="rows reported for each invariant")

    def handle(self, *args: Any, **options: Any) -> None:
        broken = 0
        for check, found in fsck.check_all(options["limit"]):
            self.stdout.write(f"{check.name:4} {'BROKEN' if found else 'ok':7} {check.says}")
            for text in found:
                self.stdout.write(f"       {text}")
            broken += bool(found)
        if broken:
            raise CommandError(f"{broken} of {len(fsck.every_check())} invariants are broken")
