"""What a type of database cannot do, told before anything is sent. Data only."""

from __future__ import annotations

TYPES = ("mariadb", "mongodb", "mysql", "postgresql", "sqlite")
_LISTS = "$push", "$pull", "$addToSet", "$pop", "$containedBy", "$overlaps"
_RENAME = "a table's columns have the names they have"
_LISTED = "only postgresql (columns that are arrays) and mongodb have it"

# What is lacking → why, or the way out.
_LACKING: dict[str, dict[str, str]] = {
    "postgresql": {"$rename": _RENAME},
    "mysql": {
        **dict.fromkeys(_LISTS, _LISTED),
        "$rename": _RENAME,
        "returning": "MySQL cannot return the rows it wrote: leave it out, or find them after",
        "returning of update": "MySQL cannot return the rows it wrote: leave it out, or find them after",
        "returning of delete": "MySQL cannot return the rows it deleted: leave it out, or find them before",
    },
    "mariadb": {
        **dict.fromkeys(_LISTS, _LISTED),
        "$rename": _RENAME,
        "returning of update": "MariaDB cannot return the rows it updated: leave it out, or find them after",
    },
    "sqlite": {
        **dict.fromkeys(_LISTS, _LISTED),
        "$rename": _RENAME,
        "$regex": "SQLite has no regular expressions: use $like",
    },
    "mongodb": {
        "raw": "MongoDB has no SQL: use find or aggregate",
        "returning of update": "MongoDB does not return the documents that an update of many wrote: find them after",
        "returning of delete": "MongoDB does not return what a delete of many removed: find them before",
        "onConflict": "use upsert",
    },
}


def lacking(type: str, what: str) -> str | None:
    """Why a type of database cannot do it, or None."""
    why = _LACKING.get(type, {}).get(what)
    return f"{type} has no {what}: {why}" if why is not None else None
