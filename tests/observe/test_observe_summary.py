import io

from tests.support.progresses import BUSY, progress

from bulkfetch.journal import Counts
from bulkfetch.observe.live_renderer import LiveRenderer
from bulkfetch.observe.plain_renderer import PlainRenderer
from bulkfetch.observe.summary import Meter, summarize
from bulkfetch.pipeline.progress import Transfer

PERIODS = {"default": 61.0}


def test_running() -> None:
    """A run at a glance: jobs, bytes, rate, the window's next slot, the time left."""
    assert summarize(progress(), 12_300_000, PERIODS).line == (
        "12 of 25 jobs done, 1 failed; 3 in flight, 145 MB received (12.3 MB/s), "
        "0 of 10 slots free, next in 43 s, about 43 s left"
    )


def test_list_still_read() -> None:
    """While the list is being read its length is not known, so no time left is told."""
    line = summarize(progress(list_read=False), 0, PERIODS).line
    assert "25 jobs or more" in line
    assert "left" not in line


def test_time_left_is_until_the_last_file() -> None:
    """How long jobs take counts, or the bar would promise the end when the last one starts."""
    line = summarize(progress(job_s=20.0, since_start_s=4.0), 0, PERIODS).line
    assert line.endswith("about 1 min 3 s left")


def test_time_left_after_the_last_start() -> None:
    """When all have been asked for, time is left as long as bodies are under way."""
    last = {"counts": Counts(done=22, pending=3), "in_flight": 3, "job_s": 20.0}
    line = summarize(progress(**last, since_start_s=4.0), 0, PERIODS).line
    assert line.endswith("about 16 s left")
    late = summarize(progress(**last, since_start_s=25.0), 0, PERIODS).line
    assert late.endswith("slots free, next in 43 s, finishing")


def test_time_left_while_the_last_are_unpacked() -> None:
    """Jobs on their way to their file want no slot: they do not wait for the next one."""
    last = {"counts": Counts(done=20, pending=5), "in_flight": 1, "finishing": 4, "job_s": 20.0}
    line = summarize(progress(**last, since_start_s=4.0), 0, PERIODS).line
    assert line.endswith("about 16 s left")


def test_results_that_are_not_ready() -> None:
    """Their number is told, and no time left: nobody knows when they will be."""
    line = summarize(progress(preparing=4), 0, PERIODS).line
    assert "4 not ready yet" in line
    assert "left" not in line


def test_nothing_left() -> None:
    """A run at its end has no time left and nothing to finish."""
    now = progress(counts=Counts(done=25), in_flight=0, job_s=20.0, since_start_s=1.0)
    line = summarize(now, 0, PERIODS).line
    assert "left" not in line
    assert "finishing" not in line


def test_what_is_still_to_come_counts_to_the_last_file() -> None:
    """When all have started, the bytes that are missing say how long, not how long others took."""
    transfers = (
        Transfer("default", "1", "1", 2_000_000, 20_000_000),
        Transfer("default", "2", "2", 500, None),
        Transfer("default", "3", "3", 9, 9, unpacking=True),
    )
    last = {"counts": Counts(done=22, pending=3), "in_flight": 2, "finishing": 1}
    run = progress(**last, transfers=transfers, job_s=5.0, since_start_s=30.0)
    assert summarize(run, 400_000, PERIODS).line.endswith("about 45 s left")
    assert summarize(run, 0, PERIODS).line.endswith("finishing")
    longer = run._replace(job_s=120.0)
    assert summarize(longer, 400_000, PERIODS).line.endswith("about 1 min 30 s left")


def test_stopping() -> None:
    """A run that stops says so instead of what it would have done."""
    line = summarize(progress(stopping=True), 0, PERIODS).line
    assert line.endswith("stopping")
    assert "slots" not in line


