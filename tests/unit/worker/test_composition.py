"""What building a worker does to its process."""

from threadpoolctl import threadpool_info, threadpool_limits

from whisperdrop_worker.composition import build_engine
from whisperdrop_worker.settings import WorkerSettings


def test_numpy_leaves_the_cores_to_the_calls_into_the_model() -> None:
    nowhere = {"bucket": "none", "interactive_queue_url": "none", "bulk_queue_url": "none"}
    with threadpool_limits(2, user_api="blas"):  # undone at the end
        decoder, engine = build_engine(WorkerSettings.model_validate(nowhere))
        threads = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        engine.close()
        decoder.close()

    assert threads
    assert set(threads) == {1}
