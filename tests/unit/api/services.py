"""The API's services over a bucket in memory, for tests that bring settings of their own."""

from typing import Any

from tests.unit.api.test_job_routes import NoPresigner
from whisperdrop.adapters.memory import MemoryJobQueue
from whisperdrop.ports import Clock, ObjectStore
from whisperdrop.service.api_keys import ApiKeys
from whisperdrop.service.fleet import Fleet
from whisperdrop.service.jobs import JobService
from whisperdrop_api.composition import Services
from whisperdrop_api.settings import ApiSettings


def services_over(
    store: ObjectStore, clock: Clock, queue: MemoryJobQueue | None = None, **settings: Any
) -> Services:
    """As the composition root builds them."""
    made = ApiSettings.model_validate(
        {"bucket": "media", "interactive_queue_url": "none", "bulk_queue_url": "none"} | settings
    )
    return Services(
        settings=made,
        catalog=made.catalog,
        store=store,
        jobs=JobService(
            store,
            NoPresigner(),
            MemoryJobQueue(clock) if queue is None else queue,
            clock=clock,
            upload_expires_s=900,
        ),
        api_keys=ApiKeys(store, environment_key="operator", clock=clock),
        fleet=Fleet(store, clock=clock),
    )
