"""The signature of a message: over its body, its headers and its address.

It stands in a header of the message. The task's name, id, expiry and limits are headers, so a
signed body is of no use under another name; and the address is signed, so it is of no use in
another queue. The flag of a redelivery is not signed: kombu sets it on the way.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

from kombu.utils import json as kombu_json

from jobs_app.secrets.signing import Signatures, Signer

#: The header with the signatures, and the header with the time of sending, Unix seconds.
SIGNATURES = "jobs_signatures"
SENT_AT = "jobs_sent_at"

UNSIGNED_HEADERS = frozenset({SIGNATURES, "redelivered"})

_encoder = json.JSONEncoder(sort_keys=True)


def signed_text(
    headers: Mapping[str, Any],
    *,
    exchange: str,
    routing_key: str,
    content_type: str | None,
    content_encoding: str | None,
) -> str:
    """Return the text to which the body is appended to be signed.

    *headers* must be as they are after a way through JSON.
    """
    signed = {name: value for name, value in headers.items() if name not in UNSIGNED_HEADERS}
    address = [exchange, routing_key, content_type, content_encoding]
    # NUL ends the text: JSON has none.
    return f"{_encoder.encode([address, signed])}\0"


def sign(message: dict[str, Any], exchange: str, routing_key: str, signer: Signer) -> None:
    """Add the signatures to *message*, which kombu's channel is about to send."""
    headers = kombu_json.loads(kombu_json.dumps(message["headers"] | {SENT_AT: int(time.time())}))
    text = signed_text(
        headers,
        exchange=exchange,
        routing_key=routing_key,
        content_type=message["content-type"],
        content_encoding=message["content-encoding"],
    )
    signatures = signer.sign(text.encode() + as_bytes(message["body"]))
    message["headers"] = headers | {SIGNATURES: signatures}


def is_signed(message: Any, signatures: Signatures, signer: Signer) -> bool:
    """Tell whether one of *signatures* fits a received message."""
    delivery = message.delivery_info
    text = signed_text(
        message.headers,
        exchange=delivery["exchange"],
        routing_key=delivery["routing_key"],
        content_type=message.content_type,
        content_encoding=message.content_encoding,
    )
    return signer.fits(text.encode() + as_bytes(message.body), signatures)


def as_bytes(body: str | bytes | None) -> bytes:
    """Return the body of a message as bytes."""
    return body.encode() if isinstance(body, str) else bytes(body or b"")
