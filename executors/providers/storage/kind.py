"""The kind `storage`: how a bucket, a container or a folder is written in a catalog. Imports no driver."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from core import http
from executors.catalog.kinds import ShapedKind
from executors.catalog.reading import Reader
from executors.catalog.shapes import Anything, Flag, Inner, Shape, Text, Whole
from executors.expressions import Unknown
from executors.providers.storage.operations import OPERATIONS, canonical, problems
from executors.reach.paths import wrong_path
from executors.templates import filled

DEFAULT_DOWNLOAD_BYTES = 1024 * 1024
MOST_DOWNLOAD_BYTES = 16 * 1024 * 1024  # of a result, which is kept in the database
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{1,254}")
_CONTAINER = re.compile(r"\$root|\$web|\$logs|[a-z0-9][a-z0-9\-]{1,62}")
_REGION = re.compile(r"[a-z0-9\-]{1,60}")
_LONGEST_KEY = 10_000  # characters of a service account's JSON


def _wrong_endpoint(url: str) -> str | None:
    try:
        http.check_url(url)
    except http.InvalidRequest as error:
        return str(error)
    return "must have no query" if "?" in url else None


_MOST = Whole(low=1, high=MOST_DOWNLOAD_BYTES, aliases=("maxDownloadBytes",))
_ENDPOINT = Text(check=_wrong_endpoint, aliases=("endpoint", "endpointUrl"))
_BUCKET_FIELD = Text(required=True, pattern=_BUCKET, aliases=("bucketName", "bucket_name"))

_S3: Shape = {
    "bucket": _BUCKET_FIELD,
    "region": Text(pattern=_REGION),
    "endpoint_url": _ENDPOINT,
    "access_key_id": Text(required=True, aliases=("accessKeyId",)),
    "secret_access_key": Text(required=True, secret=True, aliases=("secretAccessKey",)),
    "session_token": Text(secret=True, aliases=("sessionToken",)),
    "force_path_style": Flag(aliases=("forcePathStyle",)),
    "max_download_bytes": _MOST,
}
_SERVICE_ACCOUNT: Shape = {
    "type": Text(choices=("service_account",)),
    "project_id": Text(),
    "private_key_id": Text(),
    "private_key": Text(required=True, secret=True),
    "client_email": Text(required=True),
    "client_id": Text(),
    "auth_uri": Text(),
    "token_uri": Text(check=_wrong_endpoint),
    "auth_provider_x509_cert_url": Text(),
    "client_x509_cert_url": Text(),
    "universe_domain": Text(),
}
_GCS: Shape = {
    "bucket": _BUCKET_FIELD,
    "credentials": Inner(shape=_SERVICE_ACCOUNT),
    "credentials_json": Text(secret=True, limit=_LONGEST_KEY, aliases=("credentialsJson",)),
    "key_filename": Text(check=wrong_path, aliases=("keyFilename",)),
    "project_id": Text(aliases=("projectId",)),
    "endpoint_url": _ENDPOINT,
    "max_download_bytes": _MOST,
}
_AZURE: Shape = {
    "container": Text(required=True, pattern=_CONTAINER, aliases=("containerName", "container_name")),
    "connection_string": Text(required=True, secret=True, aliases=("connectionString",)),
    "max_download_bytes": _MOST,
}
_LOCAL: Shape = {"path": Text(required=True, check=wrong_path), "max_download_bytes": _MOST}
_EVENT: Shape = {
    "operation": Text(required=True, choices=tuple(OPERATIONS), fold=canonical),
    "template": Anything(types=(dict,), told="an object: the operation's fields, with {{placeholders}}"),
}
_LOGINS = (("credentials",), ("credentials_json", "credentialsJson"), ("key_filename", "keyFilename"))


def _refine_connection(component: Mapping[str, Any], settings: Mapping[str, Any], reader: Reader) -> None:
    if (settings.get("type") or component.get("type")) != "gcs":
        return
    given = [names[0] for names in _LOGINS if any(reader.data.get(name) is not None for name in names)]
    if len(given) > 1:
        reader.problem(given[1], f"give {given[0]!r} or this, not both")
    if not given and not settings.get("endpoint_url") and not os.environ.get("STORAGE_EMULATOR_HOST"):
        reader.problem(
            "credentials", "is required: the service account (or credentials_json, or key_filename)", "required"
        )


def _refine_event(component: Mapping[str, Any], settings: Mapping[str, Any], reader: Reader) -> None:
    tag = reader.data.get("tag")
    if isinstance(tag, str) and canonical(tag) in OPERATIONS:
        reader.problem("tag", f"{tag!r} is an operation of every storage: name the saved event otherwise")
    operation, template = settings.get("operation"), settings.get("template", {})
    if operation is None or not isinstance(template, dict):
        return
    for error in problems(operation, filled(template, Unknown), "template", type=component.get("type"), partly=True):
        reader.problem(error.field if error.field != "template" else "operation", error.detail, error.code)


KIND = ShapedKind(
    name="storage",
    plural="storage",
    namespaces=("storage",),
    target="storage",
    event_fields=("event", "operation"),
    connections={"s3": _S3, "gcs": _GCS, "azure": _AZURE, "local": _LOCAL},
    type_aliases={"aws": "s3", "gcp": "gcs", "google": "gcs"},
    event=_EVENT,
    drivers={
        "s3": ("botocore", "aws"),
        "gcs": ("google.cloud.storage", "gcs"),
        "azure": ("azure.storage.blob", "azure"),
    },
    check="executors.providers.storage.check.check",
    refine_connection=_refine_connection,
    refine_event=_refine_event,
)
