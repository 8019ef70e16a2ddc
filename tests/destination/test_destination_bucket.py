"""What a bucket does when its server fails, refuses, or answers twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from aiohttp import web
from tests.support.destinations import AWS_ENV, bucket_options
from tests.support.s3_server import S3Server, error, s3_server

from bulkfetch.destination import store
from bulkfetch.destination.bucket import BucketDestination, BucketGroup
from bulkfetch.errors import DestinationFailed, DestinationRefused, RunError

LARGE = b"0123456789abcdef" * (20 << 16)  # 20 MiB


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A bucket's server, and the credentials in the environment."""
    for name, value in AWS_ENV.items():
        monkeypatch.setenv(name, value)
    with s3_server() as made:
        yield made


@pytest.fixture
def bucket(server: S3Server) -> BucketDestination:
    """A bucket at that server."""
    return BucketDestination(bucket_options(server.url))


def write(group: BucketGroup, content: bytes) -> None:
    """Write a draft that may not replace anything."""
    draft = group.draft(".csv", lambda size: False)
    draft.begin(len(content))
    for start in range(0, len(content), 1 << 19):
        draft.write([memoryview(content)[start : start + (1 << 19)]])


def publish(bucket: BucketDestination, content: bytes, place: str = "Leads") -> None:
    """Publish one file."""
    with bucket.group("key", place) as group:
        write(group, content)
        group.publish()


def fails(times: int, answer: web.StreamResponse | str | None = None) -> object:
    """Make a fault that happens so often, and then no more."""
    left = [times]

    def fault(request: web.Request) -> web.StreamResponse | str | None:
        left[0] -= 1
        if left[0] < 0:
            return None
        return error(500, "InternalError") if answer is None else answer

    return fault


def test_what_is_small_is_one_put(server: S3Server, bucket: BucketDestination) -> None:
    """Nothing is sent before the file is published, and then one request is."""
    publish(bucket, b"a,b\n")
    assert [kind for kind, _ in server.calls] == ["HEAD", "PUT"]
    assert server.objects == {"zoho/crm/Leads.csv": b"a,b\n"}


@pytest.mark.slow
def test_what_is_large_goes_up_in_parts(server: S3Server, bucket: BucketDestination) -> None:
    """Parts are sent while it is written; it is visible when the upload is completed."""
    with bucket.group("key", "Leads") as group:
        write(group, LARGE)
        assert server.count("CREATE") == 1
        group.publish()
    assert server.count("PART") == 3
    assert server.objects == {"zoho/crm/Leads.csv": LARGE}
    assert server.uploads == {}


@pytest.mark.parametrize("place", ["Über Größe/Größe #1", "a b+c%20d", "q?x=1&y", "été~'()!"])
def test_names_are_keys(server: S3Server, bucket: BucketDestination, place: str) -> None:
    """A name is the object's key as it is, and is found by its URL again."""
    publish(bucket, b"x", place)
    assert list(server.objects) == [f"zoho/crm/{place}.csv"]
    assert bucket.size(bucket.reported(f"{place}.csv")) == 1


@pytest.mark.parametrize("call", ["HEAD", "PUT"])
@pytest.mark.parametrize("answer", [None, "reset"])
def test_a_short_failure_is_tried_again(
    server: S3Server, bucket: BucketDestination, call: str, answer: str | None
) -> None:
    """A 500 and a connection that breaks cost nothing but a moment."""
    server.faults[call] = fails(1, answer)  # type: ignore[assignment]
    publish(bucket, b"a,b\n")
    assert server.objects == {"zoho/crm/Leads.csv": b"a,b\n"}


@pytest.mark.slow
@pytest.mark.parametrize("call", ["CREATE", "PART", "COMPLETE"])
@pytest.mark.parametrize("answer", [None, "reset"])
def test_a_short_failure_of_an_upload_is_tried_again(
    server: S3Server, bucket: BucketDestination, call: str, answer: str | None
) -> None:
    """The same of each call of an upload in parts."""
    server.faults[call] = fails(1, answer)  # type: ignore[assignment]
    publish(bucket, LARGE)
    assert server.objects == {"zoho/crm/Leads.csv": LARGE}


@pytest.mark.slow
def test_a_completion_whose_answer_is_lost_is_known_by_the_object(
    server: S3Server, bucket: BucketDestination
) -> None:
    """It is repeated, and refused since it was done: then the object itself is the answer."""
    server.faults["COMPLETE"] = fails(1, "lose")  # type: ignore[assignment]
    publish(bucket, LARGE)
    assert server.count("COMPLETE") == 2
    assert server.objects == {"zoho/crm/Leads.csv": LARGE}


def test_an_upload_that_is_gone_is_no_publication(
    server: S3Server, bucket: BucketDestination
) -> None:
    """Where somebody aborted it, and there is no object of these bytes, the run is told."""
    with bucket.group("key", "Leads") as group:
        write(group, LARGE)
        server.faults["COMPLETE"] = lambda _: error(404, "NoSuchUpload")
        with pytest.raises(DestinationFailed, match="gone"):
            group.publish()
    assert server.objects == {}


