"""Connections to the mail server, for the task `email` and for the doctor."""

import smtplib
import ssl

from jobs_app.core.smtp_url import MailServer


def connect(server: MailServer, *, seconds: float) -> smtplib.SMTP:
    """Return a connection whose server has greeted, not yet encrypted where STARTTLS comes.

    Each step may take *seconds*. Raises OSError, smtplib.SMTPException.
    """
    if server.security == "tls":
        context = ssl.create_default_context(cafile=server.ca)
        return smtplib.SMTP_SSL(server.host, server.port, timeout=seconds, context=context)
    return smtplib.SMTP(server.host, server.port, timeout=seconds)


def encrypt(smtp: smtplib.SMTP, server: MailServer) -> None:
    """Encrypt the connection where that is asked for by STARTTLS; raises as `connect` does."""
    if server.security == "starttls":
        smtp.starttls(context=ssl.create_default_context(cafile=server.ca))
