"""Settings come from a file, the environment and flags; what is wrong is said all at once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from config.load import Fault, SettingsError, load_settings
from config.settings import Settings

Load = Callable[..., Settings]
Faults = Callable[..., list[str]]

OLD_FILE = """\
auth:
  client_id: "0123abc"
  client_secret: client-secret-of-the-test
  host: https://gitlab.example.com
  redirect_uri: https://workspaces.example.dev/auth/callback
  signing_key: signing-key-of-the-test
  protocol: https
http:
  enabled: true
  port: 9876
ssh:
  enabled: true
  port: 2222
  backend_port: 60022
  backend_username: gitlab-workspaces
  host_key: |
{host_key}
metrics_path: /metrics
log_level: info
"""


class TestLayers:
    def test_environment_of_the_original_is_enough(self, load: Load) -> None:
        """What a deployment of GitLab's own proxy sets, sets the gateway up, beside the route file."""
        settings = load()

        assert settings.auth.host == "https://gitlab.example.com"
        assert settings.auth.client_secret.get_secret_value() == "client-secret-of-the-test"
        assert settings.http.port == 9876
        assert settings.ssh.backend_username == "gitlab-workspaces"

    def test_file_of_the_original_loads(self, load_file: Load, host_key: str) -> None:
        """The YAML file of the original's old chart loads, with the text of its host key."""
        indented = "".join(f"    {line}\n" for line in host_key.splitlines())

        settings = load_file(OLD_FILE.format(host_key=indented), "--routing-file", "routes.yaml")

        assert settings.ssh.host_key.get_secret_value() == host_key
        assert settings.ssh.port == 2222

    @pytest.mark.parametrize(
        ("argv", "variables", "expected"),
        [
            ([], {}, 1000),
            ([], {"HTTP_PORT": "2000"}, 2000),
            (["--http-port=3000"], {}, 3000),
            (["--http-port=3000"], {"HTTP_PORT": "2000"}, 3000),
            (["--http-port=3000", "--http-port=4000"], {}, 4000),
            ([], {"HTTP_PORT": ""}, 1000),
            (["--http-port="], {"HTTP_PORT": "2000"}, 2000),
            ([], {"HTTP_PORT": " 2000\n"}, 2000),
        ],
    )
    def test_flag_wins_over_environment_over_file(
        self, load: Load, argv: list[str], variables: dict[str, str], expected: int
    ) -> None:
        """The last source that says something counts, and an empty value says nothing."""
        settings = load(*argv, file="http: {port: 1000}", **variables)

        assert settings.http.port == expected

    def test_value_that_is_overruled_is_not_judged(self, load: Load) -> None:
        """A wrong value in the file does no harm where the environment gives a right one."""
        settings = load(file="routing: {zones: [a_b, c_d]}", ROUTING_ZONES="example.dev")

        assert settings.routing.zones == ("example.dev",)

    def test_environment_of_the_process_is_the_default(self, environ: dict[str, str]) -> None:
        """Without an environment given, the process's own is read."""
        with pytest.MonkeyPatch.context() as patch:
            for name, text in environ.items():
                patch.setenv(name, text)

            settings = load_settings([])

        assert settings.auth.client_id == "0123abc"

    def test_empty_file_sets_nothing(self, load: Load) -> None:
        """A file of comments, empty groups and null values leaves everything to the other sources."""
        assert (
            load(file="# nothing\nhttp:\nssh:\n  port: ~\n  address: ''\nkubeconfig: null\n") == load(file="") == load()
        )

    @pytest.mark.parametrize("text", ["0123", "1e10", "0x1f", "yes", "12:30:45", "2024-01-01", "1_000"])
    def test_file_keeps_texts_as_they_are_written(self, load: Load, text: str) -> None:
        """A text that YAML would take for a number, a date or a boolean stays what was written."""
        settings = load(file=f"auth: {{client_id: {text}}}", AUTH_CLIENT_ID=None)

        assert settings.auth.client_id == text


class TestSwitches:
    @pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
    def test_true_is_what_go_parses_as_true(self, load: Load, text: str) -> None:
        """Every true of Go's ParseBool turns a switch on, as a variable and as a flag."""
        assert load(SSH_ENABLED=text).ssh.enabled
        assert load(f"--ssh-enabled={text}", SSH_ENABLED="false").ssh.enabled

    @pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False"])
    def test_false_is_what_go_parses_as_false(self, load: Load, text: str) -> None:
        """Every false of Go's ParseBool turns a switch off, as a variable and as a flag."""
        assert not load(SSH_ENABLED=text).ssh.enabled
        assert not load(f"--ssh-enabled={text}").ssh.enabled

    @pytest.mark.parametrize("text", ["yes", "off", "2", "tRUE"])
    def test_anything_else_is_a_fault(self, faults: Faults, text: str) -> None:
        """A switch that Go would silently take for its default is a fault."""
        assert faults(SSH_ENABLED=text) == ["ssh.enabled (environment SSH_ENABLED): must be true or false"]

    @pytest.mark.parametrize(("text", "expected"), [("yes", True), ("On", True), ("no", False), ("false", False)])
    def test_file_may_use_the_booleans_of_yaml(self, load: Load, text: str, *, expected: bool) -> None:
        """In the file a switch may also be one of YAML's own words."""
        assert load(file=f"ssh: {{enabled: {text}}}").ssh.enabled is expected


