"""A wire between a process and its server that the tests can make slow, narrow or dead."""

import asyncio
import contextlib
import threading

READ_BYTES = 65_536


class Proxy:
    """Passes on what is sent to `port` to a server on this machine, as well as it is told to.

    What is set counts for connections that are open too. `delay_seconds` is added each way,
    `bytes_per_second` are the most that pass each way, of each connection.
    """

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.delay_seconds = 0.0
        self.bytes_per_second: float | None = None
        self._is_silent = self._is_refusing = False
        self._target_port = target_port
        self._writers: set[asyncio.StreamWriter] = set()
        self._carried = 0
        is_listening = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=[self._serve(is_listening)])
        self._thread.start()
        is_listening.wait(5)

    def cut(self, *, silently: bool) -> None:
        """Let nothing through until `mend`: refuse connections, or lose bytes *silently*."""
        self._is_silent, self._is_refusing = silently, not silently
        if not silently:
            self._loop.call_soon_threadsafe(self._drop_all)

    def mend(self) -> None:
        """Let new connections through; the old ones mean nothing to the server that is there."""
        self._is_silent = self._is_refusing = False
        self._loop.call_soon_threadsafe(self._drop_all)

    def close(self) -> None:
        """Close everything."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(5)

    async def _serve(self, is_listening: threading.Event) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        is_listening.set()
        await self._end.wait()
        server.close()
        self._is_refusing = True
        while self._carried:
            self._drop_all()
            await asyncio.sleep(0.01)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._carried += 1
        try:
            if not self._is_refusing:
                there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
                self._writers.add(back)
                await asyncio.gather(self._carry(reader, back), self._carry(there, writer))
        except OSError:
            # The server is gone: the caller hears it by the end of its own connection.
            pass
        finally:
            self._lose(writer)
            self._carried -= 1

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(READ_BYTES):
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                if self.bytes_per_second is not None:
                    await asyncio.sleep(len(data) / self.bytes_per_second)
                if not self._is_silent:
                    writer.write(data)
                    await writer.drain()
        # An end is not heard either where nothing is.
        if not self._is_silent:
            self._lose(writer)

    def _lose(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.transport.abort()

    def _drop_all(self) -> None:
        for writer in list(self._writers):
            self._lose(writer)
