"""Every input that a stranger or an operator writes, by the name of its target: `targets` says what must hold of it."""

from collections.abc import Callable
from types import MappingProxyType

from tests.fuzz.targets import (
    annotations,
    answers,
    cookies,
    heads,
    hosts,
    proxy_headers,
    seals,
    settings_texts,
    ssh_packets,
    templates,
    traces,
)

TARGETS: MappingProxyType[str, Callable[[bytes], None]] = MappingProxyType(
    {
        module.__name__.rpartition(".")[2]: module.check
        for module in (
            annotations,
            answers,
            cookies,
            heads,
            hosts,
            proxy_headers,
            seals,
            settings_texts,
            ssh_packets,
            templates,
            traces,
        )
    }
)