class TestLists:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", ()),
            ("a", ("a",)),
            ("a,b", ("a", "b")),
            (" a , b ", ("a", "b")),
            ("a,", ("a",)),
            (",a,,b,", ("a", "b")),
        ],
    )
    def test_list_is_separated_by_commas(self, load: Load, text: str, expected: tuple[str, ...]) -> None:
        """Items are trimmed and empty ones dropped; a trailing comma adds nothing."""
        assert load(WATCH_NAMESPACES=text).watch_namespaces == expected
        assert load(f"--watch-namespaces={text}").watch_namespaces == expected

    @pytest.mark.parametrize("text", [",", " , ", ",,"])
    @pytest.mark.parametrize("name", ["WATCH_NAMESPACES", "ROUTING_ZONES", "ORIGINS_ALLOWED"])
    def test_list_of_nothing_is_a_fault(self, faults: Faults, name: str, text: str) -> None:
        """A list that names nothing never means everything."""
        (fault,) = faults(**{name: text})

        assert fault.endswith(f"(environment {name}): is given but names nothing; name something or leave it out")

    @pytest.mark.parametrize(
        ("file", "expected"),
        [
            ("watch_namespaces: [a, b]", ("a", "b")),
            ("watch_namespaces:\n- a\n-\n- ''", ("a",)),
            ("watch_namespaces: a, b", ("a", "b")),
            ("watch_namespaces: []", ()),
            ("watch_namespaces:", ()),
        ],
    )
    def test_file_has_lists_of_its_own(self, load: Load, file: str, expected: tuple[str, ...]) -> None:
        """A YAML list and a comma list are the same, and an empty YAML list is the default."""
        assert load(file=file).watch_namespaces == expected

    def test_rules_are_json_outside_the_file(self, load: Load) -> None:
        """A list of groups has the same meaning as JSON in a variable and as YAML in the file."""
        text = '[{"namespace": "team-*", "max": "internal"}, {"agent_id": 42, "max": "private"}]'

        settings = load(VISIBILITY_RULES=text)

        assert settings == load(file=f"visibility: {{rules: {text}}}")
        assert [rule.agent_id for rule in settings.visibility.rules] == [None, "42"]

    def test_rules_that_are_no_json_are_a_fault(self, faults: Faults) -> None:
        """A table that is no JSON says what its entries are made of."""
        (fault,) = faults("--visibility-rules", "team-a=internal")

        assert fault.endswith(
            "(flag --visibility-rules): is not JSON; write a list of objects with agent_id, namespace, max"
        )


