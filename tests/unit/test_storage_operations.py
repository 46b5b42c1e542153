"""What the operations of a storage take, how names are guarded, and how saved events are completed. No servers."""

from __future__ import annotations

from typing import Any

import pytest

from executors.expressions import Moment, Unknown
from executors.providers.storage import failures
from executors.providers.storage.names import family, guessed_type, wrong_name, wrong_prefix
from executors.providers.storage.operations import OPERATIONS, canonical, completed, problems
from executors.templates import filled


def told(operation: str, type: str = "s3", partly: bool = False, **given: Any) -> dict[str, str]:
    return {error.field: error.detail for error in problems(operation, given, "input", type=type, partly=partly)}


@pytest.mark.parametrize("name", ["a", "a/b.txt", "ü/日本.pdf", ".hidden", "a/..b/c..", "x" * 1024, "a b&?#%", "..."])
def test_a_name_within_the_storage_is_right(name: str) -> None:
    assert wrong_name(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "", "/etc/passwd", "../a", "a/../b", "a/..", "..", ".", "./a", "a//b", "a/", "a\x00b", "a\nb", "a\\..\\b",
        "ü" * 513, "\ud800", ".ductape-parts/x", "\x7f",
    ],
    ids=ascii,
)  # fmt: skip
def test_a_name_that_could_lead_elsewhere_is_refused(name: str) -> None:
    assert wrong_name(name) is not None


def test_a_prefix_may_be_empty_or_a_folder_but_leads_nowhere_else() -> None:
    assert [wrong_prefix(text) for text in ("", "a/", "a/b", "a/b/.")[:3]] == [None, None, None]
    assert wrong_prefix("a/../") is not None
    assert wrong_prefix("/") is not None


