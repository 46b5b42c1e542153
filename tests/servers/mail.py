"""A real SMTP server (aiosmtpd) on a free loopback port, which remembers what it was sent and can refuse.

Each test says what it offers: TLS from the first byte, STARTTLS, a login, replies to recipients.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.servers.local import wait_until

USER, PASSWORD = "mailer", "s3cret-of-mail"


class MailServer:
    """`replies` holds what a recipient (RCPT) or the next message ("DATA") is answered."""

    def __init__(
        self, *, tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None, login: bool = False
    ) -> None:
        self._tls, self._starttls, self._login = tls, starttls, login
        self.replies: dict[str, str] = {}
        self.got: list[tuple[str, list[str], EmailMessage]] = []
        self.names: set[str] = set()  # that callers introduced themselves by
        self.encrypted: list[bool] = []
        self.logins: list[str] = []
        self.silent = False  # does not even greet
        self.hangs_up_after: int | None = None  # messages
        self.open = 0  # connections
        self.connections = 0
        self.port = 0
        self._transports: set[Any] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="mail", daemon=True)

    def __enter__(self) -> MailServer:
        self._thread.start()
        wait_until(lambda: self.port != 0, "the mail server listens", seconds=5)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    @property
    def settings(self) -> dict[str, Any]:
        auth = {"auth": {"user": USER, "pass": PASSWORD}} if self._login else {}
        more = {"secure": True} if self._tls is not None else {}
        return {"host": "127.0.0.1", "port": str(self.port), "sender_email": "noreply@shop.example", **auth, **more}

    @property
    def block(self) -> dict[str, Any]:
        return {"provider": "smtp", "smtp": self.settings}

    def hang_up(self) -> None:
        """On every connection that is open."""

        def abort() -> None:
            for transport in self._transports:
                transport.abort()

        self._loop.call_soon_threadsafe(abort)
        self.wait_closed()

    def wait_closed(self, seconds: float = 3.0) -> None:
        wait_until(lambda: self.open == 0, "all connections are closed", seconds=seconds)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(self._loop.create_server(self._protocol, "127.0.0.1", 0, ssl=self._tls))
        self.port = server.sockets[0].getsockname()[1]
        self._loop.run_forever()
        server.close()
        for transport in self._transports:
            transport.abort()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()

    def _protocol(self) -> asyncio.Protocol:
        owner = self
        owner.connections += 1
        if self.silent:
            return _Silent(self)
        options: dict[str, Any] = {"hostname": "mail.test", "loop": self._loop, "enable_SMTPUTF8": True}
        if self._starttls is not None:
            options["tls_context"] = self._starttls
        if self._login:
            options |= {"authenticator": self._authenticate, "auth_required": True, "auth_require_tls": False}

        class Counted(SMTP):
            def connection_made(self, transport: Any) -> None:
                if not hasattr(transport, "_ssl_protocol") or owner._tls is not None:  # not once more after STARTTLS
                    owner.open += 1
                owner._transports.add(transport)
                super().connection_made(transport)

            def connection_lost(self, error: Exception | None) -> None:
                owner.open = max(0, owner.open - 1)
                super().connection_lost(error)

        return Counted(self, **options)

    def _authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login.decode())
        right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=right)

    async def handle_RCPT(self, server: Any, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        if (reply := self.replies.get(address)) is not None:
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        if self.hangs_up_after is not None and len(self.got) >= self.hangs_up_after:
            server.transport.abort()
            return "451 never read"
        if (reply := self.replies.get("DATA")) is not None:
            return reply
        content = envelope.content
        assert isinstance(content, bytes)
        message = message_from_bytes(content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.names.add(str(session.host_name))
        self.encrypted.append(session.ssl is not None or self._tls is not None)
        self.got.append((str(envelope.mail_from), list(envelope.rcpt_tos), message))
        return f"250 queued as {len(self.got)} at {time.time()}"


class _Silent(asyncio.Protocol):
    def __init__(self, owner: MailServer) -> None:
        self._owner = owner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._owner.open += 1

    def connection_lost(self, error: Exception | None) -> None:
        self._owner.open -= 1
