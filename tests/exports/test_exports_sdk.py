"""Zoho's own SDK as an independent judge: it sends the bodies that bulkfetch sends."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.support.zoho_sdk import initialize

from bulkfetch.config import Export
from bulkfetch.exports.chain import body
from bulkfetch.exports.query import create_body
from bulkfetch.journal import PageRow

pytestmark = pytest.mark.slow

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from zohocrmsdk.src.com.zoho.crm.api.bulk_read import (
        BodyWrapper,
        BulkReadOperations,
        Criteria,
        Query,
    )
    from zohocrmsdk.src.com.zoho.crm.api.fields import MinifiedField
    from zohocrmsdk.src.com.zoho.crm.api.modules import MinifiedModule
    from zohocrmsdk.src.com.zoho.crm.api.util import Choice

FROM, TO = "2021-02-22T15:39:26+05:30", "2021-07-20T09:00:00+05:30"
CREATED = (
    '{"data":[{"status":"success","code":"ADDED_SUCCESSFULLY","message":"Added successfully.",'
    '"details":{"id":"5725767000000859031","operation":"read","state":"ADDED","created_by":'
    '{"id":"5725767000000411001","name":"Patricia Boyle"},"created_time":'
    '"2021-07-25T02:13:17-07:00"}}],"info":{}}'
)


@contextmanager
def recorder() -> Iterator[tuple[str, list[Any]]]:
    """A server that takes every create, and keeps what was sent: its address, and the bodies."""
    bodies: list[Any] = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.endswith("/token"):
                address = f"http://{self.headers['Host']}"
                token = {"access_token": "t", "api_domain": address, "token_type": "Bearer"}
                self._answer(200, json.dumps({**token, "expires_in": 3600}))
            else:
                bodies.append(json.loads(sent))
                self._answer(201, CREATED)

        def _answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", bodies
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


@pytest.mark.filterwarnings("ignore")
def test_zohos_sdk_sends_the_same_bodies(tmp_path: Path) -> None:
    """Criteria, fields and view; one criterion; a calendar; a page by its token."""
    with recorder() as (url, bodies):
        initialize(url, tmp_path)
        leads = _query("Leads")
        leads.set_cvid(5725767000000087501)
        leads.set_fields(["Last_Name", "Owner.last_name"])
        both = Criteria()
        both.set_group_operator(Choice("and"))
        moments = [datetime.fromisoformat(each) for each in (FROM, TO)]
        both.set_group(
            [
                _compared("Modified_Time", "between", moments),
                _compared("$converted", "equal", False),
            ]
        )
        leads.set_criteria(both)
        contacts = _query("Contacts")
        contacts.set_criteria(_compared("Last_Name", "equal", "Boyle"))
        following = Query()
        following.set_page_token("a4d1c8ff")
        for query, file_type in (
            (leads, None),
            (contacts, None),
            (_query("Events"), "ics"),
            (following, None),
        ):
            wrapper = BodyWrapper()
            wrapper.set_query(query)
            if file_type is not None:
                wrapper.set_file_type(file_type)
            assert BulkReadOperations().create_bulk_read_job(wrapper).get_status_code() == 201

    boyle = {"field": "Last_Name", "comparator": "equal", "value": "Boyle"}
    criteria = {
        "group_operator": "and",
        "group": [
            {"field": "Modified_Time", "comparator": "between", "value": [FROM, TO]},
            {"field": "$converted", "comparator": "equal", "value": False},
        ],
    }
    export = Export(
        module="Leads",
        custom_view="5725767000000087501",
        fields=["Last_Name", "Owner.last_name"],
        criteria=criteria,
    )
    assert bodies == [
        create_body(export, "v8"),
        create_body(Export(module="Contacts", criteria=boyle), "v8"),
        create_body(Export(module="Events", file_type="ics"), "v8"),
        body([create_body(export, "v8")], PageRow(0, 1, 2, token="a4d1c8ff")),
    ]


def _query(module: str) -> Query:
    named = MinifiedModule()
    named.set_api_name(module)
    query = Query()
    query.set_module(named)
    return query


def _compared(field: str, comparator: str, value: Any) -> Criteria:
    named = MinifiedField()
    named.set_api_name(field)
    criteria = Criteria()
    criteria.set_field(named)
    criteria.set_comparator(Choice(comparator))
    criteria.set_value(value)
    return criteria
