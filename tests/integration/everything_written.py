"""All that the system has written and says, as texts, and whether any of it has a secret in it, in whatever form."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import redis
from django.conf import settings
from django.contrib.admin import site
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from core.ids import encode
from jobs.models import Job
from tests.integration.api import Api

SHORTEST = 8  # characters of a secret's beginning that tell something of it
_MOST_ROWS = 50  # of one model, whose pages are looked at

Text = tuple[str, str]  # where it stands, and what it is


def found(secrets: Iterable[str], texts: Iterable[Text]) -> list[str]:
    """Where a secret stands, or the beginning of one; and in which form."""
    forms = {form for secret in secrets for form in forms_of(secret)}
    return [f"{form!r} in {where}: …{_around(text, form)}…" for where, text in texts for form in forms if form in text]


def forms_of(secret: str) -> set[str]:
    """The shortest texts that betray it: its beginning as it is, percent-encoded, in hexadecimal, as JSON has it, and
    in base64 wherever in a longer text it begins."""
    start = secret[:SHORTEST]
    forms = {start, quote(start, safe=""), quote_plus(start), start.encode().hex(), json.dumps(start)[1:-1]}
    for before in range(3):
        coded = base64.b64encode(b"x" * before + start.encode()).decode()
        begin = -(-before * 4 // 3)  # the characters that the bytes before it have a part in
        forms |= {coded[begin : len(coded) - 4], coded[begin : len(coded) - 4].translate(_URL_SAFE)}
    return forms


def tables() -> Iterator[Text]:
    """Every value of every row."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            names = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                yield from (
                    (f"table {table}, column {name}", str(value)) for name, value in zip(names, row, strict=True)
                )


def redis_keys() -> Iterator[Text]:
    """Every key and value of the system's Redis, where it has one."""
    if not settings.REDIS_URL:
        return
    with redis.Redis.from_url(settings.REDIS_URL, decode_responses=True, encoding_errors="replace") as client:
        reads: dict[str, Any] = {
            "string": client.get, "list": lambda key: client.lrange(key, 0, -1), "set": client.smembers,
            "hash": client.hgetall, "zset": lambda key: client.zrange(key, 0, -1), "stream": client.xrange,
        }  # fmt: skip
        for key in client.scan_iter():
            yield f"Redis key {key}", f"{key} {reads[str(client.type(key))](key)}"


def files() -> Iterator[Text]:
    """Every file in the folder of the system's own data."""
    for path in Path(settings.DATA_DIR).rglob("*"):
        if path.is_file():
            yield f"file {path}", path.read_bytes().decode("latin-1")


def answers(plural: str, tag: str) -> Iterator[Text]:
    """What the API says of a component of the product `shop`, and of every job."""
    api = Api()
    addresses = [
        f"/v1/products/shop/{rest}" for rest in ("", "catalog", "secrets", "caches", plural, f"{plural}/{tag}")
    ]
    addresses += ["/v1/jobs?product=shop", "/v1/jobs/stats?product=shop", "/v1/workers", "/v1/queues", "/metrics"]
    addresses += [f"/v1/products/shop/{plural}/{tag}/check?env=prd"] if plural != "features" else []
    for job in Job.objects.all():
        addresses += [f"/v1/jobs/{encode('job', job.pk)}{rest}" for rest in ("", "/history", "/explain")]
    for address in addresses:
        answer = api.get(address.rstrip("/"))
        assert answer.status_code == 200, (address, answer.content)
        yield f"GET {address}", answer.content.decode()


def pages() -> Iterator[Text]:
    """Every list and every page of the admin."""
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    for model in site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        addresses = [reverse(f"{name}_changelist")]
        for row in model._default_manager.all()[:_MOST_ROWS]:
            key = encode("job", row.pk) if isinstance(row, Job) else row.pk
            addresses.append(reverse(f"{name}_change", args=[key]))
        for address in addresses:
            answer = client.get(address)
            if answer.status_code == 200:  # some lists are elsewhere, some rows have no page
                yield f"page {address}", answer.content.decode()


def _around(text: str, form: str) -> str:
    at = text.index(form)
    return text[max(0, at - 60) : at + 60]


_URL_SAFE = str.maketrans("+/", "-_")
