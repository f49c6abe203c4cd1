from tests.builders import a_ref, an_outcome
from tests.clock import NOON, ManualClock
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.service.deletion import delete
from whisperdrop.service.settlement import settle
from whisperdrop.service.usage import UsageOfMonth, usage_of


def test_a_month_is_summed_from_the_keys_of_its_tenant(clock: ManualClock) -> None:
    store = MemoryObjectStore(clock)
    for tenant in ("acme", "acme", "umbrella"):
        settle(store, an_outcome(a_ref(tenant)))
    store.put("usage/acme/2026-03/rubbish.json", b"")
    assert usage_of(store, "acme", "2026-03") == UsageOfMonth("2026-03", 2, 122_500)
    assert usage_of(store, "acme", "2026-04") == UsageOfMonth("2026-04", 0, 0)


def test_what_was_deleted_was_used_all_the_same(clock: ManualClock) -> None:
    store, ref = MemoryObjectStore(clock), a_ref()
    settle(store, an_outcome(ref))
    delete(store, ref, clock)
    assert NOON.month == 3
    assert usage_of(store, "acme", "2026-03").jobs == 1
