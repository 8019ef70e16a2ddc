"""What single settings must be: the checks of fields that are no plain text, number or size.

As in `values`, each gives the value in its right form or raises ValueError with a sentence.
"""

from __future__ import annotations

import re
import string
from typing import Literal, cast, get_args

from bulkfetch.config.hosts import server_url
from bulkfetch.config.misfit import Misfit
from bulkfetch.config.proxies import Proxies, check_proxy
from bulkfetch.config.tables import each
from bulkfetch.config.values import Check, matching, one_of, text, whole
from bulkfetch.filenames import unsafe_stem
from bulkfetch.models import is_job_id

DataCenter = Literal["us", "eu", "in", "au", "jp", "cn", "ca", "sa", "uk", "ae", "sandbox"]


def result_path(value: object) -> str:
    """Take the path of a result below the API domain, with {job_id} in it."""
    template = text(value)
    # A path of "//host/…" or with a scheme would name another server when joined to the domain.
    if re.fullmatch(r"/(?!/)[A-Za-z0-9._~!$&'()*+,;=:@%/{}-]+", template, re.ASCII) is None:
        raise ValueError("should be a path that begins with one slash")
    try:
        parts = [part[1:] for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError:
        parts = [("", "", None)]
    plain = {("version", "", None), ("job_id", "", None)}
    if not set(parts) <= plain or ("job_id", "", None) not in parts:
        raise ValueError("should hold {job_id}, may hold {version}, and no other braces")
    return template


def account_name(value: object) -> str:
    """Take a name that is fit for a file name as well."""
    name = text(value)
    if len(name) > 64 or re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name, re.ASCII) is None:
        raise ValueError("should be 1 to 64 letters, digits, dots, dashes or underscores")
    return name


def job_id(value: object) -> str:
    """Take a job id as text."""
    if isinstance(value, int):
        # As a number it has lost its leading zeros, and perhaps more.
        raise Misfit(
            "should be a text in quotes", hint='Put the id in quotes: id = "554023000000568002".'
        )
    if not is_job_id(text(value)):
        raise ValueError("should be a job id: 1 to 20 digits such as 554023000000568002")
    return text(value)


def stem(value: object) -> str:
    """Take a published file's name without its ending."""
    if (reason := unsafe_stem(text(value))) is not None:
        raise ValueError(f"cannot be a file's name: it {reason}")
    return text(value)


def command(value: object) -> tuple[str, ...]:
    """Take a program and its arguments."""
    if isinstance(value, str):
        raise Misfit("should be a list", hint='Word by word: ["pass", "show", "zoho"].')
    return each(argument, least=1)(value)


def server(value: object) -> str:
    """Take the address of a server; see `hosts.server_url`."""
    return server_url(text(value))


def token_cache(value: object) -> bool | Literal["keyring"]:
    """Take where tokens are shared."""
    if value == "keyring":
        return "keyring"
    if not isinstance(value, bool):
        raise ValueError('should be true, false or "keyring"')
    return value


def column(value: object) -> str | int:
    """Take a title, or a number from 1."""
    if not isinstance(value, str):
        return whole(1)(value)
    if not value.strip():
        raise ValueError("should be a column's title, or its number from 1")
    if not value.strip("0"):
        raise ValueError("should be at least 1")
    return value


def proxies(value: object) -> Proxies:
    """Take proxies of which every address can be used."""
    if not isinstance(value, Proxies):
        raise ValueError("should be Proxies")
    for address in (value.https, value.http):
        if address is not None:
            check_proxy(address.reveal())
    return value


# What else people call them: countries, and the ends of Zoho's own host names.
_REGION_WORDS = {
    "com": "us",
    "usa": "us",
    "america": "us",
    "europe": "eu",
    "de": "eu",
    "india": "in",
    "australia": "au",
    "com.au": "au",
    "japan": "jp",
    "china": "cn",
    "com.cn": "cn",
    "canada": "ca",
    "saudi": "sa",
    "gb": "uk",
    "united kingdom": "uk",
    "uae": "ae",
}
data_center = cast(Check[DataCenter], one_of(*get_args(DataCenter), also=_REGION_WORDS))
version = matching(r"v[0-9]{1,2}(\.[0-9]{1,2})?", "a version such as v8")
prefix = matching(r"[A-Za-z0-9_]*", "made of letters, digits and underscores")
argument = matching(r"[^\x00]+", "a text without NUL")
