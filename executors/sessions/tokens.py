"""The token of a session: `tag:jwt`, made and read. Pure: never queries, never says whether a session still counts.

The JWT is signed (HS256) with a key of its own for each product, derived from the ring of FIELD_ENCRYPTION_KEYS; its
header names the key of the ring. What the session holds is sealed within, so that its bearer cannot read it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import jwt

from core import crypto, strictjson
from core.tenancy.visibility import Place
from core.times import to_ms
from executors.sessions.counting import Held, Refused

ALGORITHM = "HS256"
LONGEST_DATA = 16 * 1024  # bytes of JSON
LONGEST_TOKEN = 64 * 1024  # characters
_REQUIRED = ["aud", "jti", "exp", "sub", "config", "data"]
_JWT = re.compile(r"[A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]+){2}")


def parted(given: object, *, tag: str | None = None) -> tuple[str, str]:
    """(tag, jwt) of `{tag, token}`, of `tag:jwt`, or of a bare jwt where the tag is known. Raises Refused."""
    if isinstance(given, Mapping):
        named, given = given.get("tag"), given.get("token")
        if not isinstance(named, str) or not named:
            raise Refused("names no `tag`: the session configuration it was started by")
        tag = named
    if not isinstance(given, str) or not given or len(given) > LONGEST_TOKEN:
        raise Refused(f"must be a token as `start` returns it, text of at most {LONGEST_TOKEN} characters")
    prefix, colon, text = given.rpartition(":")
    if colon and tag is not None and prefix != tag:
        raise Refused(f"was started by {prefix[:60]!r}, not by {tag[:60]!r}")
    if not colon and tag is None:
        raise Refused('does not say its tag: give the whole token as `start` returns it ("tag:jwt"), or {tag, token}')
    if not _JWT.fullmatch(text):
        raise Refused("is no token that `start` returns")
    return (prefix if colon else tag) or "", text


def made(held: Held, place: Place) -> str:
    """The token of a session in its place: `tag:jwt`."""
    key, secret = next(iter(_keys(place).items()))
    claims = {
        "aud": _audience(place),
        "sub": held.tag,
        "jti": held.session_id,
        "iat": to_ms(held.started_at) // 1000,
        "exp": to_ms(held.expires_at) // 1000,
        "config": held.config_id,
        "data": crypto.seal(held.dumps(), _sealed_in(place, held.session_id)),
    }
    return f"{held.tag}:{jwt.encode(claims, secret, ALGORITHM, headers={'kid': key})}"


def read(text: str, place: Place) -> Held:
    """The session of a jwt; that it has expired is not looked at. Raises Refused."""
    try:
        key = jwt.get_unverified_header(text).get("kid")
        secret = _keys(place).get(key) if isinstance(key, str) else None
        if secret is None:
            raise Refused("is signed under a key that this installation does not have (any more): start a new session")
        claims = jwt.decode(
            text,
            secret,
            [ALGORITHM],
            options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False, "verify_aud": False},
        )
        if claims["aud"] != _audience(place):
            raise Refused(f"was started for {str(claims['aud'])[:120]!r}, not for {_audience(place)!r}")
        held = Held.loads(crypto.unseal(claims["data"], _sealed_in(place, claims["jti"])))
    except jwt.InvalidSignatureError:
        raise Refused(
            f"has a wrong signature: it was altered, or was not started for product {place.product!r}"
        ) from None
    except (jwt.PyJWTError, crypto.CannotOpen, ValueError, KeyError, TypeError):
        raise Refused("is no token that `start` returns") from None
    return held


def audience(text: str) -> str:
    """The environment's slug that a jwt says it is for, not verified; empty where it says none."""
    try:
        claims = jwt.decode(text, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError):
        return ""
    said = claims.get("aud")
    return said.rpartition("/")[2] if isinstance(said, str) else ""


def data_text(data: object) -> str:
    """The data of a new session as JSON. Raises ValueError with a sentence."""
    if not isinstance(data, Mapping):
        raise ValueError("must be an object: what `$Session{…}` is to stand for")
    raw = strictjson.dumps(data)
    if len(raw) > LONGEST_DATA:
        raise ValueError(f"is longer than {LONGEST_DATA} bytes of JSON: keep it elsewhere, and its id in the session")
    return raw.decode()


def _keys(place: Place) -> Mapping[str, bytes]:
    return crypto.ring().derived(crypto.context("session tokens", "product", place.product_id))


def _audience(place: Place) -> str:
    return f"{place.product}/{place.env}"


def _sealed_in(place: Place, session_id: str) -> str:
    return crypto.context("product", place.product_id, "env", place.environment_id, "session", session_id)
