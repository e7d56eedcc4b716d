"""The mail server of all applications: fast, slow or refusing. It keeps only the recipients."""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.sink import Sink


class Post(Sink):
    """A mail server that takes `pause` seconds for each email, or refuses it if `refuses` is set."""

    refuses = False

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.refuses:
            return "451 4.3.0 Not now"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        await asyncio.sleep(self.pause)
        self.received += envelope.rcpt_tos
        return "250 Taken"
