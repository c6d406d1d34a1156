"""A WebSocket server that echoes, and a client that asks it all that the protocol has."""
import asyncio
import ssl
import sys

import websockets

LARGE = bytes(range(256)) * 4096


async def echo(socket):
    async for message in socket:
        if message == "close":
            return await socket.close(4001, "as told")
        await socket.send(message)


async def serve():
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


async def ask(url, ca=None):
    context = ssl.create_default_context(cafile=ca) if ca else None
    async with websockets.connect(url, ssl=context, max_size=None) as socket:
        for message in ["text: ü", b"\x00bytes", "", "x" * 200, LARGE]:
            await socket.send(message)
            assert await socket.recv() == message
        await socket.send(["in ", "three ", "frames"])
        assert await socket.recv() == "in three frames"
        await asyncio.wait_for(await socket.ping(b"are you there?"), 10)
        await socket.send("close")
        try:
            await socket.recv()
        except websockets.ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4001, "as told"), closed
            return
        raise AssertionError("it was not closed")


if sys.argv[1] == "serve":
    asyncio.run(serve())
else:
    asyncio.run(asyncio.wait_for(ask(*sys.argv[2:]), 20))
    print("ok")
