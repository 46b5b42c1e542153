"""Give the examples something to run: the catalog, two small databases and a graph in the temporary folder.

The same as `ductape-jobs catalog apply -f examples/catalog.yaml`, with the addresses of this machine.
"""

import os
import sqlite3
import tempfile
from pathlib import Path

from ductape import Ductape

ADDRESSES = {  # of the catalog → here
    "http://127.0.0.1:8001": os.environ.get("ECHO_URL", "http://127.0.0.1:8001"),
    "redis://127.0.0.1:6379/0": os.environ.get("BROKER_URL", "redis://127.0.0.1:6379/0"),
    "/tmp/ductape-examples": str(Path(tempfile.gettempdir()) / "ductape-examples"),
}

folder = Path(ADDRESSES["/tmp/ductape-examples"])
folder.mkdir(exist_ok=True)
with sqlite3.connect(folder / "logs.sqlite3") as logs:
    logs.execute("DROP TABLE IF EXISTS logs")
    logs.execute("CREATE TABLE logs (id INTEGER, createdAt TIMESTAMP)")
    logs.execute("INSERT INTO logs VALUES (1, '2001-01-01 00:00:00'), (2, datetime('now'))")
with sqlite3.connect(folder / "inventory.sqlite3") as inventory:
    inventory.execute("DROP TABLE IF EXISTS stock")
    inventory.execute("CREATE TABLE stock (sku TEXT PRIMARY KEY, amount INTEGER)")
    inventory.execute("INSERT INTO stock VALUES ('apple', 3)")

document = (Path(__file__).parent / "catalog.yaml").read_text()
for there, here in ADDRESSES.items():
    document = document.replace(there, here)

with Ductape(os.environ["DUCTAPE_URL"], os.environ["DUCTAPE_API_KEY"]) as ductape:
    changes = ductape.catalog.put("my-app", document)
print("created:", len(changes.created), "changed:", len(changes.updated), "as it was:", changes.unchanged)
