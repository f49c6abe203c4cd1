"""Where the metrics of a server process go, by its settings."""

from whisperdrop.observability import metrics
from whisperdrop.observability.catalogue import BY_SERVICE
from whisperdrop.settings import MetricsSettings


def offer_metrics(service: str, settings: MetricsSettings) -> int | None:
    """Keep the metrics of ``service``, and serve and print them as asked for; the port served.

    Raises OSError when the port cannot be had.
    """
    sinks: list[metrics.Sink] = []
    port = None
    if settings.metrics_port is not None:
        # Functions never come here: the import is not theirs to pay for.
        from whisperdrop.observability.prometheus import PrometheusSink  # noqa: PLC0415

        prometheus = PrometheusSink(BY_SERVICE[service])
        port = prometheus.serve(settings.metrics_host, settings.metrics_port)
        sinks.append(prometheus)
    if settings.metrics_emf:
        from whisperdrop.observability.emf import printing_sink  # noqa: PLC0415

        sinks.append(printing_sink(service))
    metrics.use(*sinks)
    return port
