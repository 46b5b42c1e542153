"""Neo4j, version 5 and later."""

from __future__ import annotations

from executors.providers.graph.bolt import Bolt
from executors.providers.graph.dialect import Dialect


class Neo4j(Dialect):
    index_queries = {
        "node index": "CREATE INDEX {name}IF NOT EXISTS FOR (n:{label}) ON ({of_n})",
        "relationship index": "CREATE INDEX {name}IF NOT EXISTS FOR ()-[r:{type}]-() ON ({of_r})",
        "unique constraint": "CREATE CONSTRAINT {name}IF NOT EXISTS FOR (n:{label}) REQUIRE ({of_n}) IS UNIQUE",
        "exists constraint": "CREATE CONSTRAINT {name}IF NOT EXISTS FOR (n:{label}) REQUIRE ({of_n}) IS NOT NULL",
        "drop index": "DROP INDEX {name}IF EXISTS",
        "drop constraint": "DROP CONSTRAINT {name}IF EXISTS",
        "indexes": "SHOW INDEXES",
        "constraints": "SHOW CONSTRAINTS",
    }


NEO4J = Bolt(Neo4j())
