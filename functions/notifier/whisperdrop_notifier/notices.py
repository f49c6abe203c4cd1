"""One message of the queue, whoever received it: tell of every job that it names."""

from whisperdrop.domain.notices import parse_notice
from whisperdrop.domain.webhook import Delivery
from whisperdrop.service.delivery import BeingDeliveredError, Notifier
from whisperdrop_notifier.observing import told


def handle(notifier: Notifier, body: str, *, bucket: str, receives: int) -> list[Delivery]:
    """The attempts that came of a message.

    A notification that another notifier is at is passed over when the message is new: that one's
    own message is out there. Raises BeingDeliveredError on a later delivery, when the other one may
    be dead, MalformedEventError, and StoreError.
    """
    made = []
    busy: BeingDeliveredError | None = None
    for ref in parse_notice(body, bucket=bucket):
        try:
            delivery = notifier.notify(ref)
        except BeingDeliveredError as error:
            busy = error
            continue
        if delivery is not None:
            made.append(delivery)
            told(ref.tenant, ref.job_id, delivery)
    if busy is not None and receives > 1:
        raise busy
    return made
