"""How drivers reach remote systems: guarded addresses, bounded threads, clients kept per target, allowed paths."""
