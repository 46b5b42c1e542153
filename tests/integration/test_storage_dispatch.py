"""What is told of a storage's job when it is dispatched, and of its catalog when that is stored. No servers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from core.errors import Invalid, NotFound
from executors.catalog.models import Component, Connection
from executors.catalog.sealed import open_sealed
from executors.providers.storage.operations import OPERATIONS
from tests.integration.storage_world import World, store_catalog

pytestmark = pytest.mark.django_db

S3 = {"bucket": "reports", "region": "eu-west-1", "access_key_id": "AKID", "secret_access_key": "hush-hush"}
ACCOUNT = {"type": "service_account", "client_email": "a@b.example", "private_key": "-----BEGIN PRIVATE KEY-----"}


@pytest.fixture
def world() -> World:
    dump = {
        "tag": "nightly_dump",
        "operation": "upload",
        "template": {"fileName": "dump-{{day}}.json", "mimeType": "application/json"},
    }
    return World("s3", S3, events=[dump], secrets=[{"key": "DAY", "value": "monday"}])


def wrong(caught: pytest.ExceptionInfo[Any]) -> dict[str, str]:
    return {error.field: error.detail for error in caught.value.errors}


def test_every_operation_is_accepted_and_a_saved_event_beside_them(world: World) -> None:
    world.check("upload", fileName="a", content={"n": 1})
    world.check("listFiles")
    world.check("getSignedUrl", fileName="a")
    world.check("files:stats")
    world.check("STATS")
    world.check("nightly_dump", day="2026-01-02", content=[1])
    world.check("nightly_dump", day="$Secret{DAY}", content="$Now()")
    world.executor.check(
        product_id=world.product.pk,
        environment_id=world.env.pk,
        target={"storage": "files", "operation": "download"},
        input={"fileName": "a"},
        recurring=False,
    )


def test_a_wrong_input_names_each_field(world: World) -> None:
    with pytest.raises(Invalid) as caught:
        world.check("upload", fileName="../a", url="ftp://x/", mimetype="a/b")

    assert set(wrong(caught)) == {"input.fileName", "input.url", "input.mimetype"}
    assert "did you mean 'mimeType'" in wrong(caught)["input.mimetype"]
    with pytest.raises(Invalid) as caught:
        world.check("nightly_dump", content=[1], fileName="x")
    assert wrong(caught) == {
        "input.day": "is required: the saved event has {{day}}",
        "input.fileName": "is set by the saved event",
    }
    with pytest.raises(Invalid) as caught:
        world.check("nightly_dump", day="../../x/y/../..", content=[1])
    assert set(wrong(caught)) == {"input.fileName"}


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ("uplaod", "storage 'files' of product 'shop' has no event 'uplaod': did you mean 'upload'?"),
        ("nightlydum", "storage 'files' of product 'shop' has no event 'nightlydum': did you mean 'nightly_dump'?"),
        ("zzz", f"storage 'files' of product 'shop' has no event 'zzz': operations are {', '.join(OPERATIONS)}"),
    ],
)
def test_an_event_that_is_not_there_is_told_with_what_is(world: World, event: str, told: str) -> None:
    with pytest.raises(NotFound) as caught:
        world.check(event)

    assert (caught.value.code, caught.value.detail) == ("event_not_found", told)
    assert wrong(caught) == {"event": told}


def test_a_storage_or_a_name_that_is_missing_is_told(world: World) -> None:
    def check(target: dict[str, Any]) -> None:
        world.executor.check(
            product_id=world.product.pk, environment_id=world.env.pk, target=target, input={}, recurring=False
        )

    with pytest.raises(NotFound, match="no storage 'fils' in product 'shop': did you mean 'files'"):
        check({"storage": "fils", "event": "stats"})
    with pytest.raises(Invalid) as caught:
        check({})
    assert set(wrong(caught)) == {"storage", "event"}


@pytest.mark.parametrize(
    ("type", "connection", "stored"),
    [
        ("AWS", {"bucketName": "b-1", "accessKeyId": "a", "secretAccessKey": "x", "region": "eu-west-1"}, "s3"),
        ("s3", {"config": {"bucketName": "b-1", "accessKeyId": "a", "secretAccessKey": "x"}}, "s3"),
        ("s3", {**S3, "endpoint_url": "http://127.0.0.1:9001", "force_path_style": False}, "s3"),
        ("GCP", {"bucketName": "b-1", "credentials": ACCOUNT}, "gcs"),
        ("GCP", {"bucketName": "b-1", "config": ACCOUNT}, "gcs"),
        ("GCP", {"config": {"bucketName": "b-1", "config": ACCOUNT}}, "gcs"),
        ("gcs", {"bucket": "b-1", "credentials_json": "$Secret{SA}"}, "gcs"),
        ("gcs", {"bucket": "b-1", "keyFilename": "/tmp/key.json"}, "gcs"),
        ("gcs", {"bucket": "b-1", "endpoint_url": "http://127.0.0.1:4443"}, "gcs"),
        ("AZURE", {"containerName": "c-1", "connectionString": "AccountName=a;AccountKey=aGk="}, "azure"),
        ("local", {"path": "/tmp/files"}, "local"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_storage_may_be_written_as_the_documents_write_it(type: str, connection: dict[str, Any], stored: str) -> None:
    store_catalog({"tag": "files", "type": type, "envs": {"prd": connection}}, secrets=[{"key": "SA", "value": "{  }"}])

    assert Component.objects.get(tag="files").settings["type"] == stored


def test_a_service_account_written_as_config_is_stored_as_credentials_and_sealed() -> None:
    connection = {"type": "gcp", "bucketName": "b-1", "config": ACCOUNT}
    store_catalog({"tag": "files", "envs": {"prd": connection}})

    stored = Connection.objects.get()
    assert stored.settings == {
        "type": "gcs",
        "bucket": "b-1",
        "credentials": {"type": "service_account", "client_email": "a@b.example"},
    }
    assert open_sealed(stored) == {"credentials.private_key": ACCOUNT["private_key"]}
    with pytest.raises(Invalid) as caught:
        store_catalog({"tag": "files", "envs": {"prd": {**connection, "credentials": ACCOUNT}}})
    assert list(wrong(caught)) == ["storage.0.envs.prd.config"]


def test_secrets_are_sealed() -> None:
    store_catalog(
        {"tag": "a", "type": "s3", "envs": {"prd": {**S3, "session_token": "hush-token"}}},
        {"tag": "b", "type": "gcs", "envs": {"prd": {"bucket": "b-1", "credentials": ACCOUNT}}},
        {"tag": "c", "type": "azure", "envs": {"prd": {"container": "c-1", "connection_string": "AccountKey=hush"}}},
    )

    shown = str(list(Connection.objects.values_list("settings", flat=True)))
    assert "hush" not in shown
    assert "BEGIN" not in shown
    assert "a@b.example" in shown


@pytest.mark.parametrize(
    ("type", "connection", "field"),
    [
        ("s3", {"bucket": "b-1"}, "access_key_id"), ("s3", {**S3, "bucket": "../etc"}, "bucket"), ("s3", {**S3, "region": "eu.evil.example/"}, "region"),
        ("s3", {**S3, "endpoint_url": "file:///"}, "endpoint_url"), ("s3", {**S3, "buckt": "x"}, "buckt"), ("gcs", {"bucket": "b-1"}, "credentials"),
        ("gcs", {"bucket": "b-1", "key_filename": "/etc/passwd"}, "key_filename"),
        ("gcs", {"bucket": "b-1", "credentials": ACCOUNT, "credentials_json": "{}"}, "credentials_json"),
        ("azure", {"container": "C", "connection_string": "x"}, "container"), ("azure", {"container": "c-1"}, "connection_string"),
        ("local", {"path": "files"}, "path"), ("local", {"path": "/etc"}, "path"), ("local", {}, "path"),
        ("local", {"path": "/tmp/x", "max_download_bytes": 10**9}, "max_download_bytes"),
    ],
)  # fmt: skip
def test_a_connection_that_cannot_work_is_refused(
    type: str, connection: dict[str, Any], field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)

    with pytest.raises(Invalid) as caught:
        store_catalog({"tag": "files", "type": type, "envs": {"prd": connection}})

    assert set(wrong(caught)) == {f"storage.0.envs.prd.{field}"} | (
        {"storage.0.envs.prd.secret_access_key"} if field == "access_key_id" else set()
    )


def test_a_folder_needs_to_be_allowed(settings: Settings) -> None:
    settings.LOCAL_PATHS_ALLOW = []

    with pytest.raises(Invalid, match="LOCAL_PATHS_ALLOW"):
        store_catalog({"tag": "files", "type": "local", "envs": {"prd": {"path": "/tmp/x"}}})


def test_a_type_that_is_none_is_told() -> None:
    with pytest.raises(Invalid, match="'s4' is not one of azure, gcs, local, s3"):
        store_catalog({"tag": "files", "type": "s4", "envs": {"prd": S3}})


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({"tag": "e"}, "operation"), ({"tag": "e", "operation": "uplod"}, "operation"), ({"tag": "upload", "operation": "upload"}, "tag"),
        ({"tag": "list-files", "operation": "stats"}, "tag"), ({"tag": "e", "operation": "upload", "template": {"fileName": "../x"}}, "template.fileName"),
        ({"tag": "e", "operation": "remove", "template": {"fileNam": "x"}}, "template.fileNam"),
        ({"tag": "e", "operation": "upload", "template": {"content": "x", "url": "{{u}}"}}, "template.url"),
        ({"tag": "e", "operation": "listFiles", "template": {"limit": 0}}, "template.limit"), ({"tag": "e", "operation": "stats", "template": []}, "template"),
    ],
)  # fmt: skip
def test_a_saved_event_that_can_never_run_is_refused(event: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        store_catalog({"tag": "files", "type": "s3", "envs": {"prd": S3}, "events": [event]})

    assert set(wrong(caught)) == {f"storage.0.events.0.{field}"}


def test_a_local_folder_signs_nothing() -> None:
    sign = {"tag": "sign", "operation": "getSignedUrl", "template": {"fileName": "{{n}}"}}
    with pytest.raises(Invalid, match="no signed URLs"):
        store_catalog({"tag": "f", "type": "local", "envs": {"prd": {"path": "/tmp/x"}}, "events": [sign]})
    world = World("local", {"path": "/tmp/x"})

    with pytest.raises(Invalid) as caught:
        world.check("getSignedUrl", fileName="a")
    assert wrong(caught)["input"].startswith("a local folder has no signed URLs")


def test_reading_a_catalog_loads_no_driver() -> None:
    code = (
        "import sys, django; django.setup(); import executors.providers.storage.kind, executors.namespaces.storage; "
        "assert not {'boto3', 'botocore', 'azure', 'google.cloud.storage', 'requests'} & set(sys.modules)"
    )
    environment = {"DJANGO_SETTINGS_MODULE": "ductape_jobs.settings", "PATH": "/usr/bin:/bin"}

    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[2], env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr[-1000:]
