"""What a service does that receives webhooks."""

from datetime import UTC, datetime

from hms_async.domain.duration import instant_to_ms
from hms_async.domain.signature import Headers, Secret, verify


def verify_webhook(
    secret: Secret, headers: Headers, body: bytes, *, now: datetime | None = None
) -> str:
    """Return the id of a webhook that was signed with our secret not long ago.

    A message may come more than once: remember the ids of those that were dealt with.

    Args:
        secret: `whsec_` and base64, or the text that the sender was given; a list of both while
            one takes the other's place.
        headers: The request's: `webhook-id`, `webhook-timestamp` and `webhook-signature` are read.
        body: The request's body as it came, before anything parsed it.
        now: The receiver's time; the clock's when not given. Five minutes either way are allowed.

    Raises:
        SignatureInvalid: If the message is not to be believed; its text says why.
        ConfigInvalid: If the secret is no secret.
    """
    moment = datetime.now(UTC) if now is None else now
    return verify(secret, headers, body, now_s=instant_to_ms(moment, name="now") / 1_000)
