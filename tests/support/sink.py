"""A mail server that takes every email, counts it, and can be slow or hold its answer back."""

import asyncio
import re
import threading
from email import message_from_bytes, policy
from typing import NamedTuple

from aiosmtpd.smtp import SMTP


class Arrived(NamedTuple):
    recipient: str
    message_id: str
    text: str

    @property
    def link(self):
        return re.search(r"https://[^/\s]+(/\S+)", self.text)[1]


class Sink:
    """One on a port of loopback. Start it by `with`."""

    def __init__(self):
        self.received = []  # all that arrived, in order
        self.pause = 0  # seconds that each takes
        self.holds = None  # "before": no email is taken; "after": it is taken, and the 250 is kept back
        self.in_hand = 0  # how many are being held
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)

    def __enter__(self):
        self.thread.start()
        self.server = asyncio.run_coroutine_threadsafe(self._listen(), self.loop).result()
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._hang_up(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def handle_DATA(self, server, session, envelope):
        message = message_from_bytes(envelope.content, policy=policy.default)
        await self._hold("before")
        await asyncio.sleep(self.pause)
        text = message.get_body(["plain"]).get_content()
        for recipient in envelope.rcpt_tos:
            self.received.append(Arrived(recipient, message["Message-ID"], text))
        await self._hold("after")
        return "250 Taken"

    async def _hold(self, moment):
        self.in_hand += 1
        try:
            while self.holds == moment:
                await asyncio.sleep(0.005)
        finally:
            self.in_hand -= 1

    async def _listen(self):
        return await self.loop.create_server(lambda: SMTP(self, hostname="localhost", loop=self.loop), "127.0.0.1", 0)

    async def _hang_up(self):
        self.server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
