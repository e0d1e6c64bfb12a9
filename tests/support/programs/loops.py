"""Starts its event loop in the way that its first argument names."""

import asyncio
import sys
import threading


async def tick() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def main() -> None:
    await asyncio.gather(*(tick() for _ in range(10)))
    print(type(asyncio.get_running_loop()).__module__, asyncio.current_task().get_name())


def run_on(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def run_in_thread() -> None:
    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    thread.join()


def run_with_policy() -> None:
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(main())


class OwnLoop(asyncio.SelectorEventLoop):
    """A program's own kind of loop."""


match sys.argv[1]:
    case "run":
        asyncio.run(main())
    case "debug":
        asyncio.run(main(), debug=True)
    case "runner":
        with asyncio.Runner() as runner:
            runner.run(main())
    case "uvloop run":
        import uvloop

        uvloop.run(main())
    case "uvloop policy":
        run_with_policy()
    case "uvloop loop":
        import uvloop

        run_on(uvloop.new_event_loop())
    case "run_until_complete":
        run_on(asyncio.new_event_loop())
    case "own class":
        run_on(OwnLoop())
    case "thread":
        run_in_thread()
    case "reloaded":
        import importlib

        importlib.reload(asyncio.base_events)
        importlib.reload(asyncio.selector_events)
        importlib.reload(asyncio.unix_events)
        run_on(asyncio.unix_events.SelectorEventLoop())
