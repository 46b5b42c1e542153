"""Amazon S3, and whatever speaks its protocol, through boto3's botocore.

The keys are those of the catalog: none is looked for in the environment, in files, or at the machine's metadata.
Nothing is sent twice: attempts are the job's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    ParamValidationError,
    ReadTimeoutError,
)
from urllib3.exceptions import HTTPError as UrlLib3Error

from core.times import to_ms
from executors.base import VALIDATION_ERROR, AttemptFailed
from executors.providers.storage import failures, wire
from executors.providers.storage.store import Content, Entry, Page, pages

_DEFAULT_REGION = "us-east-1"


class S3Store:
    def __init__(self, connection: Mapping[str, Any]) -> None:
        self._bucket = str(connection["bucket"])
        self._region = str(connection.get("region") or _DEFAULT_REGION)
        self._endpoint = str(connection.get("endpoint_url") or "").rstrip("/")
        self._in_path = bool(connection.get("force_path_style", bool(self._endpoint)))
        self.where = f"S3 bucket {self._bucket!r}" + (f" at {self._endpoint}" if self._endpoint else "")
        with self._told():
            self._client = _client(connection, self._region, self._endpoint, in_path=self._in_path)

    def put(self, name: str, data: bytes, mime_type: str) -> None:
        with self._told(name):
            self._client.put_object(Bucket=self._bucket, Key=name, Body=data, ContentType=mime_type)

    def begin(self, name: str, mime_type: str) -> S3Upload:
        with self._told(name):
            begun = self._client.create_multipart_upload(Bucket=self._bucket, Key=name, ContentType=mime_type)
        return S3Upload(self, self._client, {"Bucket": self._bucket, "Key": name, "UploadId": begun["UploadId"]})

    def read(self, name: str, most: int) -> Content:
        with self._told(name):
            answer = self._client.get_object(Bucket=self._bucket, Key=name)
            with answer["Body"] as body:
                if answer["ContentLength"] > most:
                    raise failures.too_large(self.where, name, answer["ContentLength"], most)
                return Content(data=body.read(), mime_type=answer.get("ContentType"))

    def remove(self, name: str) -> None:
        with self._told(name):
            self._client.delete_object(Bucket=self._bucket, Key=name)

    def page(self, prefix: str, limit: int, token: str | None) -> Page:
        after = {"ContinuationToken": token} if token else {}
        with self._told():
            answer = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, MaxKeys=limit, **after)
        entries = [
            Entry(name=each["Key"], size=each["Size"], modified=to_ms(each["LastModified"]))
            for each in answer.get("Contents", ())
        ]
        return Page(entries=entries, token=answer.get("NextContinuationToken") if answer.get("IsTruncated") else None)

    def walk(self, prefix: str) -> Iterator[Sequence[Entry]]:
        return pages(self, prefix)

    def signed_url(self, name: str, *, write: bool, seconds: int, mime_type: str | None) -> str:
        parameters = {"Bucket": self._bucket, "Key": name}
        if write and mime_type is not None:
            parameters["ContentType"] = mime_type
        with self._told(name):
            return str(
                self._client.generate_presigned_url(
                    "put_object" if write else "get_object", Params=parameters, ExpiresIn=seconds
                )
            )

    def url(self, name: str) -> str:
        key = quote(name)
        if self._endpoint and self._in_path:
            return f"{self._endpoint}/{self._bucket}/{key}"
        if self._endpoint:
            scheme, _, host = self._endpoint.partition("://")
            return f"{scheme}://{self._bucket}.{host}/{key}"
        return f"https://{self._bucket}.s3.{self._region}.amazonaws.com/{key}"

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def _told(self, name: str | None = None) -> Iterator[None]:
        """What botocore raises in here is told as one of ours."""
        where = self.where if name is None else f"{name!r} in {self.where}"
        try:
            yield
        except ClientError as error:
            raise _answered(where, error.response) from None
        except ReadTimeoutError:
            raise failures.timed_out(where) from None
        except HTTPClientError as error:
            inner = error.kwargs.get("error")
            if isinstance(inner, AttemptFailed):
                raise inner from None
            raise failures.unreachable(where, _reason(inner or error)) from None
        except ParamValidationError as error:
            raise AttemptFailed(VALIDATION_ERROR, f"{where}: {str(error)[:300]}") from None
        except (BotoCoreError, UrlLib3Error, OSError, ValueError) as error:
            if isinstance(error, ValueError):  # an endpoint or a bucket that no URL can be made of
                raise AttemptFailed(VALIDATION_ERROR, f"{where}: {str(error)[:300]}") from None
            raise failures.unreachable(where, _reason(error)) from None


class S3Upload:
    """A multipart upload."""

    def __init__(self, store: S3Store, client: Any, which: Mapping[str, str]) -> None:
        self._store, self._client, self._which = store, client, which
        self._parts: list[dict[str, Any]] = []
        self._done = False

    def add(self, part: bytes) -> None:
        number = len(self._parts) + 1
        with self._store._told(self._which["Key"]):
            answer = self._client.upload_part(**self._which, PartNumber=number, Body=part)
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})

    def finish(self) -> None:
        with self._store._told(self._which["Key"]):
            self._client.complete_multipart_upload(**self._which, MultipartUpload={"Parts": self._parts})
        self._done = True

    def abort(self) -> None:
        if self._done:
            return
        self._done = True
        try:
            with self._store._told(self._which["Key"]):
                self._client.abort_multipart_upload(**self._which)
        except AttemptFailed:
            pass  # the bucket's own rule for unfinished uploads removes it (docs/storage.md)


def _client(connection: Mapping[str, Any], region: str, endpoint: str, *, in_path: bool) -> Any:
    with _making:
        client = _session().create_client(
            "s3",
            region_name=region,
            endpoint_url=endpoint or None,
            aws_access_key_id=connection["access_key_id"],
            aws_secret_access_key=connection["secret_access_key"],
            aws_session_token=connection.get("session_token"),
            config=Config(
                signature_version="s3v4",
                connect_timeout=wire.CONNECT_SECONDS,
                read_timeout=wire.READ_SECONDS,
                retries={"total_max_attempts": 1},
                max_pool_connections=wire.CONNECTIONS,
                proxies={},
                ignore_configured_endpoint_urls=True,
                s3={"addressing_style": "path" if in_path else "auto"},
                # Others than Amazon's own servers do not all know the newer checksums.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
    wire.guard(client._endpoint.http_session._manager)
    return client


@lru_cache(maxsize=1)
def _session() -> Any:
    """Shared, since it keeps the description of S3, some megabytes. Reads no files of the machine's user."""
    session = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
    session.set_config_variable("config_file", os.devnull)
    session.set_config_variable("credentials_file", os.devnull)
    return session


def _answered(where: str, response: Mapping[str, Any]) -> AttemptFailed:
    told, meta = response.get("Error", {}), response.get("ResponseMetadata", {})
    said = str(told.get("Code", ""))
    return failures.answered(
        where,
        int(meta.get("HTTPStatusCode", 0)),
        "" if said.isdecimal() else said,
        str(told.get("Message", "")),
        retry_after=str(meta.get("HTTPHeaders", {}).get("retry-after", "")),
    )


def _reason(error: object) -> str:
    """What went wrong with a connection, without the driver's wording and addresses of objects around it."""
    inner = getattr(error, "kwargs", {}).get("error", error)
    inner = getattr(inner, "reason", None) or inner
    cause = inner.__cause__ if isinstance(inner, BaseException) and inner.__cause__ is not None else inner
    return f"no connection, or it broke ({getattr(cause, 'strerror', None) or type(cause).__name__})"


_making = threading.Lock()  # a session makes one client at a time
