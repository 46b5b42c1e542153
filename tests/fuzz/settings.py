"""What schemathesis is told besides its command line: what stands in the paths, and what counts as a refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.fuzz.world import ENV, EVENT, PRODUCT, SECRET, STILL, TAG
from tests.servers.local import ROOT

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection",
)  # fmt: skip
REFUSALS = ["400", "401", "403", "404", "405", "409", "412", "413", "414", "415", "422", "429", "431"]


def write_settings(path: Path, *, ids: dict[str, str], linked: bool) -> Path:
    """The file. Where calls follow links these say what stands in a path; else it is what is there, so that calls get
    past `not found`, and only deleting finds none."""
    there = {"product": PRODUCT, "env": ENV, "tag": TAG, "event": EVENT, "secret": SECRET, **ids}
    lines = [f'hooks = "{ROOT / "tests/fuzz/hooks.py"}"']
    if not linked:
        lines.append(f"parameters = {_of_paths(there)}")
    lines += ["[generation]", 'database = "none"']
    lines += ["[phases.stateful.inference]", "algorithms = []"]  # the description's links, none that are guessed
    lines += ["[checks]", "enabled = false", *(f"{name}.enabled = true" for name in CHECKS)]
    lines += [f"negative_data_rejection.expected-statuses = {json.dumps(REFUSALS)}"]
    # No worker and no scheduler run here, so it says 503, as it should.
    lines += ["[[operations]]", 'include-path = "/readyz"', "checks.not_a_server_error.enabled = false"]
    if linked:
        # It would go out to whatever address a link has made up for a component.
        lines += ["[[operations]]", 'include-path-regex = "/check$"', "enabled = false"]
    else:
        lines += [
            "[[operations]]",
            'include-path-regex = "/check$"',
            f"parameters = {_of_paths({**there, 'tag': STILL})}",
        ]
        gone = dict.fromkeys(there, "gone")
        lines += ["[[operations]]", 'include-method = "DELETE"', f"parameters = {_of_paths(gone)}"]
    path.write_text("\n".join(lines) + "\n")
    return path


def _of_paths(values: dict[str, Any]) -> str:
    return "{ " + ", ".join(f'"path.{name}" = {json.dumps(value)}' for name, value in values.items()) + " }"