def test_resumed() -> None:
    """Jobs done in earlier runs are told apart and not part of this run's work."""
    now = summarize(progress(counts=Counts(done=1, pending=4, skipped=20)), 0, PERIODS)
    assert now.counts == "1 of 5 jobs done, 20 done before"
    assert (now.ended, now.to_do) == (1, 5)


def test_window_closed() -> None:
    """After a 429 the wait is told."""
    closed = BUSY._replace(closed_s=61.0)
    line = summarize(progress(windows={"default": closed}), 0, PERIODS).line
    assert "window closed for 1 min 1 s, about 1 min 1 s left" in line


def test_window_held() -> None:
    """While somebody keeps the window's file nothing is said of slots, nor of the time left."""
    free = BUSY._replace(free=5, held_s=12.0)
    line = summarize(progress(windows={"a": free, "b": BUSY}), 0, PERIODS).line
    assert line.endswith("window held by another process for 12 s")
    assert "slots" not in line
    assert "left" not in line


def test_several_accounts() -> None:
    """The slots of several accounts are summed, and the next of any is told."""
    windows = {"a": BUSY, "b": BUSY._replace(next_free_s=4.0), "c": BUSY._replace(closed_s=9.0)}
    line = summarize(progress(windows=windows), 0, {}).line
    assert "0 of 30 slots free, next in 4.0 s, 1 window closed" in line


def test_before_the_first_window() -> None:
    """A run without a window yet, or one that waits for an answer, can be shown too."""
    assert "slots" not in summarize(progress(windows={}), 0, PERIODS).line
    waiting = BUSY._replace(next_free_s=None)
    assert "next in" not in summarize(progress(windows={"default": waiting}), 0, PERIODS).line


def test_meter() -> None:
    """The rate is that of the last seconds: it forgets a burst, and falls to 0 in silence."""
    meter = Meter()
    assert meter.rate(0.0, 0) == 0.0
    assert meter.rate(1.0, 1000) == 1000.0
    assert [meter.rate(second, 1000) for second in (2.0, 4.0, 6.0, 8.0)][-1] == 0.0


def test_plain_lines_are_rare_and_whole() -> None:
    """A log gets a line every 5 s, every 30 s after five minutes, and nothing that moves."""
    written: list[str] = []
    face = PlainRenderer(written.append, PERIODS, stamp=lambda: "now")
    for second in range(661):
        face.progress(progress(elapsed_s=float(second)))
    assert len(written) == 295 // 5 + (660 - 295) // 30
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in written)
    assert all(line.rstrip("\n").isprintable() for line in written)


def test_plain_lines_are_written_as_they_are() -> None:
    """In a log, lines stand between those of progress as they are, and stay."""
    written: list[str] = []
    face = PlainRenderer(written.append, PERIODS, stamp=lambda: "now")
    face.lines(["error: a", "hint: b"])
    face.close()
    assert written == ["error: a\nhint: b\n"]


def test_live() -> None:
    """On a terminal lines stay above a bar that is drawn anew and taken away in the end."""
    terminal = io.StringIO()
    face = LiveRenderer(terminal, PERIODS)
    face.progress(progress())
    face.lines(["a line that stays"])
    face.progress(progress(counts=Counts(done=20, failed=1, pending=4)))
    drawn = terminal.getvalue()
    face.close()
    assert "12 of 25 jobs done" in drawn
    assert "20 of 25 jobs done" in drawn
    assert "a line that stays\n" in drawn
    assert "\x1b[2K" in terminal.getvalue()[len(drawn) :]
    assert terminal.getvalue().endswith("\x1b[?25h") or "\x1b[?25h" in terminal.getvalue()


def test_exports_are_told_three_at_most() -> None:
    """Where each export is; of more than three only their number."""
    names = tuple(f"{name}: page 1 being prepared" for name in ("Leads", "Contacts", "Deals", "X"))
    some = summarize(progress(exports=names[:2]), 0.0, {}).details
    assert some[:2] == names[:2]
    many = summarize(progress(exports=names), 0.0, {}).details
    assert many[:4] == (*names[:3], "and 1 more")
