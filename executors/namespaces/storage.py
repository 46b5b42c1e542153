"""The `storage` namespace: files of a storage are uploaded, downloaded, removed, listed, counted, and signed for.

Checks an input at dispatch by the rules of its operation; in the worker carries it out over the storage's
provider. Every operation may be carried out twice with the same outcome.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import timedelta
from typing import Any, NoReturn

from core import clock, http
from core.errors import FieldError, NotFound
from core.fields import nearest
from core.times import to_ms
from executors.base import RESPONSE_TOO_LARGE, VALIDATION_ERROR, AttemptFailed, Call, Failed
from executors.catalog.components import Found, Opened
from executors.exchange.answers import failed_answer, failed_exchange
from executors.namespaces.component import ComponentExecutor
from executors.providers.storage import operations, stores, transfer
from executors.providers.storage.calls import call as in_thread
from executors.providers.storage.kind import DEFAULT_DOWNLOAD_BYTES
from executors.providers.storage.names import UNKNOWN_TYPE, family, guessed_type
from executors.providers.storage.operations import OPERATIONS, canonical
from executors.providers.storage.store import LARGEST_BYTES, Entry, Store

_PAGE = 100  # files that are listed where no limit is given
_SIGNED_SECONDS = 3600
_FAMILIES = ("image", "video", "audio", "document", "archive", "other")


class StorageExecutor(ComponentExecutor):
    """Runs `{"storage": …, "event": …}`: an operation, or the tag of a saved event. `operation` is another name."""

    kind = "storage"

    def check(self, *, target: Mapping[str, Any], **of: Any) -> None:
        try:
            super().check(target=target, **of)
        except NotFound as error:
            raise _naming_operations(error, target) from None

    def resolve(self, *, target: Mapping[str, Any], **of: Any) -> Any:
        try:
            return super().resolve(target=target, **of)
        except NotFound as error:
            raise _naming_operations(error, target) from None

    def _names(self, target: Mapping[str, Any]) -> tuple[str, str | None]:
        tag, event = super()._names(target)
        return tag, None if _operation(target) is not None else event

    def wrong_input(self, found: Found, target: Mapping[str, Any], input: Mapping[str, Any]) -> Iterator[FieldError]:
        operation, values, errors = _asked(found, target, input)
        yield from errors
        if not errors:
            yield from operations.problems(operation, values, "input", type=found.type)

    async def run(self, call: Call, opened: Opened, input: dict[str, Any]) -> Mapping[str, Any]:
        operation, given, errors = _asked(opened.found, call.target, input)
        errors = errors or list(operations.problems(operation, given, "input", type=opened.type))
        if errors:
            raise AttemptFailed(VALIDATION_ERROR, f"{errors[0].field}: {errors[0].detail}")
        values = operations.values_of(operation, given)
        async with stores.use(opened) as store:
            match operation:
                case "upload":
                    return await _upload(call, store, values)
                case "download":
                    most = int(opened.connection.get("max_download_bytes") or DEFAULT_DOWNLOAD_BYTES)
                    return await _download(store, values, most)
                case "remove":
                    await in_thread(store.remove, values["fileName"])
                    return {"success": True, "fileName": values["fileName"]}
                case "listFiles":
                    return await _list(store, values)
                case "getSignedUrl":
                    return await _sign(opened, store, values)
                case _:
                    return await _count(store, values)


async def _upload(call: Call, store: Store, values: Mapping[str, Any]) -> dict[str, Any]:
    name = values["fileName"]
    if "url" in values:
        size, mime_type = await _fetched(call, store, values)
    else:
        body, mime_type = operations.body_of(values)
        size = await transfer.move(store, name, _once(body), mime_type)
    return {"success": True, "url": store.url(name), "fileName": name, "mimeType": mime_type, "size": size}


async def _fetched(call: Call, store: Store, values: Mapping[str, Any]) -> tuple[int, str]:
    """Store what a URL answers, piece by piece; its size and MIME type."""
    name, where = values["fileName"], http.check_url(values["url"]).partition("?")[0]
    request = http.HttpRequest(
        method="GET",
        url=values["url"],
        headers=values.get("headers", {}),
        timeout=call.timeout,
        max_response_bytes=LARGEST_BYTES,
    )
    try:
        async with http.stream(request) as coming:
            if not 200 <= coming.status < 300:
                answer = http.HttpResponse(status=coming.status, reason=coming.reason, headers=coming.headers, body=b"")
                _raise(failed_answer(where, answer, now=clock.machine_now()))
            told = coming.headers.get("content-type", "")
            mime_type = values.get("mimeType") or guessed_type(name)
            mime_type = mime_type or (told if operations.is_mime_type(told) else UNKNOWN_TYPE)
            return await transfer.move(store, name, coming.pieces(), mime_type), mime_type
    except http.ResponseTooLarge as error:
        raise AttemptFailed(RESPONSE_TOO_LARGE, str(error)) from None
    except http.HttpError as error:
        _raise(failed_exchange(error))


async def _download(store: Store, values: Mapping[str, Any], most: int) -> dict[str, Any]:
    name = values["fileName"]
    content = await in_thread(store.read, name, most)
    if operations.as_text(values):
        try:
            data, encoding = content.data.decode(), "text"
        except UnicodeDecodeError:
            data = "\x00"
        if "\x00" in data:
            raise AttemptFailed(VALIDATION_ERROR, f"{name!r} is not text in UTF-8: download it with encoding base64")
    else:
        data, encoding = base64.b64encode(content.data).decode(), "base64"
    return {
        "success": True,
        "fileName": name,
        "data": data,
        "encoding": encoding,
        "size": len(content.data),
        "mimeType": content.mime_type or UNKNOWN_TYPE,
    }


async def _list(store: Store, values: Mapping[str, Any]) -> dict[str, Any]:
    limit = values.get("limit", _PAGE)
    page = await in_thread(store.page, values.get("prefix", ""), limit, values.get("continuationToken"))
    result: dict[str, Any] = {"success": True, "files": [_told(entry) for entry in page.entries], "limit": limit}
    if page.token is not None:
        result["nextToken"] = page.token
    return {**result, "hasMore": page.token is not None}


async def _sign(opened: Opened, store: Store, values: Mapping[str, Any]) -> dict[str, Any]:
    name, seconds, write = values["fileName"], values.get("expiresIn", _SIGNED_SECONDS), operations.writes(values)
    until = clock.machine_now() + timedelta(seconds=seconds)
    url = await in_thread(_signed, store, name, write, seconds, values.get("mimeType"))
    if opened.redact(url) != url:
        raise AttemptFailed(
            VALIDATION_ERROR,
            f"a signed URL of {store.where} would show a value that is kept as a secret: write the name of the account "
            "or key (access_key_id) into the catalog as it is, only what belongs to it is secret",
        )
    return {
        "success": True,
        "url": url,
        "fileName": name,
        "action": "write" if write else "read",
        "expiresIn": seconds,
        "expiresAt": to_ms(until),
    }


def _signed(store: Store, name: str, write: bool, seconds: int, mime_type: str | None) -> str:
    return store.signed_url(name, write=write, seconds=seconds, mime_type=mime_type)


async def _count(store: Store, values: Mapping[str, Any]) -> dict[str, Any]:
    files = size = 0
    families = dict.fromkeys(_FAMILIES, 0)
    some = store.walk(values.get("prefix", ""))
    while (entries := await in_thread(next, some, None)) is not None:
        files += len(entries)
        for entry in entries:
            size += entry.size
            families[family(entry.name)] += 1
    return {"success": True, "totalFiles": files, "totalSize": size, "byType": families}


def _told(entry: Entry) -> dict[str, Any]:
    name = entry.name.replace("\x00", "\ufffd")  # S3 takes it, a database does not
    return {"fileName": name, "size": entry.size, "lastModified": entry.modified}


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _operation(target: Mapping[str, Any]) -> str | None:
    """The operation that a target names, None where it names a saved event."""
    event = next((target[name] for name in ("event", "operation") if target.get(name) is not None), None)
    if not isinstance(event, str):
        return None
    name = canonical(event.removeprefix(f"{target.get('storage')}:"))
    return name if name in OPERATIONS else None


def _asked(
    found: Found, target: Mapping[str, Any], input: Mapping[str, Any]
) -> tuple[str, dict[str, Any], list[FieldError]]:
    """Operation, values, and what is wrong with the way that a saved event was completed."""
    operation = _operation(target)
    if operation is not None:
        return operation, dict(input), []
    saved = str(found.event_settings["operation"])
    return saved, *operations.completed(saved, found.event_settings.get("template", {}), input, "input")


def _naming_operations(error: NotFound, target: Mapping[str, Any]) -> NotFound:
    """An event that is not there may be a misspelled operation."""
    if error.code != "event_not_found" or "did you mean" in error.detail:
        return error
    event = str(next(target[name] for name in ("event", "operation") if target.get(name) is not None))
    meant = nearest(event, list(OPERATIONS))
    told = f"did you mean {meant!r}?" if meant is not None else f"operations are {', '.join(OPERATIONS)}"
    detail = f"{error.detail.partition(': add it with')[0]}: {told}"
    errors = [dataclasses.replace(each, detail=detail) for each in error.errors]
    return NotFound(detail, code=error.code, errors=errors)


def _raise(failed: Failed) -> NoReturn:
    raise AttemptFailed(
        failed.code, failed.message, retryable=failed.retryable, retry_after=failed.retry_after, result=failed.result
    )
