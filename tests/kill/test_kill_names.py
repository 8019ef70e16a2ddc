"""Names over several nights, with a run of one of them killed: the next one gets its name.

What was published and not recorded is bulkfetch's own, whoever comes next.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.support.kill_cuts import FREE, quick_folder, small_scene
from tests.support.kill_scene import IDS, Scene, Service, service
from tests.support.kill_steps import deaths
from tests.support.kill_zygote import Traced, Zygote

from bulkfetch.sandbox import JobSpec

pytestmark = pytest.mark.slow

# Of sizes that differ, as those of two nights do.
ONE, TWO, THREE = IDS[:3]
_SIZES = {ONE: JobSpec(records=20), TWO: JobSpec(records=21), THREE: JobSpec(records=22)}


@pytest.fixture(scope="module")
def server() -> Iterator[Service]:
    """A sandbox whose three results differ in size."""
    with quick_folder() as folder, service(folder, replace(FREE, jobs=_SIZES)) as server:
        yield server


def _night(
    scene: Scene, zygote: Zygote, job_id: str, name: str = "Leads", *, at: int = 0
) -> Traced:
    (scene.folder / "list.csv").write_text(f"id,name\n{job_id},{name}\n")
    arguments = ["run", "jobs.toml", "--ids", "list.csv", "--ids-column", "id"]
    roots = (scene.out,) if at else ()
    return zygote.run(scene.program, arguments, roots=roots, at=at)


@pytest.mark.parametrize("nights", [[TWO, THREE], [ONE, TWO, THREE]], ids=["first", "second"])
def test_a_name_is_had_after_a_run_killed_at_any_step(server: Service, nights: list[str]) -> None:
    """After a kill at each step, a newer id is published under the name, and the killed one too."""
    *before, killed, newer = nights
    with quick_folder() as folder, Zygote() as zygote:
        first = small_scene(folder / "first", server)
        for job_id in before:
            assert _night(first, zygote, job_id).ended.status == 0
        shutil.copytree(first.folder, folder / "whole")
        whole = small_scene(folder / "whole", server)
        numbers = deaths(_night(whole, zygote, killed, at=1000).steps)
        assert len(numbers) > 10
        for number in numbers:
            shutil.copytree(first.folder, folder / str(number))
            scene = small_scene(folder / str(number), server)
            cut = _night(scene, zygote, killed, at=number)
            if len(cut.steps) < number:
                continue
            assert cut.ended.status == -9
            for job_id in (newer, killed):
                ended = _night(scene, zygote, job_id).ended
                if job_id == killed and "superseded" in ended.err:
                    break  # its end was recorded before the kill
                assert ended.status == 0, (cut.steps[-1], ended.err)
                published = hashlib.sha256((scene.out / "Leads.csv").read_bytes()).hexdigest()
                assert published == server.truth(job_id).file_sha256, cut.steps[-1]
                verified = zygote.run(scene.program, ["verify", "out"]).ended
                assert verified.status == 0, (cut.steps[-1], verified.out)


def test_a_file_of_the_users_stays_after_a_kill(server: Service) -> None:
    """What somebody put in the way after the kill is not taken for the killed run's."""
    with quick_folder() as folder, Zygote() as zygote:
        scene = small_scene(folder / "whole", server)
        steps = _night(scene, zygote, TWO, at=1000).steps
        number = steps.index("rename Leads.csv") + 1
        scene = small_scene(folder / "cut", server)
        assert _night(scene, zygote, TWO, at=number).ended.status == -9
        (scene.out / "Leads.csv").write_bytes(b"mine")
        ended = _night(scene, zygote, THREE).ended
        assert (ended.status, "PUBLISH_CONFLICT" in ended.err) == (1, True)
        assert (scene.out / "Leads.csv").read_bytes() == b"mine"
