"""A proxy between clients and nodes that loses calls in every way in which a network and a crash can."""

import asyncio
import collections
import random
import socket
import struct
import threading

# The fates of a call, and how often each comes in 1,000 (at a rate of 1).
FATES = {
    "request lost": 10,   # the node never hears of it
    "reply lost": 25,     # it was done
    "cut at once": 10,    # perhaps
    "half a reply": 5,
    "request late": 10,   # the connection breaks, and the request is done later, behind what came after it
    "silence": 1,         # neither an answer nor an end
}
LATE_S = 6  # at most: longer than it takes for another leader to come


class LossyProxy:
    """One listener for each of `targets` (host:port). Calls are passed on whole, one Thrift frame at a time."""

    def __init__(self, targets, seed, rate=1.0):
        self.rate = rate  # may be changed at any time
        self.fates = collections.Counter()
        self.next = collections.deque()  # fates of the next calls, before any is drawn
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._tasks = set()
        self._route = {}
        listeners = []
        for target in targets:
            listener = socket.create_server(("127.0.0.1", 0))
            self._route[target] = f"127.0.0.1:{listener.getsockname()[1]}"
            listeners.append((target, listener))
        self._thread = threading.Thread(target=self._main, args=(listeners,))
        self._thread.start()

    def route(self, target):
        return self._route[target]

    def close(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _main(self, listeners):
        asyncio.set_event_loop(self._loop)
        servers = [self._loop.run_until_complete(asyncio.start_server(
            lambda reader, writer, target=target: self._begin(self._serve(target, reader, writer)), sock=listener))
                   for target, listener in listeners]
        self._loop.run_forever()
        for server in servers:
            server.close()
        while tasks := list(self._tasks):
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    def _begin(self, coroutine):
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)  # the loop does not keep it alive
        task.add_done_callback(self._tasks.discard)

    def _draw(self):
        if self.next:
            return self.next.popleft()
        at = self._random.random() * 1000
        for fate, share in FATES.items():
            at -= share * self.rate
            if at < 0:
                self.fates[fate] += 1
                return fate
        return "answered"

    async def _serve(self, target, reader, writer):
        there = None
        try:
            while True:
                request = await self._frame(reader)
                fate = self._draw()
                if fate == "request lost":
                    return
                if fate == "request late":
                    self._begin(self._deliver_late(target, request))
                    return
                if there is None:
                    there = await self._dial(target)
                there[1].write(request)
                await there[1].drain()
                if fate == "cut at once":
                    return
                reply = await self._frame(there[0])
                if fate == "reply lost":
                    return
                if fate == "silence":
                    await reader.read()  # until the client gives up
                    return
                writer.write(reply[:len(reply) // 2] if fate == "half a reply" else reply)
                await writer.drain()
                if fate == "half a reply":
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            if there is not None:
                there[1].close()

    async def _deliver_late(self, target, request):
        writer = None
        try:
            await asyncio.sleep(self._random.uniform(0, LATE_S))
            reader, writer = await self._dial(target)
            writer.write(request)
            await self._frame(reader)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            if writer is not None:
                writer.close()

    @staticmethod
    async def _dial(target):
        host, _, port = target.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    @staticmethod
    async def _frame(reader):
        head = await reader.readexactly(4)
        return head + await reader.readexactly(struct.unpack(">I", head)[0])
