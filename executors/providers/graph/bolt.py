"""Graphs behind a Bolt server, by the official driver: connecting, transactions, values, errors.

What Neo4j and Memgraph have in common. A request is one transaction; changes of indexes and constraints, which not
every server takes in one, are sent by themselves.
"""

from __future__ import annotations

import base64
import math
import ssl
from collections.abc import Mapping
from typing import Any

from neo4j import AsyncDriver, AsyncGraphDatabase, AsyncResult, Query
from neo4j.exceptions import (
    AuthError,
    ClientError,
    ConfigurationError,
    ConnectionAcquisitionTimeoutError,
    CypherSyntaxError,
    DatabaseError,
    DriverError,
    Forbidden,
    Neo4jError,
    ServiceUnavailable,
    SessionExpired,
    TransientError,
)  # fmt: skip
from neo4j.graph import Node, Path, Relationship

from executors.base import (
    CONNECTION_ERROR,
    FORBIDDEN,
    SERVICE_UNAVAILABLE,
    TIMEOUT,
    UNAUTHORIZED,
    VALIDATION_ERROR,
    AttemptFailed,
)  # fmt: skip
from executors.catalog.components import Opened
from executors.providers.graph.cypher import Plan, Rows, Statement
from executors.providers.graph.dialect import Dialect
from executors.providers.graph.places import Place, place_of
from executors.providers.graph.plans import plan
from executors.providers.graph.requests import SCHEMA, Request
from executors.reach.addresses import checked_later
from executors.reach.clients import Clients

CONNECT_SECONDS = 10.0
CONNECTIONS = 16  # to one server from one process
ACQUIRE_SECONDS = 30.0  # that a transaction waits for one of them


def config_of(place: Place) -> dict[str, Any]:
    """What the driver is told besides the address."""
    auth = (place.username, place.password or "") if place.username else None
    return {
        "auth": auth,
        "connection_timeout": CONNECT_SECONDS,
        "connection_acquisition_timeout": ACQUIRE_SECONDS,
        "max_connection_pool_size": CONNECTIONS,
        "user_agent": "ductape-jobs",
        "telemetry_disabled": True,
    }


