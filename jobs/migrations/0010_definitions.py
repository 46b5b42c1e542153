import django.db.models.deletion
from django.db import migrations, models

import jobs.states


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0009_operations'),
        ('tenancy', '0003_catalog_version'),
    ]

    operations = [
        migrations.CreateModel(
            name='JobDefinition',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('product', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenancy.product')),
                ('tag', models.CharField(max_length=120)),
                ('name', models.CharField(max_length=200)),
                ('event_type', models.CharField(max_length=20)),
                ('event_tag', models.CharField(max_length=250)),
                ('target', models.JSONField()),
                ('executions', models.BigIntegerField()),
                ('intervals', models.BigIntegerField()),
                ('created_at', models.DateTimeField()),
                ('updated_at', models.DateTimeField()),
            ],
        ),
        migrations.AddConstraint(
            model_name='jobdefinition',
            constraint=models.UniqueConstraint(fields=('product', 'tag'), name='definition_tag_unique_in_product'),
        ),
        migrations.AddField(
            model_name='job',
            name='definition',
            field=models.CharField(blank=True, max_length=120, null=True),
        ),
        migrations.AddField(
            model_name='job',
            name='open_definition',
            field=models.GeneratedField(db_persist=True, expression=models.Case(models.When(status__in=[jobs.states.JobStatus['CANCELLED'], jobs.states.JobStatus['COMPLETED'], jobs.states.JobStatus['FAILED']], then=models.Value(None)), default=models.F('definition')), output_field=models.CharField(max_length=120, null=True)),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('open_definition__isnull', False)), fields=['product', 'open_definition', 'id'], name='job_of_definition'),
        ),
    ]
