"""Who computes when: one at a time, in order, and of each page only the newest."""

import asyncio

import pytest

from sketchforge.app.turns import CallThread, ReplacedError, Turns


def play(*steps: tuple[str, str]) -> list[str]:
    """What happens when these requests, (page, name), come one after another while the first computes."""
    happened = []

    async def ask(turns: Turns, page: str, name: str) -> None:
        try:
            async with turns.take(page):
                happened.append(f"{name} begins")
                for _ in range(3):
                    await asyncio.sleep(0)
                happened.append(f"{name} ends")
        except ReplacedError:
            happened.append(f"{name} replaced")

    async def run() -> None:
        turns = Turns()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for page, name in steps:
                group.create_task(ask(turns, page, name))

    asyncio.run(run())
    return happened


def test_requests_are_carried_out_one_at_a_time_in_the_order_in_which_they_came():
    assert play(("a", "1"), ("b", "2"), ("c", "3")) == [
        *("1 begins", "1 ends", "2 begins", "2 ends", "3 begins", "3 ends")
    ]


def test_a_newer_request_of_a_page_takes_the_place_of_its_older_one_that_waits():
    happened = play(("a", "1"), ("b", "2"), ("c", "3"), ("b", "4"))
    assert [what for what in happened if what.endswith(("begins", "replaced"))] == [
        *("1 begins", "2 replaced", "4 begins", "3 begins")
    ]


def test_a_request_at_work_is_not_replaced_by_a_newer_one_of_its_page():
    assert play(("a", "1"), ("a", "2")) == ["1 begins", "1 ends", "2 begins", "2 ends"]


def test_a_page_that_goes_away_while_it_waits_does_not_hold_up_the_others():
    async def run() -> str:
        turns = Turns()
        async with turns.take("a"):
            waiting = asyncio.create_task(hold(turns, "b"))
            behind = asyncio.create_task(hold(turns, "c"))
            await asyncio.sleep(0)
            waiting.cancel()
        return await asyncio.wait_for(behind, 60)

    async def hold(turns: Turns, page: str) -> str:
        async with turns.take(page):
            return page

    assert asyncio.run(run()) == "c"


def test_a_turn_that_comes_as_its_page_goes_away_is_passed_on():
    async def run() -> str:
        turns = Turns()
        async with turns.take("a"):
            leaving = asyncio.create_task(hold(turns, "b"))
            await asyncio.sleep(0)
        leaving.cancel()  # its turn has come, it has not run yet
        await asyncio.sleep(0)
        return await asyncio.wait_for(hold(turns, "c"), 60)

    async def hold(turns: Turns, page: str) -> str:
        async with turns.take(page):
            return page

    assert asyncio.run(run()) == "c"


def test_a_call_that_fails_raises_here_and_the_thread_goes_on():
    async def run() -> int:
        thread = CallThread("test")
        with pytest.raises(ZeroDivisionError):
            await thread.run(lambda: 1 // 0)
        return await thread.run(lambda: 3)

    assert asyncio.run(run()) == 3
