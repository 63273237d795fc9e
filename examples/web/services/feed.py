"""A live feed over WebSocket (RFC 6455), as `python3 feed.py PORT`: numbers, and an echo of what is said."""

import asyncio
import base64
import hashlib
import itertools
import sys

MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def frame(kind, payload):
    length = len(payload)
    size = bytes([length]) if length < 126 else b"\x7e" + length.to_bytes(2, "big")
    return bytes([0x80 | kind]) + size + payload


async def read_frame(reader):
    first, second = await reader.readexactly(2)
    length = second & 0x7F
    if length >= 126:
        length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
    mask = await reader.readexactly(4)
    payload = await reader.readexactly(min(length, 65535))
    return first & 0x0F, bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


async def tell_the_time(writer):
    for count in itertools.count():
        writer.write(frame(TEXT, str(count).encode()))
        await writer.drain()
        await asyncio.sleep(1)


async def serve(reader, writer):
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[1:]
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head)}
    key = headers.get("sec-websocket-key")
    if key is None:
        writer.write(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        return
    accept = base64.b64encode(hashlib.sha1((key + MAGIC).encode()).digest()).decode()
    writer.write(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
    )
    ticking = asyncio.create_task(tell_the_time(writer))
    try:
        while True:
            kind, payload = await read_frame(reader)
            if kind == CLOSE:
                writer.write(frame(CLOSE, payload))
                break
            if kind in (TEXT, PING):
                writer.write(frame(TEXT if kind == TEXT else PONG, payload))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        ticking.cancel()
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
