"""Google Cloud Storage, through Google's own client. Nothing is sent twice: attempts are the job's.

The service account is the catalog's: none is looked for in the environment or at the machine's metadata. Where
STORAGE_EMULATOR_HOST is set, that is asked instead of Google.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError, RefreshError
from google.auth.transport.requests import AuthorizedSession, Request
from google.cloud import storage  # type: ignore[import-untyped]  # it has no types
from google.cloud.storage.exceptions import DataCorruption  # type: ignore[import-untyped]  # the same
from google.oauth2 import service_account

from core.times import to_ms
from executors.base import FORBIDDEN, UNAUTHORIZED, VALIDATION_ERROR, AttemptFailed
from executors.providers.storage import failures, wire
from executors.providers.storage.store import PART_BYTES, Content, Entry, Page, pages
from executors.reach.paths import wrong_path

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_QUERY = re.compile(r"\?[^\s:]*")  # the URL of an upload is all that is needed to go on with it
_LONGEST_KEY_FILE = 64 * 1024
_TIMEOUT = (wire.CONNECT_SECONDS, wire.READ_SECONDS)
_ONCE: Mapping[str, Any] = {"timeout": _TIMEOUT, "retry": None}


class GcsStore:
    def __init__(self, connection: Mapping[str, Any]) -> None:
        bucket = str(connection["bucket"])
        self.where = f"Google bucket {bucket!r}"
        self._endpoint = str(connection.get("endpoint_url") or "").rstrip("/")
        account = self._account(connection)
        session = wire.guard_session(requests.Session())
        self._sessions = [session]
        credentials = self._credentials(account)
        if account:
            asking = Request(session)  # for tokens
            session = AuthorizedSession(  # type: ignore[no-untyped-call]  # it has no types
                credentials, auth_request=asking, refresh_timeout=wire.CONNECT_SECONDS
            )
            self._sessions.append(wire.guard_session(session))
        self._client = storage.Client(
            project=connection.get("project_id") or account.get("project_id") or "none",
            credentials=credentials,
            _http=session,
            client_options={"api_endpoint": self._endpoint} if self._endpoint else None,
            use_auth_w_custom_endpoint=bool(account),
        )
        # It would ask for the bucket in threads of its own, for traces that nobody reads.
        self._client._bucket_metadata_cache = None
        self._bucket = self._client.bucket(bucket)
        self._base = self._endpoint or self._client._connection.API_BASE_URL

    def put(self, name: str, data: bytes, mime_type: str) -> None:
        with self._told(name):
            self._bucket.blob(name).upload_from_string(data, content_type=mime_type, **_ONCE)

    def begin(self, name: str, mime_type: str) -> GcsUpload:
        with self._told(name):
            blob = self._bucket.blob(name)
            writer = blob.open("wb", chunk_size=PART_BYTES, content_type=mime_type, **_ONCE)
        return GcsUpload(self, name, writer)

    def read(self, name: str, most: int) -> Content:
        with self._told(name):
            blob = self._bucket.blob(name)
            blob.reload(**_ONCE)
            if blob.size > most:
                raise failures.too_large(self.where, name, blob.size, most)
            # As it is stored: a packed one would be unpacked to any size.
            data = blob.download_as_bytes(raw_download=True, if_generation_match=blob.generation, **_ONCE)
            return Content(data=data, mime_type=blob.content_type)

    def remove(self, name: str) -> None:
        with self._told(name):
            try:
                self._bucket.blob(name).delete(**_ONCE)
            except GoogleAPICallError as error:
                if error.code != 404 or self._is_missing():
                    raise

    def page(self, prefix: str, limit: int, token: str | None) -> Page:
        with self._told():
            listed = self._client.list_blobs(
                self._bucket, prefix=prefix or None, page_size=limit, page_token=token, **_ONCE
            )
            entries = [
                Entry(name=blob.name, size=blob.size or 0, modified=to_ms(blob.updated) if blob.updated else 0)
                for blob in next(listed.pages, ())
            ]
            return Page(entries=entries, token=listed.next_page_token or None)

    def walk(self, prefix: str) -> Iterator[Sequence[Entry]]:
        return pages(self, prefix)

    def signed_url(self, name: str, *, write: bool, seconds: int, mime_type: str | None) -> str:
        blob = self._bucket.blob(name)
        try:
            return str(
                blob.generate_signed_url(
                    version="v4",
                    expiration=timedelta(seconds=seconds),
                    method="PUT" if write else "GET",
                    content_type=mime_type if write else None,
                    **({"api_access_endpoint": self._endpoint} if self._endpoint else {}),
                )
            )
        except (AttributeError, ValueError):
            detail = f"{self.where}: a URL is signed with a service account's key, and there is none"
            raise AttemptFailed(VALIDATION_ERROR, detail) from None

    def url(self, name: str) -> str:
        return f"{self._base}/{self._bucket.name}/{quote(name)}"

    def close(self) -> None:
        for session in self._sessions:
            session.close()

    def _is_missing(self) -> bool:
        """Whether the bucket is: then it is not the file alone that is missing."""
        return not self._bucket.exists(**_ONCE)

    def _account(self, connection: Mapping[str, Any]) -> Mapping[str, Any]:
        """The service account, empty where there is none."""
        text: str | None = connection.get("credentials_json")
        if (path := connection.get("key_filename")) is not None:
            if (wrong := wrong_path(path)) is not None:
                raise AttemptFailed(FORBIDDEN, f"{self.where}: key_filename: {wrong}")
            try:
                with Path(path).open(encoding="utf-8") as file:
                    text = file.read(_LONGEST_KEY_FILE)
            except (OSError, UnicodeDecodeError) as error:
                detail = f"{self.where}: key_filename cannot be read ({type(error).__name__})"
                raise AttemptFailed(VALIDATION_ERROR, detail) from None
        if text is None:
            return dict(connection.get("credentials") or {})
        try:
            account = json.loads(text)
        except ValueError:
            account = None
        if not isinstance(account, dict):
            raise AttemptFailed(VALIDATION_ERROR, f"{self.where}: the service account is not a JSON object")
        return account

    def _credentials(self, account: Mapping[str, Any]) -> Any:
        if not account:
            return AnonymousCredentials()  # type: ignore[no-untyped-call]  # it has no types
        told = {"type": "service_account", "token_uri": "https://oauth2.googleapis.com/token", **account}
        try:
            return service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]  # the same
                told, scopes=[_SCOPE]
            )
        except (ValueError, GoogleAuthError):  # its text may hold a part of the key
            detail = f"{self.where}: the service account is none, or its private_key is not one"
            raise AttemptFailed(VALIDATION_ERROR, detail) from None

    @contextmanager
    def _told(self, name: str | None = None) -> Iterator[None]:
        """What Google's client raises in here is told as one of ours."""
        where = self.where if name is None else f"{name!r} in {self.where}"
        try:
            yield
        except GoogleAPICallError as error:
            headers = getattr(error.response, "headers", {})
            after = str(headers.get("retry-after", ""))
            told = _QUERY.sub("", str(error.message))
            raise failures.answered(where, int(error.code or 0), "", told, retry_after=after) from None
        except RefreshError as error:
            detail = f"{where}: the service account was not accepted"
            raise AttemptFailed(UNAUTHORIZED, detail, retryable=bool(error.retryable)) from None
        except requests.Timeout:
            raise failures.timed_out(where) from None
        except (requests.RequestException, GoogleAuthError, OSError, DataCorruption) as error:
            raise failures.unreachable(where, f"no connection, or it broke ({type(error).__name__})") from None
        except ValueError as error:
            raise AttemptFailed(VALIDATION_ERROR, f"{where}: {str(error)[:300]}") from None


class GcsUpload:
    """A resumable upload. One that is never finished is thrown away by Google after a week."""

    def __init__(self, store: GcsStore, name: str, writer: Any) -> None:
        self._store, self._name, self._writer = store, name, writer

    def add(self, part: bytes) -> None:
        with self._store._told(self._name):
            self._writer.write(part)

    def finish(self) -> None:
        with self._store._told(self._name):
            self._writer.close()

    def abort(self) -> None:
        if self._writer.closed:
            return
        try:
            with self._store._told(self._name):
                self._writer.terminate()
        except AttemptFailed:
            pass  # Google throws it away
