"""`manage.py rotate_keys`: puts every stored secret under the first of FIELD_ENCRYPTION_KEYS."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core import crypto
from ductape_jobs import sealed
from executors.sessions.lifecycle import newest_by_identifier


class Command(BaseCommand):
    help = (
        "Put every stored secret under the first key of FIELD_ENCRYPTION_KEYS. To change the key: put the new one "
        "first and keep the old one behind it, restart all processes, run this, then take the old one out."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        rotated = sealed.rotate()
        first, *others = crypto.ring().key_ids
        self.stdout.write(f"{rotated.changed} of {rotated.found} secrets were put under key {first}")
        if rotated.problems:
            raise CommandError("\n".join(["these do not open, so keep all keys:", *rotated.problems]))
        if others and (newest := newest_by_identifier()) is not None:
            told = f"revoked by identifier, at last on {newest:%Y-%m-%d}, which the first key of that time tells"
            self.stdout.write(f"keep these as long as such a session would live: {', '.join(others)} ({told})")
        elif others:
            self.stdout.write(f"no secret needs these any more: {', '.join(others)}")
