"""Django for django-celery-beat as a peer: its tables, and nothing else."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

_address = urlsplit(os.environ["PEER_DATABASE"])

SECRET_KEY = "a peer on loopback, gone after the benchmark"
INSTALLED_APPS = ["django_celery_beat"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _address.path.lstrip("/"),
        "USER": _address.username or "",
        "PASSWORD": _address.password or "",
        "HOST": _address.hostname or "",
        "PORT": _address.port or "",
    }
}
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
