"""The chart in Helm's own hands: what it makes of a table of values, and what it refuses."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.load import describe_settings
from config.names import SettingName
from config.settings import Settings
from tests.helm.engine import CHART, NAMESPACE, RELEASE, VALUES, Helm, Object, Refused, find, read_values, values_files
from tests.helm.pod import container, mount_secrets, settings_of, volume

README = CHART / "README.md"
LABEL = {"app.kubernetes.io/name": "gitlab-workspaces-proxy"}
DOCUMENTED = """\
ingress.enabled=true
ingress.hosts[0].host=workspaces.example.dev
ingress.hosts[0].paths[0].path=/
ingress.hosts[0].paths[0].pathType=ImplementationSpecific
ingress.hosts[1].host=*.workspaces.example.dev
ingress.hosts[1].paths[0].path=/
ingress.hosts[1].paths[0].pathType=ImplementationSpecific
ingress.tls[0].hosts[0]=workspaces.example.dev
ingress.tls[0].secretName=gitlab-workspace-proxy-tls
ingress.tls[1].hosts[0]=*.workspaces.example.dev
ingress.tls[1].secretName=gitlab-workspace-proxy-wildcard-tls
ingress.className=nginx"""  # docs.gitlab.com/user/workspace/set_up_gitlab_agent_and_proxies, one --set a line


def key_text() -> str:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()


HOST_KEY = key_text()
SECRETS = {
    "gitlab-workspaces-proxy-config": {
        "auth.host": "https://gitlab.example.com",
        "auth.client_id": "an-application",
        "auth.client_secret": "a-client-secret",
        "auth.redirect_uri": "https://workspaces.example.dev/auth/callback",
        "auth.signing_key": "a-signing-key-of-some-length",
        "ssh.host_key": HOST_KEY.rstrip(),  # as --from-literal="$(cat …)" leaves it
        "ssh.port": "30022",  # seen in the wild, and to be ignored
    },
    "redis": {"password": "a-redis-password"},
}


def values(name: str) -> Object:
    return read_values(VALUES / f"{name}.yaml")


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """What Secrets and ConfigMaps other than the chart's put below /etc."""
    for name in ("host-keys/ssh_host_ed25519_key", "host-keys/ssh_host_rsa_key"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(HOST_KEY)
    for name in ("ca/ca.crt", "ca/company.pem"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


def settings(helm: Helm, given: Object, mounted: Path) -> Settings:
    return settings_of(helm.template(given), SECRETS, mounted)


@pytest.mark.parametrize("file", values_files(), ids=lambda file: file.stem)
def test_every_row_of_the_table_is_linted_and_rendered(helm: Helm, file: Path) -> None:
    """By lint --strict, and with one object of each name."""
    objects = helm.template(read_values(file))

    assert helm.lint(read_values(file)) == []
    names = [(made["kind"], made["metadata"].get("namespace"), made["metadata"]["name"]) for made in objects]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", name) for _, _, name in names)


@pytest.mark.parametrize("file", values_files(), ids=lambda file: file.stem)
def test_every_row_gives_settings_that_the_gateway_takes(helm: Helm, file: Path, mounted: Path) -> None:
    """No unknown key, no value it does not understand, and the ports that the Services lead to."""
    objects = helm.template(read_values(file))
    result = settings(helm, read_values(file), mounted)

    ports = {port["name"]: port["containerPort"] for port in container(objects)["ports"]}
    assert ports == {"http": result.http.port, "ssh": result.ssh.port, "admin": result.admin.port}
    grace = find(objects, "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    drain = result.drain.delay + max(result.http.drain_grace, result.ssh.drain_grace) + result.drain.spread
    assert grace > drain
    assert result.drain.delay > 0


@pytest.mark.parametrize("file", values_files(), ids=lambda file: file.stem)
def test_workspaces_let_the_pods_in_whatever_the_names_are(helm: Helm, file: Path) -> None:
    """Everything that selects pods selects these, by labels that no value replaces."""
    objects = helm.template({**read_values(file), "labels": {"app.kubernetes.io/name": "mine", "team": "a"}})
    deployment = find(objects, "Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"]

    assert labels.items() >= LABEL.items()
    assert labels["team"] == "a"
    selectors = [deployment["selector"]["matchLabels"]]
    selectors += [made["spec"]["selector"] for made in objects if made["kind"] == "Service"]
    selectors += [made["spec"]["selector"]["matchLabels"] for made in objects if made["kind"] == "PodDisruptionBudget"]
    selectors += [made["spec"]["podSelector"]["matchLabels"] for made in objects if made["kind"] == "NetworkPolicy"]
    assert all(selector == LABEL | {"app.kubernetes.io/instance": RELEASE} for selector in selectors)


@pytest.mark.parametrize("file", values_files(), ids=lambda file: file.stem)
def test_no_secret_is_in_any_object(helm: Helm, file: Path) -> None:
    """They come by reference as files, and nothing of the kind is an argument or a variable."""
    objects = helm.template(read_values(file))
    secret = re.compile("secret|signing|host-key|password")

    arguments = [argument for argument in container(objects)["args"] if not argument.startswith("--secrets-dir=/")]
    assert not [argument for argument in arguments if secret.search(argument)]
    assert not [made for made in objects if made["kind"] == "Secret"]
    assert not [each for each in container(objects).get("env", ()) if secret.search(each["name"].lower())]


def test_the_documented_line_upgrades_in_place(helm: Helm) -> None:
    """The names of GitLab's objects stay, and so does the Deployment's selector, which cannot be changed."""
    given = helm.parse_set(",".join(DOCUMENTED.splitlines()))
    objects = helm.template(given)

    assert given == values("documented")
    assert find(objects, "Deployment")["metadata"]["name"] == "gitlab-workspaces-proxy"
    selector = find(objects, "Deployment")["spec"]["selector"]["matchLabels"]
    assert selector == LABEL | {"app.kubernetes.io/instance": "gitlab-workspaces-proxy"}
    http, ssh = find(objects, "Service", RELEASE)["spec"], find(objects, "Service", f"{RELEASE}-ssh")["spec"]
    assert (http["type"], http["ports"][0]["port"]) == ("ClusterIP", 80)
    assert (ssh["type"], ssh["ports"][0]["port"]) == ("LoadBalancer", 22)
    rules = find(objects, "Ingress")["spec"]["rules"]
    assert [rule["host"] for rule in rules] == ["workspaces.example.dev", "*.workspaces.example.dev"]
    backend = rules[1]["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": RELEASE, "port": {"number": 80}}


@pytest.mark.parametrize(
    ("release", "given", "name"),
    [
        ("gitlab-workspaces-proxy", {}, "gitlab-workspaces-proxy"),
        ("mine", {}, "mine-gitlab-workspaces-proxy"),
        ("my-gitlab-workspaces-proxy-2", {}, "my-gitlab-workspaces-proxy-2"),
        ("mine", {"nameOverride": "proxy"}, "mine-proxy"),
        ("mine", {"fullnameOverride": "proxy"}, "proxy"),
        ("a" * 53, {}, "a" * 53 + "-gitlab-wo"),
    ],
)
def test_names_follow_the_release(helm: Helm, release: str, given: Object, name: str) -> None:
    """By the rule of charts in general; the Services' suffixes fit into a Service's name."""
    objects = helm.template(given, name=release)

    assert find(objects, "Deployment")["metadata"]["name"] == name
    services = {made["metadata"]["name"] for made in objects if made["kind"] == "Service"}
    assert services == {name, f"{name[:59]}-ssh", f"{name[:57].removesuffix('-')}-admin"}


def rights(objects: list[Object]) -> Iterator[tuple[str, str | None, dict[str, set[str]]]]:
    for made in objects:
        if made["kind"] in ("Role", "ClusterRole"):
            granted = {rule["resources"][0]: set(rule["verbs"]) for rule in made["rules"]}
            yield made["kind"], made["metadata"].get("namespace"), granted


def test_rights_are_cluster_wide_by_default(helm: Helm) -> None:
    """To read Services and EndpointSlices, and to write what owners say about their ports."""
    objects = helm.template({})

    follow = {"list", "watch"}
    granted = {"services": follow | {"get", "patch"}, "endpointslices": follow}
    assert list(rights(objects)) == [("ClusterRole", None, granted)]
    binding = find(objects, "ClusterRoleBinding")
    assert binding["roleRef"]["name"] == find(objects, "ClusterRole")["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": RELEASE, "namespace": NAMESPACE}]


def test_watched_namespaces_are_the_only_ones_with_rights(helm: Helm, mounted: Path) -> None:
    """One Role and one binding in each, each of the two further rights left out as said, and the gateway knows."""
    objects = helm.template(values("namespaced"))

    read = {"services": {"get", "list", "watch"}}
    assert list(rights(objects)) == [("Role", "team-a", read), ("Role", "team-b", read)]
    bindings = [made for made in objects if made["kind"] == "RoleBinding"]
    assert [binding["metadata"]["namespace"] for binding in bindings] == ["team-a", "team-b"]
    assert all(binding["subjects"][0]["namespace"] == NAMESPACE for binding in bindings)
    assert settings(helm, values("namespaced"), mounted).watch_namespaces == ("team-a", "team-b")


def test_without_rbac_there_is_no_role_and_the_notes_say_what_is_needed(helm: Helm) -> None:
    """For the account that is there already."""
    objects = helm.template(values("rights-elsewhere"))

    assert not [made for made in objects if "Role" in made["kind"] or made["kind"] == "ServiceAccount"]
    assert find(objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "workspaces-reader"
    assert "workspaces-reader needs get, list and watch on services" in helm.notes(values("rights-elsewhere"))


def test_the_container_has_no_privileges(helm: Helm) -> None:
    """Not root, nothing to gain, nothing to write to but /tmp, and no port that takes a privilege."""
    objects = helm.template({})
    pod = find(objects, "Deployment")["spec"]["template"]["spec"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "sysctls" not in pod["securityContext"]
    assert container(objects)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all(port["containerPort"] >= 1024 for port in container(objects)["ports"])
    writable = [mount["mountPath"] for mount in container(objects)["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["/tmp"]  # noqa: S108  # the name of a mount
    assert pod["enableServiceLinks"] is False


def test_a_privileged_port_is_opened_by_a_sysctl(helm: Helm) -> None:
    """As with the values of GitLab's chart, whose SSH port is 22."""
    pod = find(helm.template(values("original")), "Deployment")["spec"]["template"]["spec"]

    assert pod["securityContext"]["sysctls"] == [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]
    assert pod["securityContext"]["runAsNonRoot"] is True


def test_probes_ask_the_admin_port(helm: Helm) -> None:
    """Alive and ready are two questions."""
    made = container(helm.template({}))

    assert made["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "admin"}
    assert made["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "admin"}
    assert made["startupProbe"]["httpGet"] == {"path": "/healthz", "port": "admin"}


def test_the_ingress_keeps_web_sockets_and_streams(helm: Helm) -> None:
    """Unless an operator says otherwise, one by one or all at once."""
    plain = find(helm.template(values("documented")), "Ingress")["metadata"]["annotations"]
    own = find(helm.template(values("everything")), "Ingress")["metadata"]["annotations"]
    off = values("documented")
    off["ingress"]["streamingAnnotations"] = False

    assert plain["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"
    assert int(plain["nginx.ingress.kubernetes.io/proxy-read-timeout"]) >= 3600
    assert own["nginx.ingress.kubernetes.io/proxy-read-timeout"] == "7200"
    assert own["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"
    assert "annotations" not in find(helm.template(off), "Ingress")["metadata"]


def test_values_become_settings(helm: Helm, mounted: Path) -> None:
    """Those of the chart go over those of `settings`, which go through as they are."""
    result = settings(helm, values("everything"), mounted)

    assert result.visibility.max == "internal"
    assert result.visibility.rules[0].namespace == "gl-rd-ns-*"
    assert (result.http.port, result.http.connect_timeout) == (9876, 2)
    assert [str(network) for network in result.http.trusted_proxies] == ["10.42.0.0/16"]
    assert [str(network) for network in result.ssh.proxy_protocol] == ["10.0.0.0/8"]
    assert (result.ssh.public_host, result.ssh.public_port) == ("ssh.workspaces.example.dev", 4222)
    assert [path.name for path in result.ssh.host_key_files] == ["ssh_host_ed25519_key", "ssh_host_rsa_key"]
    assert result.auth.ca_file == mounted / "ca" / "ca.crt"
    assert (result.log_level, result.metrics_path) == ("debug", "/probe")


def test_several_replicas_share_a_redis_and_keep_apart(helm: Helm, mounted: Path) -> None:
    """Its password is of the Secret that was named, and the number of replicas the autoscaler's."""
    objects = helm.template(values("several"))
    result = settings(helm, values("several"), mounted)

    assert result.sessions.store == "rediss://redis.example:6379/0"
    assert result.sessions.password.get_secret_value() == "a-redis-password"
    assert "replicas" not in find(objects, "Deployment")["spec"]
    assert find(objects, "HorizontalPodAutoscaler")["apiVersion"] == "autoscaling/v2"
    spread = find(objects, "Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert spread[0]["labelSelector"]["matchLabels"].items() >= LABEL.items()
    monitor = find(objects, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    assert find(objects, "Service", f"{RELEASE}-admin")["metadata"]["labels"].items() >= monitor.items()


def test_a_missing_secret_is_for_the_gateway_to_explain(helm: Helm, tmp_path: Path) -> None:
    """All of its keys are optional to the kubelet; the gateway says everything that is missing at once."""
    mount_secrets(helm.template({}), {}, tmp_path / "secrets")

    assert list((tmp_path / "secrets").iterdir()) == []


def test_the_routes_lead_to_the_services(helm: Helm) -> None:
    """Of the Gateway API: HTTP without a time limit, SSH as TCP."""
    objects = helm.template(values("everything"))
    rule = find(objects, "HTTPRoute")["spec"]["rules"][0]

    assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}
    http = rule["backendRefs"][0]
    ssh = find(objects, "TCPRoute")["spec"]["rules"][0]["backendRefs"][0]
    for leads_to in (http, ssh):
        assert find(objects, "Service", leads_to["name"])["spec"]["ports"][0]["port"] == leads_to["port"]


def test_the_network_policy_hides_the_admin_port(helm: Helm) -> None:
    """From everybody who is not named, while the doors are open to everybody."""
    policy = find(helm.template({"networkPolicy": {"enabled": True}}), "NetworkPolicy")["spec"]

    assert policy["policyTypes"] == ["Ingress"]
    assert policy["ingress"] == [
        {"ports": [{"port": "http", "protocol": "TCP"}]},
        {"ports": [{"port": "ssh", "protocol": "TCP"}]},
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"replicaCount": "two"}, "replicaCount"),
        ({"replicas": 2}, "replicas"),
        ({"sshPort": 70000}, "sshPort"),
        ({"service": {"type": "Loadbalancer"}}, "service"),
        ({"image": {"repository": ""}}, "repository"),
        ({"watchNamespaces": ["Team_A"]}, "watchNamespaces"),
        ({"watchNamespaces": "team-a"}, "watchNamespaces"),
        ({"ingress": {"hosts": ["workspaces.example.dev"]}}, "ingress"),
        ({"ingress": {"hosts": [{"host": "https://workspaces.example.dev"}]}}, "host"),
        ({"rbac": {"enable": False}}, "rbac"),
        ({"auth": {"client_secret": "s"}}, "auth"),
        ({"settings": {"auth": {"client_secret": "s"}}}, "client_secret"),
        ({"settings": {"ssh": {"host_key": "s"}}}, "host_key"),
        ({"redis": {"url": "redis://user:password@redis.example"}}, "url"),
        ({"trustedProxies": ["my-ingress"]}, "trustedProxies"),
        ({"extraArgs": [{"log-level": "debug"}]}, "extraArgs"),
        ({"labels": {"team": 5}}, "labels"),
        ({"configSecretName": ""}, "configSecretName"),
    ],
)
def test_the_schema_refuses(helm: Helm, given: dict[str, Any], said: str) -> None:
    """And names the value."""
    with pytest.raises(Refused, match=said):
        helm.template(given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"replicaCount": 2}, "set redis.url"),
        ({"autoscaling": {"enabled": True}}, "set redis.url"),
        ({"extraArgs": ["auth-client-secret=s"]}, "--auth-client-secret is a secret"),
        ({"extraArgs": ["-ssh_host_key=s"]}, "--ssh-host-key is a secret"),
        ({"extraCA": {"configMapName": "a", "secretName": "b"}}, "not both"),
        ({"sshHostKeys": {"secretName": "a"}}, "sshHostKeys.keys"),
        ({"ingress": {"enabled": True}}, "ingress.hosts"),
        ({"gatewayApi": {"http": {"enabled": True}}}, "gatewayApi.http.parentRefs"),
        ({"gatewayApi": {"ssh": {"enabled": True}}}, "gatewayApi.ssh.parentRefs"),
    ],
)
def test_what_would_not_work_is_refused_with_what_to_do(helm: Helm, given: Object, said: str) -> None:
    """Before anything is installed."""
    with pytest.raises(Refused, match=said):
        helm.template(given)


def test_a_refused_secret_is_not_quoted(helm: Helm) -> None:
    """What was written on it stays where it was written."""
    with pytest.raises(Refused) as refused:
        helm.template({"extraArgs": ["auth-client-secret=a-secret-in-the-wrong-place"]})

    assert "a-secret-in-the-wrong-place" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("default", "Neither ingress.enabled nor gatewayApi.http.enabled is set"),
        ("documented", "*.workspaces.example.dev lead to the ingress"),
        ("everything", "exec deploy/gitlab-workspaces-proxy-gateway -- python3 -m gateway check"),
        ("several", "get secret gitlab-workspaces-proxy-config"),
    ],
)
def test_the_notes_say_what_to_do_next(helm: Helm, given: str, said: str) -> None:
    """With the names of this release."""
    assert said in helm.notes(values(given))


def test_the_readmes_values_are_taken(helm: Helm, mounted: Path) -> None:
    """As they stand there."""
    blocks = re.findall(r"^   ```yaml\n(   # values.yaml\n.*?)^   ```$", README.read_text(), re.MULTILINE | re.DOTALL)
    given = yaml.safe_load(blocks[0])

    result = settings(helm, given, mounted)

    assert result.routing.zones == ("workspaces.example.dev",)
    assert result.ssh.public_host == "ssh.workspaces.example.dev"
    assert find(helm.template(given), "Ingress")["spec"]["tls"][0]["secretName"] == "workspaces-tls"


SECRET_SETTINGS = [name for name in describe_settings() if name.is_secret]


@pytest.mark.parametrize("name", SECRET_SETTINGS, ids=lambda name: name.path)
def test_every_secret_setting_comes_from_a_secret_and_from_nowhere_else(helm: Helm, name: SettingName) -> None:
    """Whatever secret the gateway learns to take, the chart has to learn too."""
    sources = volume(helm.template({}), "secrets")["projected"]["sources"]
    items = [item for source in sources for item in source["secret"]["items"]]
    group, _, key = name.path.partition(".")

    assert [item["key"] for item in items if item["path"] == name.path] == [name.path]
    with pytest.raises(Refused, match=f"{name.flag} is a secret"):
        helm.template({"extraArgs": [f"{name.flag}=s"]})
    with pytest.raises(Refused, match=key):
        helm.template({"settings": {group: {key: "s"}}})