class Bolt:
    """A backend for one dialect. A driver, which pools its connections, is kept per connection of the catalog."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._drivers: Clients[AsyncDriver] = Clients(lambda driver: driver.close())

    async def run(self, opened: Opened, request: Request, *, timeout: float) -> Mapping[str, Any]:
        place = _placed(opened)
        # Before each use: a name may have come to mean another address since the driver was made.
        await checked_later(place.host, place.port)
        async with self._drivers.use(opened.key, lambda: self._connected(place)) as driver:
            try:
                return await self._run(driver, opened, request, timeout)
            except (Neo4jError, DriverError, OSError) as error:
                if isinstance(error, (ServiceUnavailable, SessionExpired, AuthError, OSError)):
                    self._drivers.drop(opened.key)
                raise told(error, place) from error
            except (ValueError, TypeError, OverflowError) as error:  # a parameter that Bolt has no type for
                raise AttemptFailed(VALIDATION_ERROR, f"the driver refused it: {error}") from error

    async def check(self, opened: Opened) -> str:
        place = _placed(opened)
        driver = await self._connected(place)
        try:
            server = await driver.get_server_info()
            async with driver.session(**_session(opened)) as session:
                await (await session.run("RETURN 1 AS one")).consume()
        except (Neo4jError, DriverError, OSError, ValueError) as error:
            raise told(error, place) from error
        finally:
            await driver.close()
        database = opened.connection.get("database")
        return f"connected: {server.agent}" + (f", database {database}" if database else "")

    async def close_all(self) -> None:
        """Close the drivers of this event loop."""
        await self._drivers.close_all()

    async def _connected(self, place: Place) -> AsyncDriver:
        address = await checked_later(place.host, place.port)
        try:
            return AsyncGraphDatabase.driver(place.uri(address), **config_of(place))
        except (DriverError, ValueError) as error:
            raise told(error, place) from error

    async def _run(self, driver: AsyncDriver, opened: Opened, request: Request, timeout: float) -> dict[str, Any]:
        steps = plan(request, self._dialect)
        async with driver.session(**_session(opened)) as session:
            if request.operation in SCHEMA:

                async def alone(statement: Statement) -> Rows:
                    query = Query(statement.text, timeout=timeout)  # names are quoted, values are parameters
                    return await _rows(await session.run(query, dict(statement.params)), statement)

                return await _driven(steps, alone)
            transaction = await session.begin_transaction(timeout=timeout)
            async with transaction:

                async def within(statement: Statement) -> Rows:
                    return await _rows(await transaction.run(statement.text, dict(statement.params)), statement)

                result = await _driven(steps, within)
                await transaction.commit()
                return result


def _placed(opened: Opened) -> Place:
    try:
        place = place_of(opened.connection["connection_url"])
    except ValueError as error:
        raise AttemptFailed(VALIDATION_ERROR, f"connection_url of {opened.found}: {error}") from None
    username = opened.connection.get("username", place.username)
    password = opened.connection.get("password", place.password)
    return Place(place.host, place.port, place.tls, username, password)


def _session(opened: Opened) -> dict[str, Any]:
    database = opened.connection.get("database")
    return {"database": database} if database else {}


async def _driven(steps: Plan[dict[str, Any]], send: Any) -> dict[str, Any]:
    """Carry a plan out: each statement is sent, and its rows go back into the plan."""
    try:
        statement = next(steps)
        while True:
            statement = steps.send(await send(statement))
    except StopIteration as end:
        result: dict[str, Any] = end.value
        return result


async def _rows(result: AsyncResult, statement: Statement) -> Rows:
    rows = Rows(statement.most, statement.longest)
    names = result.keys()
    async for record in result:
        rows.add({name: as_json(record[name]) for name in names})
    counters = (await result.consume()).counters
    rows.created = counters.nodes_created + counters.relationships_created
    return rows


def as_json(value: Any) -> Any:
    """A value of the driver as JSON: nodes, relationships and paths as the contract has them, times as ISO texts."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Node):
        return {
            "id": value.element_id, "labels": sorted(value.labels), "properties": _properties(value),
            "elementId": value.element_id,
        }  # fmt: skip
    if isinstance(value, Relationship):
        start, end = value.nodes
        return {
            "id": value.element_id, "type": value.type,
            "startNodeId": start.element_id if start is not None else None,
            "endNodeId": end.element_id if end is not None else None,
            "properties": _properties(value), "elementId": value.element_id,
        }  # fmt: skip
    if isinstance(value, Path):
        return {
            "nodes": [as_json(node) for node in value.nodes],
            "relationships": [as_json(relationship) for relationship in value.relationships],
            "length": len(value.relationships),
        }
    if isinstance(value, Mapping):
        return {str(name): as_json(each) for name, each in value.items()}
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(bytes(value)).decode()
    if hasattr(value, "iso_format"):
        return value.iso_format()
    if isinstance(value, (list, tuple, set, frozenset)):  # a point in space is a tuple
        return [as_json(each) for each in value]
    return str(value)


def _properties(entity: Any) -> dict[str, Any]:
    return {name: as_json(each) for name, each in entity.items()}


def told(error: BaseException, place: Place) -> AttemptFailed:
    """A foreign error as one of ours."""
    where = f"{place.host}:{place.port}"
    detail = (getattr(error, "message", None) or str(error) or type(error).__name__)[:1000]
    code = str(getattr(error, "code", None) or "")
    if isinstance(error, AuthError) or ".Security.Unauth" in code:
        return AttemptFailed(UNAUTHORIZED, f"{where} does not accept the credentials: {detail}")
    if isinstance(error, Forbidden):
        return AttemptFailed(FORBIDDEN, f"{where} forbids it: {detail}")
    if "TimedOut" in code or "Timeout" in code:
        return AttemptFailed(TIMEOUT, f"{where} ended it after its time was over: {detail}", retryable=True)
    if isinstance(error, (ServiceUnavailable, SessionExpired, OSError)):
        under = error.__cause__ or error.__context__
        if isinstance(under, Neo4jError):  # it answered, as a member of a cluster that cannot write
            return AttemptFailed(SERVICE_UNAVAILABLE, f"{where} could not do it now: {under.message}", retryable=True)
        if isinstance(under, ssl.SSLCertVerificationError):
            return AttemptFailed(CONNECTION_ERROR, f"{where}: its certificate is not accepted: {under.verify_message}")
        return AttemptFailed(CONNECTION_ERROR, f"no connection to {where}: {detail}", retryable=True)
    if isinstance(error, (TransientError, DatabaseError, ConnectionAcquisitionTimeoutError)):
        return AttemptFailed(SERVICE_UNAVAILABLE, f"{where} could not do it now: {detail}", retryable=True)
    if isinstance(error, (ClientError, CypherSyntaxError, ConfigurationError, ValueError)):
        return AttemptFailed(VALIDATION_ERROR, f"{where} refused it: {detail}")
    return AttemptFailed(SERVICE_UNAVAILABLE, f"{where}: {type(error).__name__}: {detail}", retryable=True)
