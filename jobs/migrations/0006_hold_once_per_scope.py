"""A scope is held once on SQLite too: two partial constraints in place of NULLS NOT DISTINCT, which it does not know."""

from django.db import migrations, models


def keep_the_first(apps, schema_editor):
    """Two who held one scope at the same moment could both do so on SQLite: the first hold of each stays."""
    holds = apps.get_model("jobs", "Hold").objects.using(schema_editor.connection.alias)
    seen = set()
    for pk, *scope in holds.order_by("pk").values_list("pk", "product_id", "environment_id", "namespace"):
        if tuple(scope) in seen:
            holds.filter(pk=pk).delete()
        seen.add(tuple(scope))


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0005_idempotency_keys'),
    ]

    operations = [
        migrations.RunPython(keep_the_first, migrations.RunPython.noop, elidable=True),
        migrations.RemoveConstraint(
            model_name='hold',
            name='hold_once_per_scope',
        ),
        migrations.AddConstraint(
            model_name='hold',
            constraint=models.UniqueConstraint(condition=models.Q(('environment__isnull', True)), fields=('product', 'namespace'), name='hold_once_for_all_environments'),
        ),
        migrations.AddConstraint(
            model_name='hold',
            constraint=models.UniqueConstraint(condition=models.Q(('environment__isnull', False)), fields=('product', 'environment', 'namespace'), name='hold_once_per_environment'),
        ),
    ]
