"""Names of files in a storage: the same rules for every provider, so that none can be led out of its folder. Pure."""

from __future__ import annotations

from mimetypes import MimeTypes

LONGEST_NAME = 1024  # bytes of UTF-8, the limit of S3, Google and Azure alike
UNFINISHED = ".ductape-parts"  # where a local folder keeps what is not complete yet
UNKNOWN_TYPE = "application/octet-stream"

_DOCUMENTS = (
    "text/", "application/pdf", "application/json", "application/xml", "application/msword", "application/rtf",
    "application/vnd.", "application/yaml", "application/epub",
)  # fmt: skip
_ARCHIVES = (
    "application/zip", "application/gzip", "application/x-tar", "application/x-bzip2", "application/x-xz",
    "application/x-7z-compressed", "application/vnd.rar", "application/zstd", "application/java-archive",
)  # fmt: skip
_TYPES = MimeTypes()  # Python's own table: a machine's would tell differently on another
_OFFICE = "application/vnd.openxmlformats-officedocument."
for _ending, _type in {
    ".webp": "image/webp", ".yaml": "application/yaml", ".yml": "application/yaml", ".7z": "application/x-7z-compressed",
    ".rar": "application/vnd.rar", ".docx": f"{_OFFICE}wordprocessingml.document", ".xlsx": f"{_OFFICE}spreadsheetml.sheet",
    ".pptx": f"{_OFFICE}presentationml.presentation", ".odt": "application/vnd.oasis.opendocument.text",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet", ".ogg": "audio/ogg", ".flac": "audio/flac",
    ".mkv": "video/x-matroska",
}.items():  # fmt: skip
    _TYPES.add_type(_type, _ending)
_PACKED = frozenset({"gzip", "bzip2", "xz", "compress", "br"})


def wrong_name(name: str) -> str | None:
    """Why a file cannot be called that, or None."""
    if not name:
        return "must not be empty"
    if name.endswith("/"):
        return f"{name[:80]!r} ends with a slash: name a file, not a folder"
    return wrong_prefix(name)


def wrong_prefix(prefix: str) -> str | None:
    """Why no file's name can begin like that, or None. The empty one begins every name."""
    try:
        length = len(prefix.encode())
    except UnicodeEncodeError:
        return "holds half of a surrogate pair"
    if length > LONGEST_NAME:
        return f"has {length} bytes, at most {LONGEST_NAME} are accepted"
    if any(character < " " or character == "\x7f" for character in prefix):
        return "holds a control character"
    if "\\" in prefix:
        return f"{prefix[:80]!r} holds a backslash: folders are divided by /"
    if prefix.startswith("/"):
        return f"{prefix[:80]!r} begins with a slash: names are relative to the storage"
    *folders, last = prefix.split("/")
    if "" in folders or {".", ".."} & {*folders, last}:
        return f"{prefix[:80]!r} has an empty part, or one that is . or .."
    if prefix.split("/", 1)[0] == UNFINISHED:
        return f"{UNFINISHED!r} is where files are kept that are not complete yet"
    return None


def guessed_type(name: str) -> str | None:
    """The MIME type that a file's name tells, None where it tells none."""
    guessed, packed = _TYPES.guess_type(f"file:{name}")
    return "application/gzip" if packed == "gzip" else UNKNOWN_TYPE if packed else guessed


def family(name: str) -> str:
    """image, video, audio, document, archive or other: how statistics count a file, told by its name."""
    guessed, packed = _TYPES.guess_type(f"file:{name}")
    if packed in _PACKED or (guessed or "").startswith(_ARCHIVES):
        return "archive"
    if guessed is None:
        return "other"
    if (kind := guessed.partition("/")[0]) in ("image", "video", "audio"):
        return kind
    return "document" if guessed.startswith(_DOCUMENTS) else "other"
