from bulkfetch.pipeline.progress import JobTimes, Typical, typical


def seen(*starts: float, took: tuple[float, ...] = ()) -> JobTimes:
    times = JobTimes()
    for start in starts:
        times.started(start)
    for seconds in took:
        times.ended(100.0, 100.0 + seconds)
    return times


def test_nothing_seen() -> None:
    """Before the first request there is nothing to tell."""
    assert typical([], 5.0) == Typical(0.0, 0.0)
    assert typical([JobTimes()], 5.0) == Typical(0.0, 0.0)


def test_mean_of_those_seen() -> None:
    """Jobs of all lanes count alike, however many a lane has had."""
    lanes = [seen(0.0, 4.0, took=(1.0, 2.0)), seen(6.0, took=(9.0,)), JobTimes()]
    assert typical(lanes, 10.0) == Typical(4.0, 4.0)


def test_before_the_first_file() -> None:
    """Where none has ended, a job takes at least as long as the oldest has taken."""
    assert typical([seen(3.0, 8.0)], 10.0) == Typical(7.0, 2.0)
