"""anyio: task groups, cancel scopes, shields, limiters and threads."""

from __future__ import annotations

import anyio
import anyio.from_thread
import anyio.to_thread

from tests.thirdparty.conftest import Run


def test_the_first_error_ends_the_others_and_their_clean_up_runs(run: Run) -> None:
    begun: list[int] = []
    cleaned: list[int] = []

    async def wait(number: int) -> None:
        try:
            begun.append(number)
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.001)
                cleaned.append(number)

    async def scenario() -> object:
        begun.clear()
        cleaned.clear()
        try:
            async with anyio.create_task_group() as group:
                for number in range(10):
                    group.start_soon(wait, number)
                while len(begun) < 10:
                    await anyio.sleep(0.001)
                raise ValueError("first")
        except ExceptionGroup as error:
            return [repr(each) for each in error.exceptions], sorted(cleaned)
        return "no error"

    assert run(scenario) == (["ValueError('first')"], list(range(10)))


def test_nested_scopes_end_where_they_should(run: Run) -> None:
    async def descend(depth: int, cancelled: int) -> list[str]:
        with anyio.CancelScope() as scope:
            if depth == cancelled:
                scope.cancel()
            inner = await descend(depth + 1, cancelled) if depth < 5 else []
            await anyio.sleep(0)
            return [*inner, f"left {depth}"]
        return [f"caught at {depth}"]

    async def scenario() -> object:
        results: dict[int, list[str]] = {}

        async def keep(number: int) -> None:
            results[number] = await descend(0, number)

        async with anyio.create_task_group() as group:
            for number in range(6):
                group.start_soon(keep, number)
        return results

    def expected(cancelled: int) -> list[str]:
        return [f"caught at {cancelled}", *(f"left {depth}" for depth in reversed(range(cancelled)))]

    assert run(scenario) == {number: expected(number) for number in range(6)}


def test_streams_limiters_and_threads(run: Run) -> None:
    async def scenario() -> object:
        send, receive = anyio.create_memory_object_stream[int](2)
        limiter = anyio.CapacityLimiter(2)
        most = 0

        def in_thread(number: int) -> int:
            anyio.from_thread.run(send.send, number)
            return number

        async def produce(number: int) -> None:
            nonlocal most
            async with limiter:
                most = max(most, limiter.borrowed_tokens)
                await anyio.to_thread.run_sync(in_thread, number)

        async with anyio.create_task_group() as group, receive:
            for number in range(12):
                group.start_soon(produce, number)
            got = [await receive.receive() for _ in range(12)]
        send.close()
        return sorted(got), most

    assert run(scenario) == (list(range(12)), 2)


def test_a_deadline_spares_what_came_in_time(run: Run) -> None:
    async def scenario() -> object:
        late = []
        for _ in range(10):
            with anyio.move_on_after(0.001) as scope:
                await anyio.sleep_forever()
            late.append(scope.cancelled_caught)
            with anyio.fail_after(30):
                await anyio.sleep(0)
        return late

    assert run(scenario) == [True] * 10
