"""Writes `src/ductape/_sync` from `src/ductape/_async`: the same calls without `await`.

    python clients/python/generate.py            # write
    python clients/python/generate.py --check    # only say whether it is up to date

So that the two surfaces cannot drift. Needs ruff, which lays the result out.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent / "src" / "ductape"
NOTE = "# Written by clients/python/generate.py from ductape/_async/{name}: change that one.\n"
TOKENS = [
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\bfrom asyncio import sleep\b", "from time import sleep"),
    (r"\bhttpx\.AsyncClient\b", "httpx.Client"),
    (r"__a(enter|exit)__", r"__\1__"),
    (r"\ba(close|read|iter_lines)\b", r"\1"),
    (r"\bductape\._async\b", "ductape._sync"),
    (r"\b(_?)Async([A-Z])", r"\1\2"),
]


def written(name: str, source: str) -> str:
    """The file of `_sync` for one of `_async`, laid out. CalledProcessError where ruff does not take it."""
    for pattern, replacement in TOKENS:
        source = re.sub(pattern, replacement, source)
    if name == "__init__.py":
        source = '"""The client without asyncio, made from `ductape._async`."""\n'
    text = NOTE.format(name=name) + source
    target = str(PACKAGE / "_sync" / name)
    text = _ruff(["check", "--quiet", "--fix", "--select", "I", "--stdin-filename", target, "-"], text)
    return _ruff(["format", "--stdin-filename", target, "-"], text)


def differences() -> dict[Path, str]:
    """What would have to be written; empty text for a file that has no source any more."""
    target = PACKAGE / "_sync"
    sources = {path.name: path.read_text() for path in sorted((PACKAGE / "_async").glob("*.py"))}
    wanted = {target / name: written(name, source) for name, source in sources.items()}
    wanted |= {path: "" for path in target.glob("*.py") if path.name not in sources}
    return {path: text for path, text in wanted.items() if not path.exists() or path.read_text() != text}


def main(arguments: list[str]) -> int:
    found = differences()
    for path, text in found.items():
        print(path.relative_to(PACKAGE))
        if "--check" not in arguments:
            path.parent.mkdir(exist_ok=True)
            if text:
                path.write_text(text)
            else:
                path.unlink()
    return 1 if found and "--check" in arguments else 0


def _ruff(arguments: list[str], text: str) -> str:
    ruff = Path(sys.executable).with_name("ruff")
    command = [str(ruff) if ruff.exists() else "ruff", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
