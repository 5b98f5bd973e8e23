"""Holds whatever tests have logged to the vocabulary of the log."""

import io
import json

from gateway.telemetry.vocabulary import EVENTS, FIELDS


def check_words(log: io.StringIO) -> None:
    """Every line is JSON, and every event and field is one that the vocabulary has."""
    for line in log.getvalue().splitlines():
        told = json.loads(line)
        assert told["event"] in EVENTS, line
        assert told.keys() <= FIELDS.keys(), line
