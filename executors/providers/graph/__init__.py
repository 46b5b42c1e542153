"""Graph databases: Neo4j and Memgraph over Bolt, and an embedded one in a file."""
