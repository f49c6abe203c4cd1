"""``mend`` and ``erase``: a bucket that was restored, and a tenant that leaves."""

import argparse

from whisperdrop.errors import InvalidValueError
from whisperdrop.service.api_keys import ApiKeys
from whisperdrop.service.clock import utc_now
from whisperdrop.service.mending import erase_tenant, mend
from whisperdrop_dispatcher.admin_output import Answer, Site, Verbs, add


def add_data(verbs: Verbs) -> None:
    """``mend``, ``erase``."""
    add(verbs, "mend", mend_jobs, help="find jobs that a restored bucket lost sight of")
    eraser = add(verbs, "erase", erase, help="revoke a tenant's keys and delete all its data")
    eraser.add_argument("tenant")
    eraser.add_argument("--yes", action="store_true", help="really; there is no way back")


def mend_jobs(site: Site, options: argparse.Namespace) -> Answer:  # noqa: ARG001
    """Mark every job as pending that has neither an end nor a marker; the next sweep does it."""
    looked_at, lost = mend(site.store)
    names = [f"{ref.tenant}/{ref.job_id}" for ref in lost]
    lines = [f"{looked_at} jobs looked at, {len(lost)} marked as pending"]
    return Answer([*lines, *(f"  {name}" for name in names)], {"jobs": looked_at, "lost": names})


def erase(site: Site, options: argparse.Namespace) -> Answer:
    """Revoke a tenant's keys and delete its jobs, media, drops and webhooks. Usage records stay."""
    if not options.yes:
        raise InvalidValueError(
            f"this deletes all data of the tenant {options.tenant!r}; say --yes if you mean it"
        )
    api_keys = ApiKeys(site.store, environment_key=None, clock=utc_now)
    done = erase_tenant(site.store, api_keys, options.tenant, utc_now)
    lines = [
        f"{done.keys_revoked} keys revoked, "
        f"{done.jobs} jobs and {done.objects} other objects deleted"
    ]
    if done.busy:
        lines.append(f"{len(done.busy)} jobs are worked on; run this again in a minute")
    return Answer(
        lines,
        {
            "keys_revoked": done.keys_revoked,
            "jobs": done.jobs,
            "objects": done.objects,
            "busy": done.busy,
        },
        failed=bool(done.busy),
    )
