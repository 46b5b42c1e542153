"""Judges from outside: another author's cron library, asked about every change of every zone's clock."""
