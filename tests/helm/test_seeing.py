"""The alert rules and the dashboard that the chart ships: they parse, they fire, and they ask for what there is.

Prometheus' own promtool plays each alert: on series that are well but for what the alert is about, that alert fires and
no other one does.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.load import describe_settings
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.vocabulary import EVENTS
from tests.helm.engine import CHART, VALUES, Helm, find, read_values
from tests.promtool import promtool

ALERTS = CHART / "alerts.yaml"
DASHBOARD = CHART / "dashboard.json"
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
OWN = re.compile(r"\b(?:workspaces_gateway|process)_\w+")
OF = '{job="gateway",instance="a"'
MINUTES = 40  # the longest alert looks back a quarter of an hour, for a quarter of an hour
DAY = 24 * 3600

# What each series does in a minute while all is well, as promtool writes it: the first value and the step.
WELL = {
    f"build_info{OF}}}": "1+0",
    f"ready{OF}}}": "1+0",
    f"worker_deaths_total{OF}}}": "0+0",
    f"http_crashes_total{OF}}}": "0+0",
    f'gitlab_calls_total{OF},endpoint="user",result="ok"}}': "0+600",
    f'gitlab_calls_total{OF},endpoint="user",result="failed"}}': "0+30",
    f'gitlab_calls_total{OF},endpoint="user",result="spared"}}': "0+0",
    f'gitlab_calls_total{OF},endpoint="user",result="limited"}}': "0+0",
    f'gitlab_call_seconds_bucket{OF},endpoint="user",le="1"}}': "0+600",
    f'gitlab_call_seconds_bucket{OF},endpoint="user",le="10"}}': "0+630",
    f'gitlab_call_seconds_bucket{OF},endpoint="user",le="+Inf"}}': "0+630",
    f'sign_ins_total{OF},result="ok"}}': "0+20",
    f'sign_ins_total{OF},result="failed"}}': "0+2",
    f'http_requests_total{OF},to="portal",status="200"}}': "0+300",
    f'http_requests_total{OF},to="portal",status="503"}}': "0+3",
    f'http_requests_total{OF},to="workspace",status="502"}}': "0+9000",
    f'session_store_up{OF},store="redis"}}': "1+0",
    f"watch_age_seconds{OF}}}": "30+0",
    f"route_contested{OF}}}": "0+0",
    f'http_upstream_failures_total{OF},reason="refused"}}': "0+600",
    f'http_upstream_failures_total{OF},reason="timeout"}}': "0+3",
    f'http_turned_away_total{OF},code="too_many_connections"}}': "7+0",
    f"descriptors_used_ratio{OF}}}": "0.3+0",
    f'loop_lag_seconds_bucket{OF},le="0.05"}}': "0+240",
    f'loop_lag_seconds_bucket{OF},le="0.25"}}': "0+240",
    f'loop_lag_seconds_bucket{OF},le="+Inf"}}': "0+240",
    f'ssh_auth_attempts_total{OF},method="password",result="granted"}}': "0+100",
    f'ssh_auth_attempts_total{OF},method="publickey",result="unknown_key"}}': "0+300",
    f'ssh_auth_attempts_total{OF},method="password",result="token_refused"}}': "0+10",
    f"ssh_bans_total{OF}}}": "0+0.2",
    f"ssh_startups_dropped_total{OF}}}": "5+0",
    f'certificate_expiry_timestamp_seconds{OF},certificate="tls"}}': f"{60 * DAY}+0",
    f"config_last_reload_successful{OF}}}": "1+0",
    f'log_lines_dropped_total{OF},reason="full"}}': "0+0",
}

# What is not well, for each alert (a word more tells cases of one apart); None where the series is missing.
ILL: dict[str, dict[str, str | None]] = {
    "Absent": dict.fromkeys(WELL),
    "Down": {f"ready{OF}}}": "0+0"},
    "NotReady": {'ready{job="gateway",instance="b"}': "0+0"},
    "WorkersDie": {f"worker_deaths_total{OF}}}": "0+1"},
    "Fault": {f"http_crashes_total{OF}}}": "0+0.1"},
    "Fault of SSH": {f'ssh_connection_attempts_total{OF},result="refused",error_type="INTERNAL"}}': "0+0.1"},
    "GitLabFails": {f'gitlab_calls_total{OF},endpoint="user",result="spared"}}': "0+300"},
    "GitLabLimits": {f'gitlab_calls_total{OF},endpoint="user",result="limited"}}': "0+1"},
    "GitLabSlow": {f'gitlab_call_seconds_bucket{OF},endpoint="user",le="1"}}': "0+100"},
    "SignInsFail": {f'sign_ins_total{OF},result="failed"}}': "0+40"},
    "PortalFails": {f'http_requests_total{OF},to="portal",status="503"}}': "0+200"},
    "SessionStoreAway": {f'session_store_up{OF},store="redis"}}': "0+0"},
    "RoutesStale": {f"watch_age_seconds{OF}}}": "0+60"},
    "RoutesContested": {f"route_contested{OF}}}": "1+0"},
    "WorkspacesUnreachable": {f'http_upstream_failures_total{OF},reason="timeout"}}': "0+60"},
    "WorkspacesUnreachable by SSH": {f'ssh_pod_dial_failures_total{OF},reason="unreachable"}}': "0+30"},
    "Full": {f'http_turned_away_total{OF},code="too_many_connections"}}': "0+1"},
    "DescriptorsShort": {f"descriptors_used_ratio{OF}}}": "0.9+0"},
    "LoopLate": {f'loop_lag_seconds_bucket{OF},le="0.05"}}': "0+200"},
    "SshRefusals": {f'ssh_auth_attempts_total{OF},method="password",result="token_refused"}}': "0+120"},
    "SshBans": {f"ssh_bans_total{OF}}}": "0+2"},
    "SshCrowded": {f"ssh_startups_dropped_total{OF}}}": "0+1"},
    "CertificateEnds": {f'certificate_expiry_timestamp_seconds{OF},certificate="tls"}}': f"{7 * DAY}+0"},
    "ConfigurationRefused": {f"config_last_reload_successful{OF}}}": "0+0"},
    "LogLost": {f'log_lines_dropped_total{OF},reason="full"}}': "0+1"},
}
# Both say that nobody is ready, and one gateway alone cannot be less than all of them.
ALSO = {"Down": {"NotReady"}}


def play(folder: Path, series: dict[str, str | None], firing: Iterable[str]) -> tuple[int, str]:
    """What promtool says of these alerts, and no others, firing in the end."""
    names = [f"WorkspacesGateway{name}" for name in firing]
    told = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": f"workspaces_gateway_{name}", "values": f"{value}x{MINUTES}"}
                    for name, value in series.items()
                    if value is not None
                ],
                "promql_expr_test": [
                    {
                        "expr": 'group by (alertname) (ALERTS{alertstate="firing"})',
                        "eval_time": f"{MINUTES}m",
                        "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in names],
                    }
                ],
            }
        ],
    }
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump(told))
    return promtool("test", "rules", file)


def test_the_rules_are_rules() -> None:
    """To Prometheus, of a version that Debian ships."""
    status, said = promtool("check", "rules", ALERTS)

    assert status == 0, said
    assert f"SUCCESS: {len(RULES)} rules found" in said


def test_nothing_fires_while_all_is_well(tmp_path: Path) -> None:
    """With traffic, a few failures, and what happened long ago."""
    status, said = play(tmp_path, dict(WELL), [])

    assert status == 0, said


@pytest.mark.parametrize("name", ILL)
def test_an_alert_fires_on_what_it_is_about_and_no_other_does(tmp_path: Path, name: str) -> None:
    """Everything else is well."""
    alert, *_ = name.split()
    status, said = play(tmp_path, {**WELL, **ILL[name]}, {alert} | ALSO.get(alert, set()))

    assert status == 0, said


def test_a_play_that_ends_otherwise_is_noticed(tmp_path: Path) -> None:
    """Or all of the above would say nothing."""
    status, said = play(tmp_path, {**WELL, **ILL["SshBans"]}, [])

    assert status != 0
    assert "WorkspacesGatewaySshBans" in said


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_is_played_and_says_what_to_do(rule: dict[str, Any]) -> None:
    """To somebody who was woken by it."""
    assert rule["alert"].removeprefix("WorkspacesGateway") in ILL
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"]
    assert len(rule["annotations"]["runbook"].split()) >= 10


def test_what_a_runbook_names_exists() -> None:
    """Events of the log, settings and values of the chart: who looks for them at night should find them."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    known = {
        *EVENTS,
        *(name.path for name in describe_settings()),
        *(f"{group}.{key}" for group, told in values.items() if isinstance(told, dict) for key in told),
    }
    runbooks = " ".join(rule["annotations"]["runbook"] for rule in RULES)
    named = re.findall(r"(?<![\w.])[a-zA-Z_]+\.(?:[a-zA-Z_]*\*|[a-zA-Z_]+\b)(?!\.\w)", runbooks)

    assert len(named) > 20
    for name in named:
        group = name.removesuffix("*")
        assert name in known or (group != name and any(one.startswith(group) for one in known)), name


