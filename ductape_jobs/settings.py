"""Settings: one file, typed readers, every insecure default refused in production.

The table of variables is in the README; `ductape_jobs.checks` holds the refusals.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ductape_jobs import environment, logs
from ductape_jobs.keys import keep_key
from ductape_jobs.look import UNFOLD as UNFOLD

env = environment.Environment()

BASE_DIR = Path(__file__).resolve().parent.parent
ENVIRONMENT = environment.one_of("ENVIRONMENT", env.str("ENVIRONMENT", default="local"), ("local", "production"))
LOCAL = ENVIRONMENT == "local"

DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / ".data"))).absolute()
PORT: int = env.int("PORT", default=8000)
HOST: str = env.str("HOST", default="127.0.0.1" if LOCAL else "0.0.0.0")  # noqa: S104 - production is reached from outside
API_PROCESSES: int = env.int("API_PROCESSES", default=2)
API_THREADS: int = env.int("API_THREADS", default=16)
API_DRAIN_SECONDS: int = env.int("API_DRAIN_SECONDS", default=5 if LOCAL else 25)  # for requests open at the end

# In production both must be given; `keep_key` then refuses instead of making one.
SECRET_KEY: str = env.str("SECRET_KEY", default="") or keep_key(DATA_DIR, "secret_key", ENVIRONMENT, "SECRET_KEY")
FIELD_ENCRYPTION_KEYS: list[str] = env.list("FIELD_ENCRYPTION_KEYS", default=[]) or [
    keep_key(DATA_DIR, "field_encryption_key", ENVIRONMENT, "FIELD_ENCRYPTION_KEYS")
]
OPERATOR_API_KEY: str = env.str("OPERATOR_API_KEY", default="") or (
    keep_key(DATA_DIR, "operator_api_key", ENVIRONMENT, "OPERATOR_API_KEY") if LOCAL else ""
)

DEBUG = False
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["*"] if LOCAL else [])
if ALLOWED_HOSTS:
    ALLOWED_HOSTS += ["localhost", "127.0.0.1"]  # health checks come from the machine itself
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin.apps.SimpleAdminConfig",  # urls.py discovers: workers load no admin
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "core.backoffice",
    "core.tenancy",
    "executors.catalog",
    "jobs",
    "webhooks",
    "ductape_jobs",
]

MIDDLEWARE = [
    "core.tenancy.requests.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "core.tenancy.straight.StraightMiddleware",  # what is below serves browsers
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "ductape_jobs.urls"
WSGI_APPLICATION = "ductape_jobs.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

SQLITE_OPTIONS: dict[str, Any] = {
    # BEGIN IMMEDIATE: a transaction that begins as a reader cannot become a writer while
    # another one writes; it fails at once, whatever the timeout.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY;",
}


def database(url: str) -> dict[str, Any]:
    """Django's settings for a database URL; the ones that decide about safety are added here."""
    config = environment.database("DATABASE_URL", url)
    options = config.setdefault("OPTIONS", {})
    if config["ENGINE"] == "django.db.backends.sqlite3":
        options.update(SQLITE_OPTIONS)
        # A file, as in life: in memory, connections of several threads lock each other out.
        config["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
        config["CONN_MAX_AGE"] = None
    else:
        config["ENGINE"] = "core.postgresql"
        options.setdefault("connect_timeout", 5)
        options.setdefault("application_name", "ductape-jobs")
        # A dead peer is noticed within seconds, not after the kernel's fifteen minutes.
        options.setdefault("keepalives_idle", 5)
        options.setdefault("keepalives_interval", 2)
        options.setdefault("keepalives_count", 3)
        options.setdefault("tcp_user_timeout", 10_000)
        config["CONN_MAX_AGE"] = None
        config["CONN_HEALTH_CHECKS"] = True
        config["DISABLE_SERVER_SIDE_CURSORS"] = True  # behind a transaction pooler they vanish
    return config


DATABASE_URL: str = env.str("DATABASE_URL", default="") or f"sqlite:///{DATA_DIR / 'ductape.sqlite3'}"
DATABASES = {"default": database(DATABASE_URL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL: str = env.str("REDIS_URL", default="") or "redis://127.0.0.1:6379/0"
REDIS_GIVEN = bool(env.str("REDIS_URL", default=""))
QUEUES: list[str] = env.list("QUEUES", default=["default", "webhooks"])
CONCURRENCY: int = env.int("CONCURRENCY", default=500)
# Queues whose runs each get a process of their own: for what may crash or burn CPU.
ISOLATED_QUEUES: list[str] = env.list("ISOLATED_QUEUES", default=["isolated"])
ISOLATED_CONCURRENCY: int = env.int("ISOLATED_CONCURRENCY", default=2)

_private_if_local = "127.0.0.0/8,::1/128" if LOCAL else ""
EGRESS_ALLOW_CIDRS: list[str] = env.list(
    "EGRESS_ALLOW_CIDRS", default=[cidr for cidr in _private_if_local.split(",") if cidr]
)

# Folders in which a catalog may name local files: storage of type local, SQLite and embedded graph databases.
LOCAL_PATHS_ALLOW: list[str] = env.list("LOCAL_PATHS_ALLOW", default=[tempfile.gettempdir()] if LOCAL else [])

# Requests of one API process that may wait for a job to end at the same time; each holds a thread.
MOST_WAITING: int = env.int("MOST_WAITING", default=8)
# Streams of events that one API process keeps open at the same time; each holds a thread.
MOST_STREAMS: int = env.int("MOST_STREAMS", default=4)

WEBHOOKS_PER_PRODUCT: int = env.int("WEBHOOKS_PER_PRODUCT", default=50)
WEBHOOK_ALLOW_HTTP: bool = env.bool("WEBHOOK_ALLOW_HTTP", default=LOCAL)  # else they are told over https alone

RETENTION_DAYS: int = env.int("RETENTION_DAYS", default=90)  # finished jobs and old runs are kept so long; 0: for ever

WEBHOOK_RETENTION_DAYS: int = env.int(
    "WEBHOOK_RETENTION_DAYS", default=30
)  # what was told is kept so long; 0: for ever

# Namespaces beside the product's own (`executors.registry`): {"namespace": "dotted.path.Class"}.
EXTRA_EXECUTORS = environment.dotted_paths("EXTRA_EXECUTORS", env.dict("EXTRA_EXECUTORS", default={}))

LOGIN_REDIRECT_URL = "admin:index"  # who logs in without having been sent there

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # files are served from where the packages have them: nothing to collect
WHITENOISE_MAX_AGE = 3600

BODY_LIMIT_BYTES = 10 * 1024 * 1024
BULK_BODY_LIMIT_BYTES = 32 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = BULK_BODY_LIMIT_BYTES  # the API's own parser enforces the finer limits

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["core.tenancy.auth.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["core.tenancy.auth.HasScope"],
    "DEFAULT_PARSER_CLASSES": ["core.tenancy.parsing.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["core.tenancy.parsing.CompactJSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "core.tenancy.parsing.OwnChoiceNegotiation",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "core.tenancy.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Ductape Jobs",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "PREPROCESSING_HOOKS": ["ductape_jobs.openapi.only_api"],
    "POSTPROCESSING_HOOKS": ["ductape_jobs.openapi.complete"],
    "DESCRIPTION": "Dispatch events of a product as jobs: now, later, or again and again. Times are milliseconds, UTC.",
    # Swagger's page asks a checking service about the description unless told not to.
    "SWAGGER_UI_SETTINGS": {"validatorUrl": None, "persistAuthorization": False, "displayRequestDuration": True},
}

# --- Celery: wakes workers, nothing else -----------------------------------------------
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "global_keyprefix": "ductape:",
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_CREATE_MISSING_QUEUES = True
CELERY_WORKER_DISABLE_PREFETCH = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
CELERY_RESULT_EXPIRES = None  # no results are kept: beat need not clean them up
CELERY_BEAT_SCHEDULER = "jobs.beat.JobScheduler"
_first_queue = next(iter(QUEUES), "")  # that there is one is checked
# Beat makes these rows of django-celery-beat's when it starts. Each scheduler sends them, the first to come is done.
CELERY_BEAT_SCHEDULE = {
    "prune": {
        "task": "jobs.prune",
        "schedule": timedelta(hours=1),
        "options": {"expires": 1800, "queue": _first_queue},
    },
}

LOG_FORMAT = environment.one_of(
    "LOG_FORMAT", env.str("LOG_FORMAT", default="text" if LOCAL else "json"), ("text", "json")
)
LOG_LEVEL = environment.log_level("LOG_LEVEL", env.str("LOG_LEVEL", default="INFO"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s"},
        "json": {"()": "ductape_jobs.logs.JsonFormatter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        **logs.driver_levels(LOG_LEVEL),
        "aiohttp.access": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},  # what a caller got wrong stands in `api.access`
        # A line for each wake-up, twice, says nothing about jobs.
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
    },
}

if not LOCAL:
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=3600)
# What `check --deploy` asks for besides, and why not:
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # the other hosts of this domain are not ours to speak for
    "security.W008",  # TLS ends at the proxy; behind it, health checks and services call by plain HTTP
    "security.W021",  # nor is a browser's preload list
]

BROKER_HOST = urlsplit(REDIS_URL).hostname or "127.0.0.1"
