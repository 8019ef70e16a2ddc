"""Tasks that stay for the next order, on a virtual clock."""

from __future__ import annotations

import asyncio
import weakref

import anyio
import pytest
from tests.support.virtual_clock import run_virtual

from bulkfetch.pipeline.crew import STAYS_S, Crew


class Parcel:
    """Something that an order holds."""


def test_who_is_idle_holds_nothing() -> None:
    """What an order held is let go of when it is carried out, not with the next order."""

    async def main() -> None:
        async def carry(parcel: Parcel) -> None:
            await asyncio.sleep(0.1)

        async with anyio.create_task_group() as tasks:
            crew = Crew(carry)
            parcel = Parcel()
            seen = weakref.ref(parcel)
            crew.order(tasks, parcel)
            del parcel
            await asyncio.sleep(STAYS_S / 2)
            assert len(asyncio.all_tasks()) == 2
            assert seen() is None
            crew.disband()

    run_virtual(main())


def test_orders_after_some_have_left() -> None:
    """Orders are carried out each once, whether or not tasks are just being sent away."""

    async def main() -> list[int]:
        done: list[int] = []

        async def carry(number: int) -> None:
            await asyncio.sleep(0)
            done.append(number)

        async with anyio.create_task_group() as tasks:
            crew = Crew(carry)
            for number in range(0, 40, 2):
                # Some in the very step in which the timer sends the idle ones away.
                crew.order(tasks, number)
                crew.order(tasks, number + 1)
                await asyncio.sleep(STAYS_S if number % 4 else STAYS_S / 3)
            crew.disband()
        assert len(asyncio.all_tasks()) == 1
        return done

    assert sorted(run_virtual(main())) == list(range(40))


def test_a_disbanded_crew_is_gone() -> None:
    """Once its last order is carried out, no timer holds a crew that was disbanded."""

    async def main() -> None:
        async def carry(for_s: float) -> None:
            await asyncio.sleep(for_s)

        for early, late in ((0.1, 0.2), (0.2, 0.4)):
            async with anyio.create_task_group() as tasks:
                crew = Crew(carry)
                crew.order(tasks, early)
                crew.order(tasks, late)
                await asyncio.sleep(0.15)
                crew.disband()
            seen = weakref.ref(crew)
            del crew
            assert seen() is None

    run_virtual(main())


def test_a_failed_order_ends_the_group() -> None:
    """An error of an order reaches the task group, as that of any of its tasks."""

    async def main() -> None:
        async def fail() -> None:
            raise ValueError("no")

        async with anyio.create_task_group() as tasks:
            Crew(fail).order(tasks)
            await asyncio.sleep(60)

    with pytest.RaisesGroup(ValueError):
        run_virtual(main())
