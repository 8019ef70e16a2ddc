import io

from tests.support.progresses import progress

from bulkfetch.models import Failure, Outcome
from bulkfetch.observe.failures import SharedHints, grouped
from bulkfetch.observe.live_renderer import LiveRenderer
from bulkfetch.observe.transfers import TransferMeter
from bulkfetch.pipeline.progress import Transfer


def test_a_transfer_has_its_share_and_rate() -> None:
    """A transfer is told with its name, share, bytes and rate; without a size with its bytes."""
    meter = TransferMeter()
    meter.rows([Transfer("default", "1", "Leads", 0, 4_000_000)], 0.0)
    (row,) = meter.rows([Transfer("default", "1", "Leads", 1_000_000, 4_000_000)], 1.0)
    assert (row.name, row.percent) == ("Leads (1)", "25%")
    assert (row.amount, row.state) == ("1.0 MB of 4.0 MB", "1.0 MB/s")
    (row,) = meter.rows([Transfer("default", "2", "2", 500)], 2.0)
    assert (row.name, row.percent, row.amount) == ("2", "", "500 B")


def test_a_transfer_that_stands_still_says_for_how_long() -> None:
    """Without a byte for some seconds that is told in place of a rate, until the next byte."""
    meter = TransferMeter()
    meter.rows([Transfer("default", "1", "1", 10, 100)], 0.0)
    (row,) = meter.rows([Transfer("default", "1", "1", 10, 100)], 12.0)
    assert row.state == "no byte for 12 s"
    (row,) = meter.rows([Transfer("default", "1", "1", 20, 100)], 13.0)
    assert row.state.endswith("/s")


def test_a_transfer_that_the_rate_limit_holds_is_not_said_to_stand_still() -> None:
    """What waits for the bandwidth of the run says so, in place of blaming its server."""
    meter = TransferMeter()
    for at_s in (0.0, 12.0):
        (row,) = meter.rows([Transfer("default", "1", "1", 10, 100, held=True)], at_s)
    assert row.state == "at the rate limit"


def test_what_is_unpacked_is_told() -> None:
    """A complete archive on its way to its file is told as such."""
    (row,) = TransferMeter().rows([Transfer("default", "1", "1", 9, 9, True)], 0.0)
    assert (row.percent, row.state) == ("100%", "unpacking")


def test_transfers_stand_above_the_bar_where_there_is_room() -> None:
    """On a terminal each transfer has a line; foreign names in it are escaped."""
    terminal = io.StringIO()
    face = LiveRenderer(terminal, {"default": 61.0})
    transfers = (Transfer("default", "1", "Leads\x1b[2J", 30, 100),)
    face.progress(progress(transfers=transfers, retried=2))
    face.close()
    drawn = terminal.getvalue()
    assert "Leads\\x1b[2J (1)" in drawn
    assert "30%" in drawn
    assert "2 retried" in drawn


def failed(job_id: str, message: str = "no such job") -> Outcome:
    return Outcome(job_id, "default", "failed", error=Failure("GONE", message, "Look.", 404))


def test_failures_with_the_same_words_share_a_sentence() -> None:
    """Many jobs with one cause are one sentence with some of their ids, and one hint."""
    told = grouped([failed(str(number)) for number in range(1, 8)])
    assert told == [("7 jobs: GONE (HTTP 404): no such job: 1, 2, 3, 4, 5 and 2 more", "Look.")]


def test_hints_of_failures_that_are_listed_come_once_at_the_end() -> None:
    """In the order in which they came, each with the codes that it is for."""
    hints = SharedHints()
    hints.add(Failure("GONE", "a", "Look."))
    hints.add(Failure("LOST", "b", "Wait."))
    hints.add(Failure("AWAY", "c", "Look."))
    hints.add(Failure("GONE", "d", "Look."))
    hints.add(Failure("DUMB", "e"))
    hints.add(None)
    assert list(hints.lines()) == ["hint for GONE, AWAY: Look.", "hint for LOST: Wait."]


def test_a_hint_of_several_sentences_is_told_once() -> None:
    """Jobs whose words differ keep their sentences; the hint stands at the last one."""
    assert grouped([failed("1", "a"), failed("2", "b")]) == [
        ("job 1: GONE (HTTP 404): a", ""),
        ("job 2: GONE (HTTP 404): b", "Look."),
    ]
