"""The threat model of the README: which tests hold each of its lines, against whoever the line names.

A line is named by what is tried, word for word. What holds it is a line of `test_attacks` or `test_ssh_attacks`, which
name tests, or a test. A line, an attack or a test that is renamed, gone or new is noticed.
"""

from pathlib import Path

import pytest

from tests import test_attacks, test_ssh_attacks
from tests.test_attacks import names_in

README = Path(__file__).parent.parent / "README.md"
CHAPTER = "## What it protects, and from whom\n"
HTTP, SSH = "gateway/http", "gateway/ssh"
FUZZ = "fuzz/test_targets.py::test_no_other_input_does"

THREATS = {
    "learn which workspaces there are": (
        "somebody finds out which workspaces there are",
        "finding out which workspaces exist",
    ),
    "guess tokens, or sign in without end": (
        "a flood of sign-ins, codes or tokens",
        "a thousand tries in one go",
        "a spray over names",
        "tries by several methods",
        "a signature that is none",
    ),
    "hold connections, heads and logins for ever": (
        "connections that say nothing",
        "a bomb of zeros",
        "key exchanges that cost the server more than the client",
        "messages whose answers are not read",
        "key exchanges without end",
        "channels, adjustments and questions without end",
        f"{HTTP}/test_crowd.py::test_idle_clients_go_first_when_room_runs_out",
        f"{HTTP}/test_exhaustion.py::test_slow_heads_beside_each_other_hinder_nobody",
        f"{HTTP}/test_exhaustion.py::test_a_noisy_neighbour_leaves_the_others_their_turn",
        "e2e/test_slow_clients.py::test_thousands_of_idle_clients_cost_little_and_hinder_nobody",
        "slow clients, floods and idle crowds",
        "e2e/test_serve.py::test_probes_are_answered_when_clients_have_taken_every_descriptor_they_may",
    ),
    "say what two readers understand differently": (
        "a method, a version or an upgrade finds a way around",
        "user names of any shape",
        "a name that is one of the DNS",
        "packets of any length",
        f"{HTTP}/test_smuggling.py::test_head_with_two_meanings_is_refused",
        f"{HTTP}/test_smuggling.py::test_broken_chunks_end_the_request",
        f"{HTTP}/test_differential.py::test_messages_pass_as_they_are",
        "routing/test_hostname.py::test_what_is_no_host_name_is_refused",
        FUZZ,
    ),
    "forge or fill the log": (
        "a line of the log is forged or endless",
        "a log line of one's own",
    ),
    "forge a grant, a code or a target": (
        "a cookie or a code is used elsewhere, twice, or later",
        "the state of a sign-in is missing, old, replayed, doubled or another's",
        "a redirect leads somewhere else",
        "a session is planted before its victim signs in",
        "a victim is signed in as the attacker",
        "auth/test_seal.py::test_every_flipped_bit_is_noticed",
        "auth/test_seal.py::test_a_value_of_one_purpose_is_void_for_another",
        FUZZ,
    ),
    "enter a workspace that is not theirs": (
        "a yes to one workspace used on another",
        "a certificate that says something else",
        "somebody calls itself a probe",
        "a link spares a stranger the warning before a public port",
        "one user's bytes with another",
        "a second user name while the first is checked",
        f"{HTTP}/test_visibility_matrix.py::test_everybody_reaches_exactly_what_they_may",
    ),
    "start or stop a workspace that is not theirs": (
        f"{HTTP}/test_starting.py::test_only_the_owner_has_the_button",
        f"{HTTP}/test_starting.py::test_another_site_starts_nothing",
        f"{HTTP}/test_starting.py::test_auto_starts_what_its_owner_opens_by_hand",
        "gateway/idle/test_stops.py::test_a_sign_in_of_somebody_else_stops_nothing",
        "gateway/idle/test_stops.py::test_another_name_than_gitlabs_stops_nothing",
        f"{HTTP}/test_use.py::test_a_strangers_websocket_hides_nobodys_keys",
    ),
    "claim a host, name or address of others": (
        "one name in two namespaces",
        "routing/test_hostname.py::test_a_template_with_anything_else_is_refused",
        "routing/test_hostname.py::test_a_template_that_renders_to_an_address_is_refused",
        "routing/test_hostname.py::test_a_long_template_costs_no_time",
        FUZZ,
    ),
    "toss cookies, or fill the jar, from a sibling host": (
        "cookies of our names are tossed by a sibling",
        "a sibling fills the jar until our cookies fall out",
        "a workspace sets a cookie of our name, or for the zone, or through us for others",
    ),
    "take over what a workspace leaves behind": (
        "a workspace is made anew under an old name",
        "an address that another workspace has now serves the old one's visitors",
        "a workspace that is made anew between the question and the dial",
        "a Service that was deleted",
    ),
    "get its visitor's session or token": (
        "our cookie or token reaches the application",
        f"{HTTP}/test_headers.py::test_field_stays_here",
        f"{HTTP}/test_forwarded.py::test_workspace_is_told_who_signed_in",
    ),
    "answer for another request, or another visitor": (
        f"{HTTP}/test_hostile_workspace.py::test_invalid_answer_is_502",
        f"{HTTP}/test_hostile_workspace.py::test_what_follows_a_response_is_nobody_s",
        f"{HTTP}/test_hostile_workspace.py::test_workspaces_share_no_connection",
        f"{HTTP}/test_headers.py::test_uncertain_response_is_refused",
        f"{HTTP}/test_headers.py::test_workspace_cannot_speak_as_the_gateway",
    ),
    "reach the cluster, or the gateway, through it": (
        "a forward to the cluster's own services",
        "a listener on the gateway",
        "metrics or health are read through a public door",
        f"{HTTP}/test_attacks.py::test_an_absolute_target_leads_to_no_other_listener",
        f"{HTTP}/test_rounds.py::test_a_port_that_forwards_back_to_the_gateway_ends_the_loop",
    ),
    "use its owner's machine over SSH": (
        "a workspace that opens channels towards its user",
        "messages about channels that are not there",
        "a workspace that asks things of its user",
        "a default of the library, on the client's leg",
        "a default of the library, on the workspace's leg",
        FUZZ,
    ),
    "pass for another sshd": (
        "an sshd that is not the one it was",
        "an sshd that never comes to the point",
        FUZZ,
    ),
    "act as its visitor": (
        "another site opens a WebSocket",
        "another site sends a form or a request that changes something",
        "a page of another port takes over the editor",
        "a preflight is redirected, or reaches a private port",
    ),
    "read, frame, cache or intercept what we say": (
        "a sibling's script reads an answer",
        "a page of ours is framed",
        "a service worker sits between a visitor and us",
        "a cache goes on saying what was true before",
        "a page of ours runs what somebody else wrote",
    ),
    "go on using it": (
        "a cookie outlives sign-out, a block, a revoked token, the workspace's owner or the signing key",
        "what is open survives the sign-out",
        "strangers stay on a port that is public no more, or its owner is thrown out",
        "a change of visibility takes its time",
    ),
    "stay after it was revoked": (
        "a right that was lost",
        f"{HTTP}/test_token_gate.py::test_a_revoked_token_ends_the_programs_streams",
        f"{HTTP}/test_streams.py::test_a_blocked_user_is_out_within_five_minutes",
        f"{HTTP}/test_streams.py::test_a_clock_that_was_set_back_keeps_nobody_in",
        f"{SSH}/test_waiting.py::test_a_token_that_is_revoked_during_the_wait_lets_nobody_in",
        "the clock is set",
    ),
    "read or change SSH on its way": (
        "Terrapin",
        "weak algorithms",
        "messages of a layer that is over",
        FUZZ,
    ),
    "come from an address of their choice": (
        "an address of one's own choice",
        "getting the gateway's address punished by an sshd",
        f"{HTTP}/test_forwarded.py::test_client_is_the_last_one_nobody_vouches_for",
        f"{HTTP}/test_forwarded.py::test_word_of_a_proxy",
        FUZZ,
    ),
    "let somebody in, or throw all out": (
        "GitLab is slow, away, broken, endless or redirecting",
        "one person makes GitLab fail for the others, or shuts them out by using up their own rate",
        "chaos/test_gitlab_away.py::test_without_gitlab_whoever_is_in_goes_on_and_nobody_else_gets_in",
        "chaos/test_gitlab_away.py::test_a_gitlab_with_a_wrong_certificate_is_told_nothing_and_believed_nothing",
        "chaos/test_redis_away.py::test_without_redis_whoever_is_in_goes_on_and_nobody_signs_in",
        "chaos/test_ten_thousand.py::test_renewals",
        "a GitLab that is down or talks nonsense",
        "an answer of GitLab to nobody",
        "an id_token is forged",
        "the answer comes from another issuer, for another client, or with less than was asked for",
    ),
    "show a secret, or run with half a setting": (
        "a token in a log, a metric or a memory dump",
        "a host key in an error",
        "a code or a token leaks by Referer, cache or log",
        "config/test_secrets.py::test_file_is_never_quoted",
        "config/test_secrets.py::test_settings_show_no_secret",
        "config/test_any_input.py::test_any_tree_is_judged",
        "e2e/test_reload.py::test_a_configuration_with_a_fault_is_refused_as_a_whole",
        FUZZ,
    ),
    "open the editor or sshd to others": (
        "auth/test_visibility.py::test_editor_and_ssh_are_private_for_ever",
        "auth/test_visibility.py::test_the_lowest_word_wins",
        f"{HTTP}/test_visibility_matrix.py::test_everybody_reaches_exactly_what_they_may",
        FUZZ,
    ),
}


