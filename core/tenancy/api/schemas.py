"""Keys as OpenAPI schemas."""

from __future__ import annotations

from core.openapi import TEXT, TIME, TIME_GIVEN, Schema, list_of, nullable, obj, one_of, ref
from core.tenancy import scopes

_SCOPE = one_of(*sorted(scopes.ALL))
_SHOWN: dict[str, Schema] = {
    "id": {"type": "integer"},
    "name": TEXT,
    "prefix": {**TEXT, "description": "the beginning of the key, by which it is told from others"},
    "scopes": list_of(_SCOPE),
    "product": nullable(TEXT),
    "envs": {**list_of(TEXT), "description": "none: all of the product's"},
    "created_at": TIME,
}
_TIMES: dict[str, Schema] = {"expires_at": TIME, "revoked_at": TIME, "last_used_at": TIME}

COMPONENTS: dict[str, Schema] = {
    "ApiKey": obj(_SHOWN, _TIMES),
    "ApiKeys": obj({"keys": list_of(ref("ApiKey"))}),
    "MadeApiKey": obj({**_SHOWN, "key": {**TEXT, "description": "shown only now"}}, _TIMES),
    "NewApiKey": obj(
        {"name": {**TEXT, "minLength": 1, "maxLength": 200}},
        {
            "product": {**TEXT, "description": "left out: the product of the key that asks; of an operator key: none"},
            "envs": {**list_of(TEXT), "description": "only these environments"},
            "scopes": {**list_of(_SCOPE), "description": "left out: those of the key that asks"},
            "expires_at": nullable(TIME_GIVEN),
        },
    ),
}
