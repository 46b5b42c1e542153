from django.apps import AppConfig


class TenancyConfig(AppConfig):
    name = "core.tenancy"
    label = "tenancy"
    verbose_name = "Access"
    default_auto_field = "django.db.models.BigAutoField"
