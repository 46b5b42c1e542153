"""Memgraph: by Bolt and openCypher as Neo4j, with whole numbers as ids and its own ways to find paths and to index."""

from __future__ import annotations

from collections.abc import Sequence

from executors.providers.graph.bolt import Bolt
from executors.providers.graph.cypher import Params, Var
from executors.providers.graph.dialect import Dialect


class Memgraph(Dialect):
    datetimes = False  # it knows no datetime({epochMillis: …})

    labels_query = "MATCH (n) UNWIND labels(n) AS label RETURN DISTINCT label"
    types_query = "MATCH ()-[r]->() RETURN DISTINCT type(r) AS type"
    index_queries = {
        "node index": "CREATE INDEX ON :{label}({properties})",
        "relationship index": "CREATE EDGE INDEX ON :{type}({properties})",
        "unique constraint": "CREATE CONSTRAINT ON (n:{label}) ASSERT {of_n} IS UNIQUE",
        "exists constraint": "CREATE CONSTRAINT ON (n:{label}) ASSERT EXISTS ({of_n})",
        "indexes": "SHOW INDEX INFO",
        "constraints": "SHOW CONSTRAINT INFO",
    }

    def _has_id(self, name: str, ids: Sequence[str | int], params: Params) -> str:
        """A text that is no number is the id of nothing."""
        whole = [int(id) for id in ids if isinstance(id, int) or id.isdecimal()]
        return f"id({name}) IN {params.add(whole)}"

    def id_of(self, name: str) -> str:
        return f"id({name})"

    def shortest(self, start: Var, end: Var, relationship: Var, high: int, arrow: tuple[str, str]) -> str:
        left, right = arrow
        return f"p = ({start.name}){left}[{relationship.text} *BFS 1..{high}]{right}({end.name})"

    def hops(self, relationship: Var, low: int, high: int) -> str:
        return f"{relationship.text} *{low}..{high}"


MEMGRAPH = Bolt(Memgraph())
