"""Runs loops in child processes, started in the way that its argument names, and none itself."""

import asyncio
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor


async def tick(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def work(count: int) -> None:
    asyncio.run(tick(count))


def fork_plainly() -> None:
    for count in (3, 5):
        child = os.fork()
        if child == 0:
            work(count)
            sys.exit()
        os.waitpid(child, 0)


def start_processes(way: str) -> None:
    context = multiprocessing.get_context(way)
    processes = [context.Process(target=work, args=(count,)) for count in (3, 5)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        print("child ended with", process.exitcode)


async def start_from_loop() -> None:
    await tick(10)
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        await asyncio.get_running_loop().run_in_executor(executor, work, 3)
        await asyncio.get_running_loop().run_in_executor(executor, work, 5)


if __name__ == "__main__":
    match sys.argv[1]:
        case "plain fork":
            fork_plainly()
        case "from a loop":
            asyncio.run(start_from_loop())
        case "terminated":
            context = multiprocessing.get_context("fork")
            process = context.Process(target=work, args=(10**9,))
            process.start()
            process.join(1.0)
            # As masters of servers do: once, and again for all that are still alive.
            while process.is_alive():
                process.terminate()
                process.join(0.001)
            print("child ended with", process.exitcode)
        case way:
            start_processes(way)
