"""Where `ductape-jobs` finds its server and its key, and how people write times and durations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ductape.cli import shown, values
from ductape.cli.settings import settings
from ductape.errors import InvalidArgument
from tests.unit.cli_harness import Terminal
from tests.unit.client_harness import DISPATCHED

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
FILE = """
default_profile = "local"

[profiles.local]
url = "http://127.0.0.1:8000"
api_key_file = "key"
product = "demo"
env = "dev"
timeout = 5

[profiles.production]
url = "https://jobs.example.org"
api_key = "production-key"
"""


def environ(tmp_path: Path, text: str = FILE, **more: str) -> dict[str, str]:
    (tmp_path / "ductape").mkdir(exist_ok=True)
    (tmp_path / "ductape" / "config.toml").write_text(text)
    (tmp_path / "ductape" / "key").write_text("key-of-the-file\n")
    return {"XDG_CONFIG_HOME": str(tmp_path), **more}


def test_without_anything_it_is_the_server_of_make_up_and_a_key_is_asked_for(tmp_path: Path) -> None:
    found = settings({}, {"XDG_CONFIG_HOME": str(tmp_path)})
    assert (found.value("url"), found.timeout, found.value("product")) == ("http://127.0.0.1:8000", 30.0, None)
    with pytest.raises(InvalidArgument, match="export DUCTAPE_API_KEY"):
        assert found.api_key


def test_an_option_is_nearer_than_a_variable_and_that_nearer_than_a_profile(tmp_path: Path) -> None:
    usual = settings({}, environ(tmp_path))
    assert (usual.profile, usual.api_key, usual.timeout, usual.value("product")) == (
        "local",
        "key-of-the-file",
        5.0,
        "demo",
    )
    other = settings({"profile": "production"}, environ(tmp_path))
    assert (other.api_key, other.value("url"), other.value("product")) == (
        "production-key",
        "https://jobs.example.org",
        None,
    )
    said = settings(
        {"url": "http://o"},
        environ(tmp_path, DUCTAPE_URL="http://v", DUCTAPE_PRODUCT="v", DUCTAPE_PROFILE="production"),
    )
    assert [(said.found[name].value, said.found[name].source) for name in ("url", "product", "api_key")] == [
        ("http://o", "option"), ("v", "DUCTAPE_PRODUCT"), ("production-key", "profile production"),
    ]  # fmt: skip


def test_a_nearer_key_replaces_the_other_way_to_say_one(tmp_path: Path) -> None:
    assert settings({}, environ(tmp_path, DUCTAPE_API_KEY="nearer")).api_key == "nearer"
    (tmp_path / "own").write_text("own-key")
    assert (
        settings({"api_key_file": str(tmp_path / "own")}, environ(tmp_path, DUCTAPE_API_KEY="far")).api_key == "own-key"
    )
    with pytest.raises(InvalidArgument, match=r"api_key_file: \(option\) cannot be read"):
        assert settings({"api_key_file": "/no/such/key"}, environ(tmp_path)).api_key


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[profiles.a]\nulr = 'x'", "profiles.a.ulr: does not exist: did you mean 'url'?"),
        ("profile = 'a'", "profile: does not exist: did you mean 'profiles'?"),
        ("default_profile = 'b'", "default_profile: 'b' is no profile of this file"),
        ("[profiles.a]\ntimeout = 'long'", "profiles.a.timeout: must be a float"),
        ("[profiles.a]\nurl = 5", "profiles.a.url: must be a str"),
        ("profiles = 5", "profiles: must be tables"),
        ("[profiles]\na = 5", "profiles.a: must be a table"),
        ("[profiles", "cannot be read"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_fault(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        settings({}, environ(tmp_path, text))
    assert named in str(raised.value)
    assert "config.toml" in str(raised.value)


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="does not exist"):
        settings({}, {"DUCTAPE_CONFIG": str(tmp_path / "none.toml")})


def test_the_settings_are_shown_without_the_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    terminal = Terminal(monkeypatch, tmp_path)
    environ(tmp_path)
    for arguments in ((), ("--json",), ("--profile", "production")):
        ended = terminal.run("config", "show", *arguments)
        assert ended.code == 0
        assert not {"the-key", "production-key", "key-of-the-file"} & set(ended.out.replace('"', " ").split())
    shown = terminal.run("config", "show", "--json").json
    assert shown["settings"]["api_key"] == {"value": "set, not shown", "source": "DUCTAPE_API_KEY"}
    assert (shown["profile"], shown["profiles"]) == ("local", ["local", "production"])


def test_the_product_of_a_profile_goes_with_a_dispatch_and_with_no_filter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    terminal = Terminal(monkeypatch, tmp_path)
    environ(tmp_path)
    terminal.answers(DISPATCHED, {"jobs": [], "total": 0, "limit": 50, "offset": 0, "next_cursor": None})
    terminal.run("dispatch", "features", "f")
    terminal.run("list")
    assert (terminal.bodies[0]["product"], terminal.bodies[0]["env"]) == ("demo", "dev")
    assert terminal.asked[1] == "GET /v1/jobs?limit=50"


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("250", 250),
        ("500ms", 500),
        ("90s", 90_000),
        ("15m", 900_000),
        ("1h30m", 5_400_000),
        ("2d", 172_800_000),
        ("1w", 604_800_000),
    ],
)
def test_a_duration_is_written_as_people_do(text: str, ms: int) -> None:
    assert values.duration("--every", text) == ms


@given(st.text(max_size=12))
def test_any_other_text_is_refused_with_the_name_of_its_option(text: str) -> None:
    for read in (values.duration, values.moment):
        try:
            found = read("--at", text)
        except InvalidArgument as error:
            found = error.argument
        assert isinstance(found, int | datetime) or found in {"--at", text}


def test_a_time_is_iso_8601_ms_or_counted_from_now() -> None:
    assert values.moment("--at", "now", now=NOW) == NOW
    assert values.moment("--at", "+1h30m", now=NOW) == NOW + timedelta(minutes=90)
    assert values.moment("--at", "-30d", now=NOW) == NOW - timedelta(days=30)
    assert values.moment("--at", "1795694400000") == NOW
    assert values.moment("--at", "2027-01-31T09:00:00") == "2027-01-31T09:00:00"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "now"), (59, "in 59 s"), (-90, "2 min ago"), (7_200, "in 2 h"), (-400_000, "5 d ago")]
)
def test_a_moment_is_told_by_its_distance(seconds: int, text: str) -> None:
    assert shown.distance(NOW + timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "–"),
        (0, "0 ms"),
        (850, "850 ms"),
        (10_000, "10 s"),
        (1_250, "1.25 s"),
        (200_000, "3 min 20 s"),
        (86_400_000, "1 d"),
    ],
)
def test_a_length_is_told_in_its_units(ms: int | None, text: str) -> None:
    assert shown.length(ms) == text