@pytest.mark.parametrize(
    ("name", "type", "kind"),
    [
        ("a.PNG", "image/png", "image"), ("a.webp", "image/webp", "image"), ("a/b.tar.gz", "application/gzip", "archive"),
        ("a.zip", "application/zip", "archive"), ("a.json", "application/json", "document"), ("data:,x", None, "other"),
        ("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "document"), ("a", None, "other"),
    ],
)  # fmt: skip
def test_a_name_tells_a_type_alike_on_every_machine(name: str, type: str | None, kind: str) -> None:
    assert (guessed_type(name), family(name)) == (type, kind)


@pytest.mark.parametrize("word", ["listFiles", "listfiles", "LIST_FILES", "list-files"])
def test_an_operation_may_be_written_in_any_case(word: str) -> None:
    assert canonical(word) == "listFiles"


def test_every_wrong_value_is_told_at_once_with_its_place() -> None:
    assert told("upload", fileName="../x", mimeType="a b", bufer="x", encoding="latin", content="x") == {
        "input.bufer": "there is no such field: did you mean 'buffer'?",
        "input.fileName": "'../x' has an empty part, or one that is . or ..",
        "input.mimeType": "'a b' is no MIME type, such as application/pdf",
        "input.encoding": "'latin' is not one of base64, text, utf-8, utf8",
    }


@pytest.mark.parametrize(
    ("operation", "given", "field"),
    [
        ("upload", {"content": "x"}, "input.fileName"), ("upload", {"fileName": "a"}, "input.content"),
        ("upload", {"fileName": "a", "content": "x", "url": "http://a.example/"}, "input.url"),
        ("upload", {"fileName": "a", "buffer": "x", "content": "x"}, "input.content"),
        ("upload", {"fileName": "a", "buffer": "no base64!"}, "input.buffer"), ("upload", {"fileName": "a", "buffer": 5}, "input.buffer"),
        ("upload", {"fileName": "a", "buffer": {"type": "Buffer", "data": [256]}}, "input.buffer"),
        ("upload", {"fileName": "a", "buffer": "aGk=", "encoding": "base64"}, "input.encoding"),
        ("upload", {"fileName": "a", "content": {"a": 1}, "encoding": "base64"}, "input.content"),
        ("upload", {"fileName": "a", "content": "x", "headers": {}}, "input.headers"),
        ("upload", {"fileName": "a", "url": "file:///etc/passwd"}, "input.url"), ("upload", {"fileName": "a", "url": "ftp://a/"}, "input.url"),
        ("upload", {"fileName": "a", "url": "http://u:p@a.example/"}, "input.url"),
        ("upload", {"fileName": "a", "url": "http://a.example/", "headers": {"Host": "b"}}, "input.headers"),
        ("upload", {"fileName": "a", "url": "http://a.example/", "headers": {"X": "a\r\nB: c"}}, "input.headers"),
        ("upload", {"fileName": "a", "file_name": "b", "content": "x"}, "input.file_name"), ("upload", {"fileName": 5, "content": "x"}, "input.fileName"),
        ("download", {}, "input.fileName"), ("download", {"fileName": "a", "encoding": "json"}, "input.encoding"),
        ("remove", {"fileName": "a/"}, "input.fileName"), ("remove", {"prefix": ""}, "input.prefix"),
        ("listFiles", {"limit": 0}, "input.limit"), ("listFiles", {"limit": 1001}, "input.limit"), ("listFiles", {"limit": True}, "input.limit"),
        ("listFiles", {"prefix": "../"}, "input.prefix"), ("listFiles", {"continuationToken": ""}, "input.continuationToken"),
        ("getSignedUrl", {"fileName": "a", "expiresIn": 604_801}, "input.expiresIn"), ("getSignedUrl", {"fileName": "a", "action": "delete"}, "input.action"),
        ("stats", {"prefix": 5}, "input.prefix"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_told(operation: str, given: dict[str, Any], field: str) -> None:
    assert field in told(operation, **given)


def test_what_only_a_run_knows_is_never_refused() -> None:
    unknown = Unknown("$Secret{X}")

    for operation, parameters in OPERATIONS.items():
        given: dict[str, Any] = {name: unknown for name in parameters if name not in ("buffer", "url", "headers")}
        assert told(operation, **given) == {}
    assert told("upload", fileName=unknown, content={"a": [unknown]}, encoding="base64") == {}
    assert told("upload", fileName="a", url=unknown, headers={"Authorization": unknown}) == {}
    assert told("upload", fileName="a", buffer={"type": "Buffer", "data": [unknown]}) == {}


def test_a_folder_has_no_signed_urls() -> None:
    assert "no signed URLs" in told("getSignedUrl", type="local", fileName="a")["input"]


def test_a_saved_event_is_completed_by_its_placeholders_and_by_what_it_leaves_open() -> None:
    template = {"fileName": "dump-{{day}}-{{ n }}.json", "content": "{{rows}}", "mimeType": "application/json"}

    values, errors = completed(
        "upload", template, {"day": "{{n}}", "n": Moment(5), "rows": [{"a": "{{day}}"}]}, "input"
    )

    assert errors == []
    assert values == {
        "fileName": "dump-{{n}}-5.json", "content": [{"a": "{{day}}"}], "mimeType": "application/json",
    }  # fmt: skip
    values, errors = completed("upload", {"fileName": "a"}, {"buffer": "aGk=", "mimeType": "a/b"}, "input")
    assert (values, errors) == ({"fileName": "a", "buffer": "aGk=", "mimeType": "a/b"}, [])


def test_what_a_saved_event_does_not_take_is_told() -> None:
    def of(given: dict[str, Any]) -> dict[str, str]:
        _, errors = completed("upload", {"fileName": "d-{{day}}"}, given, "input")
        return {error.field: error.detail for error in errors}

    assert of({"content": "x"}) == {"input.day": "is required: the saved event has {{day}}"}
    assert of({"day": "1", "fileName": "x"}) == {"input.fileName": "is set by the saved event"}
    assert of({"day": "1", "file_name": "x"}) == {"input.file_name": "is set by the saved event"}
    assert "did you mean 'content'" in of({"day": "1", "contnt": "x"})["input.contnt"]
    assert "is a part of a text" in of({"day": ["1"]})["input.day"]
    assert "is a part of a text" in of({"day": None})["input.day"]


def test_a_placeholder_in_a_template_may_become_anything() -> None:
    template = filled({"fileName": "{{a}}", "limit": "x{{b}}", "c": [1, "d"]}, Unknown)

    assert [isinstance(value, Unknown) for value in (template["fileName"], template["limit"])] == [True, True]
    assert template["c"] == [1, "d"]
    values, _ = completed("upload", {"fileName": "d-{{day}}"}, {"day": Unknown("$Secret{D}")}, "input")
    assert isinstance(values["fileName"], Unknown)


@pytest.mark.parametrize(
    ("status", "said", "code", "retryable"),
    [
        (404, "NoSuchKey", "NOT_FOUND", False), (404, "NoSuchBucket", "NOT_FOUND", False), (403, "AccessDenied", "FORBIDDEN", False),
        (403, "SignatureDoesNotMatch", "UNAUTHORIZED", False), (403, "InvalidAccessKeyId", "UNAUTHORIZED", False), (401, "", "UNAUTHORIZED", False),
        (503, "SlowDown", "RATE_LIMITED", True), (429, "", "RATE_LIMITED", True), (503, "ServiceUnavailable", "SERVICE_UNAVAILABLE", True),
        (500, "InternalError", "SERVICE_UNAVAILABLE", True), (400, "RequestTimeout", "TIMEOUT", True), (400, "InvalidArgument", "VALIDATION_ERROR", False),
        (507, "XMinioStorageFull", "SERVICE_UNAVAILABLE", True), (409, "OperationAborted", "SERVICE_UNAVAILABLE", True), (301, "PermanentRedirect", "VALIDATION_ERROR", False),
    ],
)  # fmt: skip
def test_an_answer_is_told_as_what_it_means(status: int, said: str, code: str, retryable: bool) -> None:
    failed = failures.answered("bucket", status, said, "because\n of", retry_after="7").failed

    assert (failed.code, failed.retryable, failed.retry_after) == (code, retryable, 7.0)
    assert failed.message == f"bucket answered {status} {said + ': ' if said else ''}because of"


@pytest.mark.parametrize(
    ("number", "code", "retryable", "text"),
    [
        (28, "SERVICE_UNAVAILABLE", True, "the disk is full"), (122, "SERVICE_UNAVAILABLE", True, "the disk is full"),
        (13, "FORBIDDEN", False, "permission denied"), (36, "VALIDATION_ERROR", False, "file name too long"),
        (5, "SERVICE_UNAVAILABLE", True, "input/output error"), (2, "NOT_FOUND", False, "no such file or directory"),
    ],
)  # fmt: skip
def test_an_error_of_the_file_system_is_told_as_what_it_means(
    number: int, code: str, retryable: bool, text: str
) -> None:
    import os

    failed = failures.refused_by_system("folder", OSError(number, os.strerror(number))).failed

    assert (failed.code, failed.retryable, failed.message) == (code, retryable, f"folder: {text}")
