from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tenancy', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('actor', models.CharField(max_length=200)),
                ('action', models.CharField(max_length=60)),
                ('object', models.CharField(max_length=300)),
                ('detail', models.JSONField(default=dict)),
                ('at', models.DateTimeField()),
            ],
            options={
                'verbose_name_plural': 'audit entries',
            },
        ),
        migrations.AlterModelOptions(
            name='apikey',
            options={'verbose_name': 'API key'},
        ),
    ]
