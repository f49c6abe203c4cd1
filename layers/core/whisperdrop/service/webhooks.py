"""A tenant's webhook: its default URL, and the secrets that sign whatever it is sent."""

import json
import secrets as randomness
from datetime import timedelta

from whisperdrop.domain import keys
from whisperdrop.domain.webhook import SigningSecret, SigningSecrets, Webhook
from whisperdrop.domain.webhook_signature import check_secret, new_secret
from whisperdrop.errors import LostRaceError, NotFoundError
from whisperdrop.ports import Clock, ObjectStore
from whisperdrop.service.courier import Courier, Sent
from whisperdrop.service.documents import dump, read, read_with_etag

SECRET_OVERLAP = timedelta(hours=24)
"""A secret that was replaced goes on signing beside the new one, while receivers are changed."""

_RACES = 5
_NONE = "this tenant has no webhook; PUT /v1/webhook sets one"


class Webhooks:
    """What the API does with webhooks."""

    def __init__(self, store: ObjectStore, courier: Courier, *, clock: Clock) -> None:
        self._store = store
        self._courier = courier
        self._clock = clock

    def admit(self, tenant: str, url: str) -> None:
        """For a job with a webhook of its own: refuse a bad URL, and see that a secret is there.

        A name server that does not answer just now stops nobody's job. Raises WebhookRefusedError.
        """
        self._courier.check(url, must_resolve=False)
        self._secrets(tenant)

    def put(
        self, tenant: str, url: str | None, secret: str | None = None
    ) -> tuple[str | None, str]:
        """Set the default URL, where given, and the secret, where given; what is there from now on.

        A secret is made if there is none. Raises WebhookRefusedError, InvalidValueError.
        """
        if secret is not None:
            check_secret(secret)
        if url is not None:
            self._courier.check(url)
        current = self._secrets(tenant, secret).current
        if url is not None:
            webhook = Webhook(url=url, updated_at=self._clock())
            self._store.put(keys.webhook(tenant), dump(webhook), "application/json")
        return self._url(tenant), current

    def rotate(self, tenant: str) -> tuple[str | None, str]:
        """Make a new secret; the one before it signs too for ``SECRET_OVERLAP``."""
        self.get(tenant)
        return self._url(tenant), self._secrets(tenant, new_secret()).current

    def get(self, tenant: str) -> tuple[str | None, str]:
        """URL and secret; there may be a secret without a URL. Raises NotFoundError."""
        found = read(self._store, SigningSecrets, keys.webhook_secrets(tenant))
        if found is None:
            raise NotFoundError(_NONE)
        return self._url(tenant), found.current

    def delete(self, tenant: str) -> None:
        """Forget the default URL. The secret stays: jobs may have webhooks of their own."""
        self._store.delete(keys.webhook(tenant))

    def test(self, tenant: str, url: str | None = None) -> tuple[str, Sent]:
        """Send a message of the type ``webhook.test`` now; its URL, and what became of it.

        Raises NotFoundError without a URL, WebhookRefusedError for a bad one.
        """
        url = url or self._url(tenant)
        if url is None:
            raise NotFoundError(_NONE)
        self._courier.check(url)
        now = self._clock()
        body = {
            "type": "webhook.test",
            "timestamp": now.isoformat().replace("+00:00", "Z"),
            "data": {"message": "Deliveries arrive, and their signature can be verified."},
        }
        webhook_id = f"test_{randomness.token_hex(12)}"
        live = self._secrets(tenant).live(now)
        return url, self._courier.send(url, webhook_id, json.dumps(body).encode(), live, now)

    def _url(self, tenant: str) -> str | None:
        found = read(self._store, Webhook, keys.webhook(tenant))
        return found.url if found else None

    def _secrets(self, tenant: str, secret: str | None = None) -> SigningSecrets:
        """The tenant's secrets, with ``secret`` as the current one; made where there are none."""
        key = keys.webhook_secrets(tenant)
        for _ in range(_RACES):
            found = read_with_etag(self._store, SigningSecrets, key)
            if found is not None and secret in {None, found[0].current}:
                return found[0]
            now = self._clock()
            rev = randomness.token_hex(8)
            try:
                if found is None:
                    first = SigningSecret(secret=secret or new_secret(), created_at=now)
                    fresh = SigningSecrets(secrets=(first,), rev=rev)
                    self._store.create(key, dump(fresh))
                else:
                    fresh = found[0].replaced_by(
                        secret or found[0].current, now, now + SECRET_OVERLAP, rev
                    )
                    self._store.replace(key, dump(fresh), found[1])
            except LostRaceError:
                continue  # the next look finds what somebody else wrote, or our own lost answer
            return fresh
        raise LostRaceError("the webhook's secret is being changed by somebody else; try again")