class TestFaults:
    @pytest.mark.parametrize(
        ("variable", "text", "expected"),
        [
            (
                "HTTP_PORT",
                "99999",
                "http.port (environment HTTP_PORT): '99999' is out of range; it must be at most 65535",
            ),
            ("HTTP_PORT", "0", "http.port (environment HTTP_PORT): '0' is out of range; it must be at least 1"),
            ("HTTP_PORT", "web", "http.port (environment HTTP_PORT): 'web' is not a whole number"),
            ("HTTP_HEAD_TIMEOUT", "10s", "(environment HTTP_HEAD_TIMEOUT): '10s' is not a number of seconds; write 10"),
            ("IDLE_TIMEOUT", "2h", "(environment IDLE_TIMEOUT): '2h' is not a number of seconds; write 7200"),
            ("TRACING_SAMPLE_RATIO", "5%", "(environment TRACING_SAMPLE_RATIO): must be a number from 0 to 1"),
            ("TRACING_SAMPLE_RATIO", "5", "(environment TRACING_SAMPLE_RATIO): must be a number from 0 to 1"),
            ("TRACING_ENDPOINT", "collector:4318", "must be an http or https URL such as http://collector:4318"),
            ("TRACING_ENDPOINT", "http://collector:4318/v1/traces/", "must not end in /v1/traces"),
            ("HTTP_HEAD_TIMEOUT", "0", "'0' is out of range; it must be more than 0"),
            ("HTTP_HEAD_TIMEOUT", "inf", "'inf' is not a finite number of seconds"),
            ("HTTP_HEAD_TIMEOUT", "1e9", "'1e9' is out of range; it must be at most 31622400"),
            ("LOG_LEVEL", "verbose", "'verbose' is not known; write debug, info, warn or error"),
            ("LOG_LEVEL", "", "log_level (environment LOG_LEVEL): an empty value is not known; write debug, info"),
            ("AUTH_PROTOCOL", "", "auth.protocol (environment AUTH_PROTOCOL): an empty value is not known; write http"),
            ("METRICS_PATH", "", "metrics_path (environment METRICS_PATH): must be a path that begins with a slash"),
            ("SSH_BACKEND_USERNAME", "", "ssh.backend_username (environment SSH_BACKEND_USERNAME): must not be empty"),
            ("VISIBILITY_MAX", "", "an empty value is not known; write private, internal or public"),
            ("AUTH_HOST", "", "auth.host (not set; AUTH_HOST or --auth-host): is needed"),
            ("AUTH_HOST", "gitlab.example.com", "must be an http or https URL such as https://gitlab.example.com"),
            (
                "AUTH_CLIENT_SECRET",
                None,
                "auth.client_secret (not set; AUTH_CLIENT_SECRET): is needed unless http.enabled",
            ),
            ("AUTH_CLIENT_ID", "\udcff", "auth.client_id (environment AUTH_CLIENT_ID): is not text in UTF-8"),
            ("SSH_PORT", "tcp://10.0.0.1:22", "is what Kubernetes sets for a Service of that name, not a setting"),
        ],
    )
    def test_fault_says_what_is_wrong_and_what_would_be_right(
        self, faults: Faults, variable: str, text: str | None, expected: str
    ) -> None:
        """A fault names the setting, the source of its value, what is wrong and what would be right."""
        (fault,) = faults(**{variable: text})

        assert expected in fault

    @pytest.mark.parametrize(
        ("file", "expected"),
        [
            ("port: 9876", "port (gateway.yaml line 1): is not read by the gateway; write http.port instead"),
            ("http:\n  prot: 1", "http.prot (gateway.yaml line 2): is unknown; did you mean http.port?"),
            ("AUTH_HOST: abc", "AUTH_HOST (gateway.yaml line 1): is unknown; did you mean auth.host?"),
            ("client_id: abc", "client_id (gateway.yaml line 1): is unknown; did you mean auth.client_id?"),
            ("zones: [a]", "zones (gateway.yaml line 1): is unknown; did you mean routing.zones?"),
            ("colour: red", "colour (gateway.yaml line 1): is unknown"),
            ("colour:", "colour (gateway.yaml line 1): is unknown"),
            ("ssh.port: 22", "is not written with a dot in the file; write `port:` indented below `ssh:`"),
            ("auth: gitlab", "auth (gateway.yaml line 1): must be a group of keys"),
            ("http: [1]", "http (gateway.yaml line 1): must be a group of keys"),
            ("http: {port: [1]}", "http.port (gateway.yaml line 1): what is given is not a whole number"),
            ("kubeconfig: {a: b}", "kubeconfig (gateway.yaml line 1): must be a single path"),
            ("routing: {zones: {a: b}}", "routing.zones (gateway.yaml line 1): must be a list, such as [a, b]"),
            ("routing:\n  zones:\n  - ok\n  - b_c", "routing.zones[1] (gateway.yaml line 4): 'b_c' is not a DNS name"),
            (
                "visibility:\n  rules:\n  - max: public",
                "visibility.rules[0] (gateway.yaml line 3): must name an agent_id or a namespace",
            ),
            (
                "visibility:\n  rules:\n  - agent: 1\n    agent_id: 1\n    max: public",
                "visibility.rules[0].agent (gateway.yaml line 3): is unknown; the keys of an entry are agent_id",
            ),
            ("visibility: {rules: [{agent_id: 1}]}", "visibility.rules[0].max (gateway.yaml line 1): is needed"),
        ],
    )
    def test_fault_of_the_file_names_the_line(self, faults: Faults, file: str, expected: str) -> None:
        """A fault of the file names its line, and the nearest setting where the key is unknown."""
        assert any(line.startswith(expected) or expected in line for line in faults(file=file))

    def test_all_faults_are_reported_at_once(self, faults: Faults) -> None:
        """Flags, file, values and rules: whatever is wrong is in one report, a line each."""
        lines = faults(
            "--auth-hots=x",
            "--http-port=web",
            file="colour: red\nssh: {port: 9877}",
            AUTH_HOST=None,
            AUTH_CLIENT_ID=None,
            AUTH_SIGNING_KEY="short",
            LOG_LEVEL="verbose",
            SSH_HOST_KEY="garbage",
        )

        assert [line.split(" ")[:2][-1 if line.startswith("flag") else 0] for line in lines] == [
            "--auth-hots:",
            "auth.host",
            "http.port",
            "log_level",
            "colour",
            "auth.client_id",
            "auth.signing_key",
            "ssh.host_key",
            "ssh.port",
        ]

    @pytest.mark.parametrize(
        ("variables", "reported"),
        [
            ({"HTTP_PORT": "web", "SSH_PORT": "9876"}, ["http.port"]),
            ({"HTTP_ENABLED": "maybe", "AUTH_CLIENT_ID": None}, ["http.enabled"]),
            ({"AUTH_PROTOCOL": "htpp", "AUTH_REDIRECT_URI": "http://portal/auth/callback"}, ["auth.protocol"]),
        ],
    )
    def test_fault_is_not_followed_by_what_it_caused(
        self, faults: Faults, variables: dict[str, str | None], reported: list[str]
    ) -> None:
        """A rule about a value that could not be read stays silent."""
        assert [line.split()[0] for line in faults(**variables)] == reported

    def test_group_of_the_wrong_kind_hides_nothing_else(self, faults: Faults) -> None:
        """Where a text stands in the place of a group, its own settings are not called missing."""
        lines = faults(file="auth: nothing\nhttp: {port: web}")

        assert [line.split()[0] for line in lines] == ["auth", "http.port"]

    def test_error_holds_its_faults(self, load: Load) -> None:
        """A program can read the faults one by one."""
        with pytest.raises(SettingsError) as caught:
            load(LOG_LEVEL="")

        problem = "an empty value is not known; write debug, info, warn or error"
        assert caught.value.faults == (Fault("log_level", "environment LOG_LEVEL", problem),)


