"""Small values: sizes, names, addresses, the lines of keys."""

from __future__ import annotations

import copy
import pickle
import tomllib
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkfetch.config.hosts import host_of, is_loopback, server_key, server_url
from bulkfetch.config.quantities import parse_size
from bulkfetch.config.toml_lines import key_lines
from bulkfetch.filenames import same_file, unsafe_stem
from bulkfetch.secret import Secret

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4 GiB", 4 * 1024**3),
        ("500 MB", 500_000_000),
        ("1.5KiB", 1536),
        ("12", 12),
        ("7 b", 7),
        ("2tib", 2 * 1024**4),
        (4096, 4096),
    ],
)
def test_sizes_are_read_as_people_write_them(text: object, size: int) -> None:
    """Decimal and binary units, any case, with or without a space."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "4 G iB", "-1", "1e9", "4 XB", True, 1.5, None, "٤"])
def test_what_is_no_size_is_refused(text: object) -> None:
    """Signs, exponents, other scripts and other types are not guessed at."""
    with pytest.raises(ValueError, match="must be a size"):
        parse_size(text)


@pytest.mark.parametrize("name", ["Leads", "Leads 2026-11", "Événements", "売上", "a.b", "x" * 200])
def test_honest_names_are_kept(name: str) -> None:
    """What people call an export is fit to be a file's name."""
    assert unsafe_stem(name) is None


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", ".bulkfetch", ".hidden", "-rf", " x", "x ", "x.", "a/b", "a\\b", "C:x"),
        *("a\x00b", "a\nb", "a\x7fb", "\u202etxt", "a\u200bb", "\ud800", "CON", "nul.x", "Com1"),
        *("lpt¹", "aux .x", "x" * 201, "é" * 101, "a*b", "a|b", 'a"b', "a<b", "a?b", "a\u2028b"),
    ],
)
def test_names_that_harm_some_file_system_are_refused(name: str) -> None:
    """Separators, devices, hidden, endless and invisible names give a reason."""
    assert unsafe_stem(name)


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("Leads.csv", "Leads"),
        ("Leads.CSV", "Leads"),
        ("Events.Ics", "Events"),
        ("Leads.zip", "Leads"),
        ("Leads.csv.zip", "Leads"),
        ("2026.11 .csv", "2026.11"),
    ],
)
def test_a_name_with_the_files_ending_is_refused_with_the_right_one(name: str, right: str) -> None:
    """The ending is added by itself; a name that has it already would get it twice."""
    reason = unsafe_stem(name)
    assert reason is not None
    assert reason.endswith(f"write {right!r}")
    assert unsafe_stem(right) is None


@pytest.mark.parametrize("name", ["csv", "Leads csv", "Leads.csv backup", "v1.5", "Leads.tar"])
def test_a_name_that_only_looks_like_a_file_is_kept(name: str) -> None:
    """Dots and words of file formats elsewhere in a name change nothing."""
    assert unsafe_stem(name) is None


@given(st.text(max_size=220))
def test_a_safe_name_is_one_file_in_one_folder(name: str) -> None:
    """Whatever passes joins to a path directly in the folder, also with its ending."""
    if unsafe_stem(name) is None:
        path = Path("/out") / f"{name}.csv"
        assert path.parent == Path("/out")
        assert len(unicodedata.normalize("NFC", path.name).encode()) <= 255
        assert path.name.isprintable()


def test_names_that_some_file_system_takes_for_one_are_equal() -> None:
    """Case and composition do not tell files apart."""
    assert same_file("LEADS") == same_file("leads")
    assert same_file("É") == same_file("e\u0301")
    assert same_file("straße") == same_file("STRASSE")
    assert same_file("a") != same_file("b")


@pytest.mark.parametrize(
    ("url", "host", "loopback"),
    [
        ("http://localhost:80/x", "localhost", True),
        ("http://127.0.0.1", "127.0.0.1", True),
        ("http://[::1]:8080/", "::1", True),
        ("https://user@127.0.0.1@evil.example/", "evil.example", False),
        ("https://www.zohoapis.com", "www.zohoapis.com", False),
        ("http://0.0.0.0", "0.0.0.0", False),
        ("nonsense", "", False),
        ("http://localhost.:80/", "localhost.", True),
        ("http://127.9.8.7", "127.9.8.7", True),
        ("http://[::ffff:127.0.0.1]", "::ffff:127.0.0.1", True),
        ("http://[::ffff:8.8.8.8]", "::ffff:8.8.8.8", False),
        ("http://[::127.0.0.1]", "::127.0.0.1", False),
        ("http://127.1", "127.1", False),
        ("http://0x7f.1", "0x7f.1", False),
        ("http://2130706433", "2130706433", False),
        ("http://127.0.0.1.evil.example", "127.0.0.1.evil.example", False),
        ("http://localhost.evil.example", "localhost.evil.example", False),
    ],
)
def test_hosts_are_found_and_loopback_told(url: str, host: str, loopback: bool) -> None:
    """Whether an address leaves the machine depends on its host alone."""
    assert (host_of(url), is_loopback(url)) == (host, loopback)


