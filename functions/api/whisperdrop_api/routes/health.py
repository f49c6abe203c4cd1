"""Is the service there, and what have its workers loaded?"""

from fastapi import APIRouter

from whisperdrop import __version__
from whisperdrop_api.dependencies import ServicesDep
from whisperdrop_api.errors import refusals
from whisperdrop_api.schemas import HealthBody

router = APIRouter(tags=["health"])


@router.get("/health", responses=refusals(503, description="Storage is away"))
def health(services: ServicesDep) -> HealthBody:
    """Needs no key and names no machine."""
    workers = [worker for worker in services.fleet.workers() if not worker.draining]
    return HealthBody(
        status="ok",
        version=__version__,
        workers=len(workers),
        jobs=sum(worker.jobs for worker in workers),
        models_loaded=sorted({model for worker in workers for model in worker.models}),
    )