def questions() -> dict[str, str]:
    """Everything that the dashboard and the alerts ask Prometheus, by who asks."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = {rule["alert"]: rule["expr"] for rule in RULES}
    asked |= {
        f"{panel['title']} {target['refId']}": target["expr"] for panel in panels for target in panel.get("targets", ())
    }
    return asked


def test_what_is_asked_for_exists() -> None:
    """By its name, its suffix and its labels, so that no panel stays empty and no alert sleeps for ever."""
    labels: dict[str, set[str]] = {}
    for metric in Metrics().catalogue.described:
        suffixes = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        labels |= {f"{metric.name}{suffix}": set(metric.labels) for suffix in suffixes}
    given = {"job", "instance", "le"}  # by Prometheus, and of buckets

    asked = questions()
    assert len(asked) > len(RULES) + 40
    for who, question in asked.items():
        names = OWN.findall(question)
        assert names, who
        assert set(names) <= labels.keys(), who
        for name, matchers in re.findall(rf"({OWN.pattern})\{{([^}}]*)\}}", question):
            assert set(re.findall(r"(\w+)\s*[=!]~?", matchers)) <= labels[name] | given, who
        grouped = {label for group in re.findall(r"by \(([^)]*)\)", question) for label in group.split(", ")}
        assert grouped <= set().union(*(labels[name] for name in names)) | given, who


def test_the_dashboard_asks_in_promql(tmp_path: Path) -> None:
    """Each of its questions is one that Prometheus takes."""
    asked = [re.sub(r"\$\w+", "5m", question) for question in questions().values()]
    rules = [{"record": f"asked:{number}", "expr": question} for number, question in enumerate(asked)]
    file = tmp_path / "asked.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
    status, said = promtool("check", "rules", file)

    assert status == 0, said


def test_the_dashboards_panels_lie_beside_each_other() -> None:
    """In Grafana's 24 columns, each with an id of its own."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    cells = [
        (column, line)
        for panel in panels
        for place in [panel["gridPos"]]
        for column in range(place["x"], place["x"] + place["w"])
        for line in range(place["y"], place["y"] + place["h"])
    ]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(cells)) == len(cells)
    assert max(column for column, _ in cells) == 23


def test_the_chart_ships_both_when_asked_to(helm: Helm) -> None:
    """As they are, where the operator of Prometheus and the sidecar of Grafana find them."""
    objects = helm.template(read_values(VALUES / "several.yaml"))
    rule, config = find(objects, "PrometheusRule"), find(objects, "ConfigMap", "gitlab-workspaces-proxy-dashboard")

    assert rule["spec"] == yaml.safe_load(ALERTS.read_text())
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert json.loads(config["data"]["workspaces-gateway.json"]) == json.loads(DASHBOARD.read_text())
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert config["metadata"]["annotations"] == {"grafana_folder": "GitLab"}


def test_the_chart_ships_neither_unasked(helm: Helm) -> None:
    """A cluster without the operator would refuse the rules."""
    kinds = [made["kind"] for made in helm.template({})]

    assert "PrometheusRule" not in kinds
    assert "dashboard" not in json.dumps(helm.template({}))
