"""Message brokers: one file per system, behind `publishing.Publisher`. `kind` says how the catalog declares them."""