def lines_of(readme: str) -> list[str]:
    """What is tried, of each line of the table."""
    chapter = readme.partition(CHAPTER)[2].partition("\n## ")[0]
    rows = [row.strip("| ").split(" | ") for row in chapter.splitlines() if row.startswith("|")]
    return [row[-2].strip() for row in rows[2:]]


def missing_of(named: tuple[str, ...]) -> list[str]:
    attacks = test_attacks.ATTACKS | test_attacks.COMPLAINTS | test_ssh_attacks.ATTACKS
    tests = [name for name in named if name not in attacks]
    return [
        name for name in tests if "::" not in name or name.partition("::")[2] not in names_in(name.partition("::")[0])
    ]


def test_the_threat_model_and_its_tests_name_the_same_lines() -> None:
    """In one order, so that who reads one finds the other."""
    assert lines_of(README.read_text(encoding="utf-8")) == list(THREATS)


@pytest.mark.parametrize("line", THREATS)
def test_a_line_is_held_by_tests_that_are_there(line: str) -> None:
    """Attacks are held by tests in their own tables."""
    assert THREATS[line]
    assert not missing_of(THREATS[line])


def test_every_attack_is_one_that_somebody_in_the_model_tries() -> None:
    """Or the model would leave out what was thought of elsewhere."""
    attacks = set(test_attacks.ATTACKS | test_ssh_attacks.ATTACKS)
    assert attacks - {name for named in THREATS.values() for name in named} == set()


def test_what_is_not_there_is_noticed() -> None:
    """Or the table could say anything."""
    assert missing_of(("no such attack", "test_threats.py::test_no_such_test", "test_threats.py")) != []
    assert missing_of(("Terrapin", "test_threats.py::test_what_is_not_there_is_noticed")) == []
