"""The numbers of a gateway or a worker, as Prometheus reads them."""

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


class Numbers:
    """All samples of one page of metrics."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = list(text_string_to_metric_families(text))
        self.samples: list[Sample] = [it for family in self.families for it in family.samples]

    def __call__(self, name: str, **labels: str) -> float | None:
        """The value of the only sample with this name and these labels; None without one."""
        found = [it.value for it in self.samples if it.name == name and _has(it.labels, labels)]
        assert len(found) <= 1, f"{name} has {len(found)} samples with {labels}"
        return found[0] if found else None

    @property
    def names(self) -> set[str]:
        return {sample.name for sample in self.samples}


def _has(actual: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return wanted.items() <= actual.items()
