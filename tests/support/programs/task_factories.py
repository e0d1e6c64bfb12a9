"""Sets and reads task factories of its own, before and while the loop runs."""

import asyncio
import sys


def own_factory(loop, coro, **keywords):  # type: ignore[no-untyped-def]
    own_factory.calls += 1
    return asyncio.Task(coro, loop=loop, **keywords)


own_factory.calls = 0


async def tick() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def main() -> None:
    loop = asyncio.get_running_loop()
    print(loop.get_task_factory())
    loop.set_task_factory(own_factory)
    print(loop.get_task_factory() is own_factory)
    await asyncio.gather(*(tick() for _ in range(10)))
    print(own_factory.calls)
    try:
        loop.set_task_factory("not callable")
    except TypeError as error:
        print(error)
    # uvloop 0.23 passes eager_start, which the factory of Python 3.13.0 does not take.
    if sys.version_info >= (3, 12) and sys.argv[1] == "asyncio":
        loop.set_task_factory(asyncio.eager_task_factory)
        print(loop.get_task_factory() is asyncio.eager_task_factory)
        await asyncio.gather(*(tick() for _ in range(10)))
    loop.set_task_factory(None)
    print(loop.get_task_factory())
    await asyncio.gather(*(tick() for _ in range(10)))


if sys.argv[1] == "uvloop":
    import uvloop

    uvloop.run(main())
else:
    asyncio.run(main())
