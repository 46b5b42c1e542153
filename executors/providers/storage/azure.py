"""Azure Blob Storage, through Azure's own client. Nothing is sent twice: attempts are the job's."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError, ServiceResponseTimeoutError
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import (
    BlobBlock,
    BlobClient,
    BlobSasPermissions,
    ContainerClient,
    ContentSettings,
    generate_blob_sas,
)
from requests import Session

from core import clock
from core.times import to_ms
from executors.base import VALIDATION_ERROR, AttemptFailed
from executors.providers.storage import failures, wire
from executors.providers.storage.store import Content, Entry, Page, pages


class AzureStore:
    def __init__(self, connection: Mapping[str, Any]) -> None:
        self._container = str(connection["container"])
        text = str(connection["connection_string"])
        parts = dict(pair.partition("=")[::2] for pair in text.split(";") if "=" in pair)
        self._key = parts.get("AccountKey")
        self.where = f"Azure container {self._container!r}"
        try:
            self._client = ContainerClient.from_connection_string(
                text,
                self._container,
                transport=RequestsTransport(
                    session=wire.guard_session(Session()), use_env_settings=False,
                    connection_timeout=wire.CONNECT_SECONDS, read_timeout=wire.READ_SECONDS,
                ),
                retry_total=0,
                logging_enable=False,
            )  # fmt: skip
        except ValueError:  # it may hold the key, so nothing of it is told
            raise AttemptFailed(VALIDATION_ERROR, f"{self.where}: its connection_string is not one") from None
        self._account = self._client.account_name or ""
        self.where += f" of account {self._account!r}"

    def put(self, name: str, data: bytes, mime_type: str) -> None:
        with self._told(name):
            self._blob(name).upload_blob(
                data, length=len(data), overwrite=True, content_settings=ContentSettings(content_type=mime_type)
            )

    def begin(self, name: str, mime_type: str) -> AzureUpload:
        return AzureUpload(self, self._blob(name), mime_type)

    def read(self, name: str, most: int) -> Content:
        with self._told(name):
            properties = self._blob(name).get_blob_properties()
            if properties.size > most:
                raise failures.too_large(self.where, name, properties.size, most)
            data = self._blob(name).download_blob(
                max_concurrency=1, etag=properties.etag, match_condition=MatchConditions.IfNotModified
            )
            return Content(data=data.readall(), mime_type=properties.content_settings.content_type)

    def remove(self, name: str) -> None:
        with self._told(name):
            try:
                self._blob(name).delete_blob(delete_snapshots="include")
            except ResourceNotFoundError as error:
                if _said(error) != "BlobNotFound":
                    raise

    def page(self, prefix: str, limit: int, token: str | None) -> Page:
        with self._told():
            listed = self._client.list_blobs(name_starts_with=prefix or None, results_per_page=limit)
            found = listed.by_page(continuation_token=token)
            entries = [
                Entry(
                    name=str(each.name),
                    size=int(each.size or 0),
                    modified=to_ms(each.last_modified) if each.last_modified is not None else 0,
                )
                for each in next(found, ())
            ]
        return Page(entries=entries, token=getattr(found, "continuation_token", None) or None)

    def walk(self, prefix: str) -> Iterator[Sequence[Entry]]:
        return pages(self, prefix)

    def signed_url(self, name: str, *, write: bool, seconds: int, mime_type: str | None) -> str:
        if self._key is None:
            detail = f"{self.where}: a URL is signed with an AccountKey, and its connection_string has none"
            raise AttemptFailed(VALIDATION_ERROR, detail)
        signature = generate_blob_sas(
            account_name=self._account,
            container_name=self._container,
            blob_name=name,
            account_key=self._key,
            permission=BlobSasPermissions(read=not write, write=write, create=write),
            expiry=clock.machine_now() + timedelta(seconds=seconds),
        )
        return f"{self.url(name)}?{signature}"

    def url(self, name: str) -> str:
        return self._blob(name).url.partition("?")[0]  # after it: a signature of the connection string's own

    def close(self) -> None:
        self._client.close()

    def _blob(self, name: str) -> BlobClient:
        return self._client.get_blob_client(name)

    @contextmanager
    def _told(self, name: str | None = None) -> Iterator[None]:
        """What Azure's client raises in here is told as one of ours."""
        where = self.where if name is None else f"{name!r} in {self.where}"
        try:
            yield
        except HttpResponseError as error:
            raise _answered(where, error) from None
        except ServiceResponseTimeoutError:
            raise failures.timed_out(where) from None
        except (AzureError, OSError) as error:
            raise failures.unreachable(where, f"no connection, or it broke ({type(error).__name__})") from None
        except ValueError as error:
            raise AttemptFailed(VALIDATION_ERROR, f"{where}: {str(error)[:300]}") from None


class AzureUpload:
    """Blocks of a blob. Blocks that are never committed are thrown away by Azure after a week."""

    def __init__(self, store: AzureStore, blob: BlobClient, mime_type: str) -> None:
        self._store, self._blob, self._mime_type = store, blob, mime_type
        self._blocks: list[BlobBlock] = []

    def add(self, part: bytes) -> None:
        block = base64.b64encode(f"{len(self._blocks):08}".encode()).decode()
        with self._store._told(self._blob.blob_name):
            self._blob.stage_block(block, part, length=len(part))
        self._blocks.append(BlobBlock(block_id=block))

    def finish(self) -> None:
        with self._store._told(self._blob.blob_name):
            self._blob.commit_block_list(self._blocks, content_settings=ContentSettings(content_type=self._mime_type))

    def abort(self) -> None:
        """Nothing is there that could be removed by itself."""


def _answered(where: str, error: HttpResponseError) -> AttemptFailed:
    headers: Mapping[str, str] = getattr(error.response, "headers", {})
    return failures.answered(
        where, error.status_code or 0, _said(error), str(error.reason or ""), retry_after=headers.get("retry-after", "")
    )


def _said(error: HttpResponseError) -> str:
    """Azure's own code of an error."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")