@pytest.mark.parametrize(
    "url",
    [
        *("http://www.zohoapis.com", "ftp://x", "https://", "https://a b", "https://a/b", "//a"),
        *("https://a?x", "https://a#x", "https://u@a", "https://a\n", "https://a:0", "https://é"),
        *("https://a:99999", "http://localhost.evil.example", "https://a\\b", "https://-a"),
        # Other spellings of IPv4 addresses, which lead to this machine without looking so.
        *("https://127.1", "https://0x7f.1", "https://2130706433", "https://0x7f000001"),
        *("https://0177.0.0.1", "https://127.0.0.01", "https://1.2.3.4.5", "http://127.1"),
        *("https://0.0.0.0", "https://[::]", "http://0.0.0.0:80", "https://[::ffff:0.0.0.0]"),
        *("https://a..b", "https://a-.b", "https://[1::2::3]", "https://.", "https://a.."),
        "https://www.zoho\u212aapis.com",
    ],
)
def test_addresses_that_could_lead_a_token_astray_are_refused(url: str) -> None:
    """Only a bare https server, or http on this machine, may be named."""
    with pytest.raises(ValueError, match="must"):
        server_url(url)


def test_addresses_are_given_in_one_form() -> None:
    """Case and a trailing slash make no difference."""
    assert server_url("HTTPS://WWW.ZohoAPIs.EU/") == "https://www.zohoapis.eu"
    assert server_url("http://[::1]:80/") == "http://[::1]:80"
    assert server_url("https://www.zohoapis.com./") == "https://www.zohoapis.com"
    assert server_url("https://[2001:DB8:0:0:0:0:0:1]:0443") == "https://[2001:db8::1]:443"
    assert server_url("http://[::ffff:127.0.0.1]:8080") == "http://127.0.0.1:8080"
    assert server_url("http://LocalHost.:80") == "http://localhost:80"
    assert server_url("https://xn--bcher-kva.example") == "https://xn--bcher-kva.example"


SERVERS = [
    [
        "https://www.zohoapis.com",
        "HTTPS://WWW.zohoapis.com:443/",
        "https://www.zohoapis.com.",
        "https://www.zohoapis.com:0443",
    ],
    [
        *("http://localhost:8080", "http://127.0.0.1:8080/", "http://[::1]:8080"),
        *("http://LOCALHOST.:8080", "http://[0:0::0:1]:8080", "http://[::ffff:7f00:1]:8080"),
        "http://127.0.0.2:08080",
    ],
    ["http://127.0.0.1", "http://localhost:80", "http://[::1]:80/"],
    ["https://127.0.0.1", "https://localhost:443"],
    ["https://127.0.0.1:80", "https://localhost:80"],
    ["https://www.zohoapis.com:80"],
    ["https://www.zohoapis.eu"],
    ["https://sandbox.zohoapis.com"],
    ["https://[2001:db8::1]", "https://[2001:DB8::0:1]:443"],
    ["https://192.0.2.1", "https://[::ffff:192.0.2.1]"],
]


def test_a_server_is_what_its_address_leads_to() -> None:
    """Scheme, host and port tell a server apart, in whatever way they are spelt."""
    keys = [{server_key(server_url(each)) for each in spellings} for spellings in SERVERS]
    assert [len(found) for found in keys] == [1] * len(SERVERS)
    assert len(set().union(*keys)) == len(SERVERS)


@given(st.text(alphabet="htps:/[]0123456789abcdefx.%@-", max_size=40))
def test_an_address_once_taken_is_taken_as_it_is(rest: str) -> None:
    """What `server_url` gives passes it unchanged, and stays on this machine or not as before."""
    for text in (rest, f"https://{rest}", f"http://{rest}"):
        try:
            url = server_url(text)
        except ValueError:
            continue
        assert server_url(url) == url
        assert is_loopback(url) == is_loopback(text)
        assert server_key(server_key(url)) == server_key(url)


def test_lines_of_keys_are_found() -> None:
    """Tables, arrays of tables, dotted and quoted keys are found; strings are not looked into."""
    text = '''
a.b = 1
[t]
"q k" = """
x = 1
"""
[[jobs]]
id = 1
[jobs.sub]
y = 2
[[jobs]] # two
id = 2
[[jobs.list]]
z = 3
[[jobs.list]]
z = 4
'''
    tomllib.loads(text)
    lines = key_lines(text)
    assert lines["a", "b"] == 2
    assert lines["t", "q k"] == 4
    assert ("t", "x") not in lines
    assert lines["jobs", 0, "id"] == 8
    assert lines["jobs", 0, "sub", "y"] == 10
    assert (lines["jobs", 1], lines["jobs", 1, "id"]) == (11, 12)
    assert lines["jobs", 1, "list", 1, "z"] == 16


def test_a_secret_shows_itself_to_nobody_by_chance() -> None:
    """Printed, formatted, nested or pickled for a look it hides; asked for, it is there."""
    secret = Secret("1000.hush")
    shown = f"{secret} {secret!r} {[secret]} {'%s' % secret}"  # noqa: UP031
    assert "hush" not in shown
    assert secret.reveal() == "1000.hush"
    assert secret == Secret("1000.hush") != Secret("other")
    assert hash(secret) == hash(Secret("1000.hush"))
    assert pickle.loads(pickle.dumps(secret)) == copy.deepcopy(secret) == secret


@given(st.text())
def test_looking_for_lines_never_raises(text: str) -> None:
    """Whatever the text, looking for keys ends."""
    key_lines(text)
