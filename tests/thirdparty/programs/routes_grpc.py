"""A service on grpc.aio that knows nothing of asyncio-pulse, and its client, in one process.

The messages are bytes, so the service needs no generated code.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio


async def get(request: bytes, context: Any) -> bytes:
    await asyncio.sleep(0)
    return b"item " + request


async def watch(request: bytes, context: Any) -> AsyncIterator[bytes]:
    for number in range(3):
        await asyncio.sleep(0)
        yield b"%d " % number


async def write(request: bytes, context: Any) -> None:
    for number in range(3):
        await context.write(b"%d " % number)


async def add(requests: AsyncIterator[bytes], context: Any) -> bytes:
    return b"".join([each async for each in requests])


async def talk(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    async for each in requests:
        yield each.upper()


async def refuse(request: bytes, context: Any) -> bytes:
    await context.abort(grpc.StatusCode.NOT_FOUND, "no such item")
    raise AssertionError


async def stop(request: bytes, context: Any) -> AsyncIterator[bytes]:
    yield b"one "
    await context.abort(grpc.StatusCode.OUT_OF_RANGE, "no more")


async def fail(request: bytes, context: Any) -> bytes:
    raise LookupError("the method's own")


def in_thread(request: bytes, context: Any) -> bytes:
    return b"from a thread"


METHODS = {
    "Get": grpc.unary_unary_rpc_method_handler(get),
    "Watch": grpc.unary_stream_rpc_method_handler(watch),
    "Write": grpc.unary_stream_rpc_method_handler(write),
    "Add": grpc.stream_unary_rpc_method_handler(add),
    "Talk": grpc.stream_stream_rpc_method_handler(talk),
    "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
    "Stop": grpc.unary_stream_rpc_method_handler(stop),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "InThread": grpc.unary_unary_rpc_method_handler(in_thread),
}


async def ask(channel: Any, method: str) -> object:
    name = f"/shop.Items/{method}"
    try:
        if method in ("Get", "Refuse", "Fail", "InThread", "Missing"):
            return await channel.unary_unary(name)(b"1")
        if method in ("Watch", "Write", "Stop"):
            return [each async for each in channel.unary_stream(name)(b"1")]
        if method == "Add":
            return await channel.stream_unary(name)(iter([b"a", b"b"]))
        return [each async for each in channel.stream_stream(name)(iter([b"a", b"b"]))]
    except grpc.aio.AioRpcError as error:
        return error.code().name, error.details()


async def main(interceptors: list[Any]) -> None:
    server = grpc.aio.server(ThreadPoolExecutor(1), interceptors=interceptors or None)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop.Items", METHODS)])
    health = {"Check": grpc.unary_unary_rpc_method_handler(get)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("grpc.health.v1.Health", health)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        for method in [*METHODS, "Get", "Missing"]:
            print(method, await ask(channel, method))
        print(await channel.unary_unary("/grpc.health.v1.Health/Check")(b""))
    await server.stop(None)


if __name__ == "__main__":
    added = []
    if "by hand" in sys.argv:
        from asyncio_pulse.integrations.grpc import PulseInterceptor

        added.append(PulseInterceptor(group=lambda details: f"own {details.method}"))
    asyncio.run(main(added))
