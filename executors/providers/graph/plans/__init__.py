"""What each operation does: its plan, and its result."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from executors.providers.graph.cypher import Plan, Rows, Statement
from executors.providers.graph.dialect import Dialect
from executors.providers.graph.plans import components, indexes, nodes, paths, queries, relationships, statistics
from executors.providers.graph.requests import Request

Result = dict[str, Any]

_PLANS: dict[str, Callable[[Any, Dialect], Plan[Result]]] = {
    "createNode": nodes.create,
    "findNodes": nodes.find,
    "findNodeById": nodes.find_by_id,
    "updateNode": nodes.update,
    "deleteNode": nodes.delete,
    "mergeNode": nodes.merge,
    "addLabels": nodes.add_labels,
    "removeLabels": nodes.remove_labels,
    "setLabels": nodes.set_labels,
    "createRelationship": relationships.create,
    "findRelationships": relationships.find,
    "findRelationshipById": relationships.find_by_id,
    "updateRelationship": relationships.update,
    "deleteRelationship": relationships.delete,
    "mergeRelationship": relationships.merge,
    "traverse": paths.traverse,
    "shortestPath": paths.shortest,
    "allPaths": paths.every,
    "getNeighborhood": paths.neighborhood,
    "findConnectedComponents": components.connected,
    "countNodes": statistics.count_nodes,
    "countRelationships": statistics.count_relationships,
    "getStatistics": statistics.overall,
    "fullTextSearch": queries.full_text,
    "vectorSearch": queries.vector,
    "query": queries.native,
    "schema.listLabels": statistics.labels,
    "schema.listRelationshipTypes": statistics.types,
    **indexes.PLANS,
}


def plan(request: Request, dialect: Dialect) -> Plan[Result]:
    """How a request that was checked is carried out."""
    if request.operation == "transaction":
        return _all_of(request.options["operations"], dialect)
    return _PLANS[request.operation](request.options, dialect)


def _all_of(requests: list[Request], dialect: Dialect) -> Generator[Statement, Rows, Result]:
    results = []
    for request in requests:
        results.append((yield from plan(request, dialect)))
    return {"results": results, "count": len(results)}
