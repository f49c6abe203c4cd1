import itertools

from hypothesis import given
from hypothesis import strategies as st

from whisperdrop_notifier.sharing import FairShare


class Stopwatch:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def a_share(watch: Stopwatch | None = None) -> FairShare:
    return FairShare(per_tenant=4, per_host=2, monotonic=watch or Stopwatch())


def test_a_host_has_so_much_room_and_no_more() -> None:
    share = a_share()
    assert [share.enter("acme", "slow") for _ in range(2)] == [None, None]
    assert share.enter("acme", "slow") is not None
    assert share.enter("acme", "quick") is None, "another host has room"
    share.leave("acme", "slow", 1.0)
    assert share.enter("acme", "slow") is None


def test_a_tenant_has_so_much_room_and_no_more() -> None:
    share = a_share()
    assert [share.enter("acme", f"host-{n}") for n in range(4)] == [None] * 4
    assert share.enter("acme", "host-4") is not None
    assert share.enter("umbrella", "host-0") is None, "another tenant has room, at the same host"


def test_who_is_turned_away_takes_no_room() -> None:
    share = a_share()
    for _ in range(2):
        share.enter("acme", "slow")
    for _ in range(20):
        share.enter("acme", "slow")
    assert [share.enter("acme", "quick") for _ in range(2)] == [None, None]


def test_each_further_one_stays_away_longer_by_what_a_delivery_takes() -> None:
    watch = Stopwatch()
    share = a_share(watch)
    for _ in range(30):  # the host is known to take ten seconds
        share.enter("acme", "slow")
        share.leave("acme", "slow", 10.0)
    for _ in range(2):
        share.enter("acme", "slow")
    waits = [share.enter("acme", "slow") or 0.0 for _ in range(200)]
    steps = [after - before for before, after in itertools.pairwise(waits)]
    assert waits == sorted(waits)
    assert all(4.9 < step < 5.1 for step in steps[:50]), "two at a time, ten seconds each"
    assert max(waits) == 300, "none is sent away for ever"
    watch.now = 10_000
    assert (share.enter("acme", "slow") or 0.0) < 6, "and what is long past is forgotten"


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.booleans())))
def test_no_limit_is_ever_broken(steps: list[tuple[str, str, bool]]) -> None:
    share = a_share()
    inside: list[tuple[str, str]] = []
    for tenant, host, enters in steps:
        if not enters and (tenant, host) in inside:
            share.leave(tenant, host, 1.0)
            inside.remove((tenant, host))
        elif enters and share.enter(tenant, host) is None:
            inside.append((tenant, host))
        assert all(inside.count(pair) <= 2 for pair in inside)
        assert all(sum(t == name for t, _ in inside) <= 4 for name in "ab")
