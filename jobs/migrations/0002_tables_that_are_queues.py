"""PostgreSQL's storage settings for tables whose rows are updated several times in seconds."""

from django.db import migrations

FORWARDS = [
    # Room beside each row for its next versions, so that an update touches no index (HOT).
    "ALTER TABLE jobs_job SET (fillfactor = 50)",
    "ALTER TABLE jobs_execution SET (fillfactor = 80)",
    # Dead versions are a share of today's work, not of the whole history.
    """ALTER TABLE jobs_job SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
                                 autovacuum_analyze_scale_factor = 0.02)""",
    """ALTER TABLE jobs_execution SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
                                       autovacuum_analyze_scale_factor = 0.02)""",
]
BACKWARDS = [
    """ALTER TABLE jobs_job RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold,
                                   autovacuum_analyze_scale_factor)""",
    """ALTER TABLE jobs_execution RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold,
                                         autovacuum_analyze_scale_factor)""",
]


def forwards(apps, schema_editor):
    run(schema_editor, FORWARDS)


def backwards(apps, schema_editor):
    run(schema_editor, BACKWARDS)


def run(schema_editor, statements):
    if schema_editor.connection.vendor == "postgresql":
        for statement in statements:
            schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("jobs", "0001_initial")]
    operations = [migrations.RunPython(forwards, backwards)]
