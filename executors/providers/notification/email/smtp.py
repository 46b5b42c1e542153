"""E-mail over SMTP (RFC 5321): the session of one attempt, and the message as it is sent.

Each recipient gets a message of its own, over one connection for up to 50. Up to SESSIONS connections of one server
and login are open at once, kept for the next run, and closed when idle. Its Message-ID is made of the run and the
recipient, so that a message that was sent twice (the connection broke before the server's word came) is told by it.
TLS: `secure` from the first byte; else STARTTLS, which `tls: true` demands and `tls: false` leaves out. A password
never crosses a connection that is not encrypted unless `tls: false` says so.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import smtplib
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime, formataddr
from typing import Any

from core import clock
from executors import base
from executors.base import AttemptFailed
from executors.catalog.formats import is_email
from executors.providers.notification.delivery import Accepted, Email, Occasion, Refused, Report
from executors.reach.addresses import checked
from executors.reach.clients import Clients
from executors.reach.threads import Threads

SUBMISSION, SUBMISSIONS = 587, 465  # the ports of RFC 6409 and RFC 8314
REPLY_SECONDS = 30.0  # at most, for each word of the server
GOODBYE_SECONDS = 2.0
TAKE_UP_SECONDS = 5.0  # a kept connection that is slower than that is replaced
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9_\-]")
_ENHANCED = re.compile(r"[245]\.(\d{1,3})\.\d{1,3}\b")  # RFC 3463: its middle is the subject, 7 is policy

SESSIONS = 10  # with one server and login in one process; more wait their turn

_threads = Threads("smtp")


class _WholeIds(EmailPolicy):
    """Headers as the library writes them, but a Message-ID stays on the line of its name: the library begins a new one
    before what just does not fit, where not all who look for an ID find it."""

    def fold_binary(self, name: str, value: Any) -> bytes:
        if name == "Message-ID" and str(value).isascii():
            return f"{name}: {value}{self.linesep}".encode("ascii")
        return super().fold_binary(name, value)


_POLICY = _WholeIds(linesep="\r\n")


class Smtp:
    at_once = 50

    def __init__(self, settings: Mapping[str, Any], occasion: Occasion) -> None:
        """Raises AttemptFailed for a sender that a reference made wrong: it goes into commands and headers."""
        self._settings, self._occasion = settings, occasion
        self._key = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()
        if not is_email(settings["sender_email"]):
            raise AttemptFailed(base.VALIDATION_ERROR, "the sender_email of the environment is not an e-mail address")

    async def send(self, message: Email, recipients: Sequence[str], report: Report) -> None:
        async with _servers.use(self._key, _no_session_yet) as server, server.slots:
            session = await self._session(server)
            try:
                for recipient in recipients:
                    told = await _threads.run(session.deliver, message, recipient, abort=session.abort)
                    await report(recipient, told)
            except BaseException:
                session.close()
                raise
            server.idle.append(session)

    async def _session(self, server: _Server) -> Session:
        """One that is kept and still answers, else a new one. Raises AttemptFailed."""
        while server.idle:
            session = server.idle.pop()
            if await self._begun(session, session.take_up):
                return session
        session = Session(self._settings, self._occasion)
        await self._begun(session, session.open)
        return session

    async def _begun(self, session: Session, begin: Callable[..., bool]) -> bool:
        begun = False
        try:
            begun = await _threads.run(begin, self._occasion, abort=session.abort)
        finally:
            if not begun:
                session.close()
        return begun

    async def check(self) -> str:
        session = Session(self._settings, self._occasion)
        try:
            await _threads.run(session.open, self._occasion, abort=session.abort)
            await _threads.run(session.quit, abort=session.abort)
        finally:
            session.close()
        return f"e-mail: the SMTP server {session.where} answers" + (
            " and accepts the login" if session.logs_in else ""
        )


@dataclass(slots=True)
class _Server:
    """One server and login: its places, and the connections that nobody uses."""

    slots: asyncio.Semaphore
    idle: list[Session]


async def _no_session_yet() -> _Server:
    return _Server(asyncio.Semaphore(SESSIONS), [])


async def _let_go(server: _Server) -> None:
    for session in server.idle:
        try:
            await _threads.run(session.quit, abort=session.abort)
        finally:
            session.close()


_servers: Clients[_Server] = Clients(_let_go)


class Session:
    """One connection. Its methods block, and are called by one thread at a time; `abort` and `close` by any."""

    def __init__(self, settings: Mapping[str, Any], occasion: Occasion) -> None:
        self._settings, self._occasion = settings, occasion
        self._secure = bool(settings.get("secure", settings.get("port") == SUBMISSIONS))
        port = settings.get("port", SUBMISSIONS if self._secure else SUBMISSION)
        self._host, self._port = str(settings["host"]), int(port)
        self.where = f"{self._host}:{self._port}"
        self.logs_in = bool(settings.get("auth"))
        self._smtp: smtplib.SMTP | None = None
        self._aborted = False

    def open(self, occasion: Occasion) -> bool:
        """Connect, encrypt, log in; True. Raises AttemptFailed."""
        self._occasion = occasion
        address = checked(self._host, self._port)
        try:
            self._connect(address)
            if self._settings.get("auth"):
                auth = self._settings["auth"]
                self._client.login(auth["user"], auth["pass"])
            return True
        except UnicodeEncodeError:
            raise self._told(base.VALIDATION_ERROR, "takes logins of ASCII characters only: change auth") from None
        except (smtplib.SMTPException, OSError) as error:
            raise self._failed(error) from None

    def take_up(self, occasion: Occasion) -> bool:
        """Go on with a connection that was kept; whether the server still answers."""
        self._occasion = occasion
        try:
            self._wait_at_most(occasion.left(TAKE_UP_SECONDS))
            return self._client.rset()[0] == 250
        except (smtplib.SMTPException, OSError):
            return False

    def deliver(self, message: Email, recipient: str) -> Accepted | Refused:
        """One message to one recipient. Raises AttemptFailed where the connection is of no more use."""
        written = self._written(message, recipient)
        try:
            self._wait_at_most(self._occasion.left(REPLY_SECONDS))
            self._client.send_message(written, self._settings["sender_email"], [recipient])
        except smtplib.SMTPServerDisconnected as error:
            raise self._failed(error) from None
        except smtplib.SMTPException as error:
            return Refused(self._failed(error).failed)
        except OSError as error:
            raise self._failed(error) from None
        return Accepted(str(written["Message-ID"]))

    def quit(self) -> None:
        """Say goodbye, as far as the server listens: everything is told by now."""
        try:
            self._wait_at_most(GOODBYE_SECONDS)
            self._client.quit()
        except (smtplib.SMTPException, OSError):
            pass  # it was the last word in any case

    def abort(self) -> None:
        """Hang up, whatever another thread waits for: that thread is woken, and finds the connection gone."""
        self._aborted = True
        sock = self._smtp.sock if self._smtp is not None else None
        try:
            if sock is not None:
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # of the connection below TLS
        except OSError:
            pass  # it is gone already

    def close(self) -> None:
        """Hang up and let go of the connection."""
        self.abort()
        if self._smtp is not None:
            self._smtp.close()

    def _wait_at_most(self, seconds: float) -> None:
        if self._client.sock is None:
            raise smtplib.SMTPServerDisconnected("the server hung up")
        self._client.sock.settimeout(seconds)

    @property
    def _client(self) -> smtplib.SMTP:
        if self._smtp is None:
            raise smtplib.SMTPServerDisconnected("the session was closed")
        return self._smtp

    def _connect(self, address: str) -> None:
        timeout = self._occasion.left(REPLY_SECONDS)
        context = ssl.create_default_context()
        client = _Client(address, timeout, context if self._secure else None, lambda: self._aborted)
        self._smtp = client
        code, greeting = client.connect(self._host, self._port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, greeting)
        client.ehlo_or_helo_if_needed()
        wanted = self._settings.get("tls")
        if not self._secure and wanted is not False and (wanted or client.has_extn("starttls")):
            client.starttls(context=context)
            client.ehlo()
        elif self.logs_in and not self._secure and wanted is not False:
            raise smtplib.SMTPNotSupportedError(
                "the server offers no encryption, and a password would be read on its way: set tls: false to send it so"
            )

    def _written(self, message: Email, recipient: str) -> EmailMessage:
        sender = self._settings["sender_email"]
        written = EmailMessage(policy=_POLICY)
        written["From"] = formataddr((_plain(self._settings.get("sender_name", "")), sender))
        written["To"] = recipient
        written["Subject"] = message.subject
        written["Date"] = format_datetime(clock.machine_now())
        run = _NOT_IN_ID.sub(".", self._occasion.run_key)
        written["Message-ID"] = f"<{run}.{self._occasion.digest(recipient)}@{sender.rpartition('@')[2]}>"
        written.set_content(message.text)
        written.add_alternative(message.html, subtype="html")
        return written

    def _failed(self, error: Exception) -> AttemptFailed:
        """What an error of the library or the system means for the attempt."""
        match error:
            case smtplib.SMTPRecipientsRefused():
                code, text = next(iter(error.recipients.values()))
                return self._answered(code, text)
            case smtplib.SMTPAuthenticationError() if error.smtp_code >= 500:
                return self._told(base.UNAUTHORIZED, f"refuses the login: {_plain(error.smtp_error)}")
            case smtplib.SMTPResponseException():
                return self._answered(error.smtp_code, error.smtp_error)
            case smtplib.SMTPServerDisconnected() if isinstance(error.__context__, TimeoutError):
                return self._failed(error.__context__)  # the library calls it a disconnection
            case smtplib.SMTPServerDisconnected():
                return self._told(base.CONNECTION_ERROR, "hung up", retryable=True)
            case smtplib.SMTPException():
                return self._told(base.VALIDATION_ERROR, f"cannot be used so: {error}")
            case TimeoutError():
                return self._told(base.TIMEOUT, "did not answer in time", retryable=True)
            case ssl.SSLCertVerificationError():
                reason = f"has a certificate that is not valid: {error.verify_message}"
                return self._told(base.CONNECTION_ERROR, reason, retryable=True)
            case ssl.SSLError():
                reason = f"does not speak TLS as expected: {error.reason or 'no reason'}"
                return self._told(base.CONNECTION_ERROR, reason, retryable=True)
            case _:
                reason = getattr(error, "strerror", None) or type(error).__name__
                return self._told(base.CONNECTION_ERROR, f"cannot be reached: {reason}", retryable=True)

    def _answered(self, code: int, text: bytes | str) -> AttemptFailed:
        """By the reply's first digit (RFC 5321 §4.2.1): 4 may be better later, 5 stays so."""
        said = f"answered {code} {_plain(text)}".rstrip()
        if 400 <= code < 500:
            return self._told(base.SERVICE_UNAVAILABLE, said, retryable=True)
        if code == 530:
            return self._told(base.UNAUTHORIZED, said)
        enhanced = _ENHANCED.match(_plain(text))
        policy = enhanced is not None and enhanced[1] == "7"
        return self._told(base.FORBIDDEN if policy else base.VALIDATION_ERROR, said)

    def _told(self, code: str, what: str, *, retryable: bool = False) -> AttemptFailed:
        message = f"the SMTP server {self.where} {self._occasion.redact(what)}"
        return AttemptFailed(code, message[:500], retryable=retryable)


class _Client(smtplib.SMTP):
    """Connects to an address that was checked; certificates are checked for the name of the host all the same."""

    def __init__(self, address: str, timeout: float, tls: ssl.SSLContext | None, aborted: Callable[[], bool]) -> None:
        self._address, self._tls, self._aborted = address, tls, aborted
        super().__init__(local_hostname="localhost", timeout=timeout)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        self._host = host  # whom STARTTLS checks the certificate for
        plain = socket.create_connection((self._address, port), timeout)
        if self._aborted():  # while it connected, when there was nothing to hang up yet
            plain.close()
            raise smtplib.SMTPServerDisconnected("the session was closed")
        self.local_hostname = _own_name(plain)
        return self._tls.wrap_socket(plain, server_hostname=host) if self._tls is not None else plain


def _own_name(connected: socket.socket) -> str:
    """How this side introduces itself (RFC 5321 §4.1.4): by a full name, else by its address. Asks no name server."""
    name = socket.gethostname()
    address = str(connected.getsockname()[0])
    return name if "." in name else f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _plain(text: bytes | str) -> str:
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return " ".join(said.replace("\x00", "").split())