class TestFile:
    @pytest.mark.parametrize(
        ("file", "expected"),
        [
            ("auth:\n  host: x\n bad: y", "gateway.yaml: is not YAML at line 3, column 2; look there and a line above"),
            ("auth: {host: 'x", "gateway.yaml: is not YAML at line 1, column 16; look there and a line above"),
            ("auth: *shared", "gateway.yaml: is not YAML at line 1, column 7; look there and a line above"),
            ("a: &a\n  b: *a", "gateway.yaml: is not YAML at line 2, column 6; look there and a line above"),
            ("a: 1\n---\nb: 2", "gateway.yaml: is not YAML at line 2, column 1; look there and a line above"),
            ("- a", "gateway.yaml: must hold settings as lines of `key: value`"),
            ("just words", "gateway.yaml: must hold settings as lines of `key: value`"),
            (b"auth: \xff", "gateway.yaml: is not text in UTF-8"),
            ("auth: \x07", "gateway.yaml: holds characters that YAML does not allow"),
        ],
    )
    def test_file_that_cannot_be_read_is_the_one_fault(self, faults: Faults, file: str | bytes, expected: str) -> None:
        """A broken file says where it is broken, and nothing is said about settings it may hold."""
        (fault,) = faults(file=file)

        assert fault.startswith(expected)

    def test_key_given_twice_is_a_fault(self, faults: Faults) -> None:
        """Of two values for one key neither is believed silently."""
        assert faults(file="http:\n  port: 1\n  port: 2\ncolour: 1\ncolour: 1") == [
            "gateway.yaml line 3: gives http.port a second time; keep one of the two",
            "gateway.yaml line 5: gives a key a second time; keep one of the two",
            "colour (gateway.yaml line 5): is unknown",
        ]

    def test_file_may_begin_with_a_byte_order_mark(self, load: Load) -> None:
        """A mark that an editor on Windows wrote is no part of the first key."""
        assert load(file=b"\xef\xbb\xbfhttp: {port: 1000}").http.port == 1000

    @pytest.mark.parametrize(
        ("name", "reason"), [("absent.yaml", "No such file or directory"), (".", "Is a directory")]
    )
    def test_missing_file_is_a_fault(self, faults: Faults, name: str, reason: str) -> None:
        """A file that is not there is named, with the reason of the operating system."""
        assert faults("--config", name) == [f"{name}: cannot be read: {reason}"]

    def test_faults_of_flags_come_with_it(self, faults: Faults) -> None:
        """What is wrong on the command line is said beside what is wrong with the file."""
        assert faults("--config=absent.yaml", "extra") == [
            "argument 2: is not a flag; a switch is written --http-enabled=false, the settings file --config FILE",
            "absent.yaml: cannot be read: No such file or directory",
        ]

    def test_file_is_found_from_the_current_folder(self, load: Load) -> None:
        """The original's spelling of the flag names a file like any other."""
        Path("other.yaml").write_text("http: {port: 1000}")

        assert load("-config", "other.yaml").http.port == 1000