@pytest.mark.parametrize("call", ["LIST", "HEAD", "PUT", "CREATE", "PART", "COMPLETE"])
def test_credentials_that_are_refused(
    server: S3Server, bucket: BucketDestination, call: str
) -> None:
    """A 403 is told at once, in one line, without what the server says in its answer."""
    server.faults[call] = lambda _: error(403, "AccessDenied")
    content = b"small" if call in ("HEAD", "PUT") else LARGE
    act = bucket.require_usable if call == "LIST" else lambda: publish(bucket, content)
    with pytest.raises(DestinationRefused) as caught:
        act()
    assert server.objects == {}
    told = f"{caught.value.message}{caught.value.hint}"
    assert "\n" not in told
    assert "AccessDenied" not in told
    assert not [value for value in AWS_ENV.values() if value in told]


def test_a_bucket_that_there_is_not(server: S3Server) -> None:
    """It is told before anything is written, and also by what would write there."""
    bucket = BucketDestination(bucket_options(server.url, bucket="no-such-lake"))
    with pytest.raises(DestinationFailed, match="no-such-lake"):
        bucket.require_usable()
    with pytest.raises(RunError):
        publish(bucket, b"x")


def test_a_dropped_upload_is_aborted(server: S3Server, bucket: BucketDestination) -> None:
    """What was sent of it is gone, and a server that refuses even this changes nothing."""
    for answer in (None, error(403, "AccessDenied")):
        server.faults["ABORT"] = lambda _, answer=answer: answer  # type: ignore[misc]
        with bucket.group("key", "Leads") as group:
            write(group, LARGE)
        assert server.objects == {}
    assert server.count("ABORT") == 2
    assert len(server.uploads) == 1  # the refused one


def test_looking_at_a_bucket_is_one_request(server: S3Server, bucket: BucketDestination) -> None:
    """Whether it can be used is asked with one list, which changes nothing."""
    bucket.require_usable()
    assert [kind for kind, _ in server.calls] == ["LIST"]


@pytest.fixture
def hasty(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> BucketDestination:
    """A bucket at that server whose time-outs are a fraction of a second."""
    monkeypatch.setattr(store, "_BYTES_PER_S", 1 << 40)
    return BucketDestination(bucket_options(server.url, look_s=0.2, write_s=0.2, retry_s=0.1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "how"),
    [(call, "hang") for call in ("LIST", "HEAD", "PUT", "CREATE", "PART", "COMPLETE")]
    + [("LIST", "trickle"), ("CREATE", "trickle")],
)
def test_an_answer_that_never_ends_is_not_waited_for(
    server: S3Server, hasty: BucketDestination, call: str, how: str
) -> None:
    """Whether nothing comes or a byte now and then: it is told, and nothing half is there."""
    server.faults[call] = lambda _: how
    content = b"small" if call in ("HEAD", "PUT") else LARGE
    act = hasty.require_usable if call == "LIST" else lambda: publish(hasty, content)
    with pytest.raises(DestinationFailed) as caught:
        act()
    assert "\n" not in caught.value.message
    assert server.objects == {}


@pytest.mark.slow
def test_content_may_take_its_time_but_not_pause(server: S3Server) -> None:
    """A slow download goes on for as long as something comes, and fails where nothing does."""
    patient = BucketDestination(bucket_options(server.url, look_s=1.5, retry_s=0.1))
    server.objects["zoho/crm/Leads.csv"] = b"a,b\n1,2\n"
    server.faults["GET"] = lambda _: "trickle"
    server.pause_s = 0.2
    assert patient.content("Leads.csv") == b"a,b\n1,2\n"
    server.pause_s = 60.0
    with pytest.raises(DestinationFailed):
        patient.content("Leads.csv")


@pytest.mark.parametrize("conditional", ["etag", "disabled"])
def test_what_was_read_is_replaced(
    server: S3Server, monkeypatch: pytest.MonkeyPatch, conditional: str
) -> None:
    """Once, and only if it is still there; also at a server that has no puts with a condition."""
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", conditional)
    bucket = BucketDestination(bucket_options(server.url))
    for before, after in ((None, b"1"), (b"1", b"2"), (b"2", b"2")):
        assert bucket.replace("Leads/latest.json", after, before)
    for stale in (None, b"1"):
        assert not bucket.replace("Leads/latest.json", b"3", stale)
    assert server.objects == {"zoho/crm/Leads/latest.json": b"2"}


@pytest.mark.parametrize("before", [None, b"1"])
def test_who_comes_between_the_look_and_the_put_is_not_overwritten(
    server: S3Server, bucket: BucketDestination, before: bytes | None
) -> None:
    """The server compares once more, in the moment in which it takes the object."""
    key = "zoho/crm/Leads/latest.json"
    if before is not None:
        server.objects[key] = before

    def rival(_: web.Request) -> None:
        server.objects[key] = b"rival's"

    server.faults["PUT"] = rival
    assert not bucket.replace("Leads/latest.json", b"mine", before)
    assert server.objects == {key: b"rival's"}


def test_a_replacement_whose_answer_is_lost_is_found_at_the_next_look(
    server: S3Server, bucket: BucketDestination
) -> None:
    """It is tried again, and refused, since it is there: who replaces looks again."""
    server.faults["PUT"] = fails(1, "lose")  # type: ignore[assignment]
    done = bucket.replace("Leads/latest.json", b"mine", None)
    assert server.objects == {"zoho/crm/Leads/latest.json": b"mine"}
    assert done or bucket.replace("Leads/latest.json", b"mine", b"mine")
