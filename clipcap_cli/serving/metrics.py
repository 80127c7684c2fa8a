"""What a server counts, for Prometheus: in a registry of its own, so that several servers of one process do not mix."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from clipcap_cli._version import __version__

_NAMESPACE = "clipcap"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_PICTURES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The counters of one server; docs/serving.md lists them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = self._counter("requests", "Requests that were answered.", "route", "method", "status")
        self.request_seconds = self._histogram("request_seconds", "From a request's headers to its answer.", _SECONDS, "route")
        self.pictures = self._counter("pictures", "Pictures that came in, by what became of them.", "outcome")
        self.queued = self._gauge("queue_pictures", "Pictures that were taken and have no caption yet.")
        self.uploads = self._gauge("uploads", "Requests that are being received.")
        self.received = self._counter("received_bytes", "Bytes of bodies that were received.")
        self.batches = self._histogram("batch_pictures", "Pictures that were captioned together.", _PICTURES)
        self.stages = self._histogram("stage_seconds", "Decoding of a picture; encoding and writing of a batch.", _SECONDS, "stage")
        self.ready = self._gauge("ready", "1 while requests are taken.")
        self.models = self._gauge("model", "1 for each model that is served.", "model", "encoder", "language_model")
        self._gauge("version", "1, with the version of clipcap.", "version").labels(__version__).set(1)

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, labels, namespace=_NAMESPACE, registry=self.registry)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(name, about, labels, namespace=_NAMESPACE, registry=self.registry)

    def _histogram(self, name: str, about: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, about, labels, namespace=_NAMESPACE, buckets=buckets, registry=self.registry)
