"""Which test holds which line against whoever attacks sign-in, visitors and their ports, or only uses them oddly.

The first table lists attacks, the second what people of other gateways ran into. Each line names the tests that show it
does not happen here; a test that is renamed or gone is noticed.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
HTTP, PORTAL, E2E = "gateway/http", "gateway/portal", "e2e"

ATTACKS = {
    "cookies of our names are tossed by a sibling": (
        f"{E2E}/test_chromium_siblings.py::test_a_siblings_page_cannot_toss_a_cookie_of_ours",
        f"{HTTP}/test_gate.py::test_lookalike_cookie_is_no_grant",
        f"{HTTP}/test_gate.py::test_grant_is_found_among_others_of_its_name",
        "auth/test_login.py::test_several_browser_cookies_are_each_tried",
    ),
    "a sibling fills the jar until our cookies fall out": (
        f"{E2E}/test_chromium_siblings.py::test_a_jar_that_a_sibling_overfills_costs_at_most_a_sign_in",
    ),
    "our cookie or token reaches the application": (
        f"{HTTP}/test_targets.py::test_own_cookie_never_arrives",
        f"{HTTP}/test_token_gate.py::test_the_token_never_reaches_the_workspace",
    ),
    "a workspace sets a cookie of our name, or for the zone, or through us for others": (
        f"{HTTP}/test_headers.py::test_set_cookie_is_dropped",
        f"{HTTP}/test_attacks.py::test_a_cookie_that_a_workspace_sets_reaches_nobody_else",
    ),
    "a session is planted before its victim signs in": (
        f"{PORTAL}/test_portal_app.py::test_a_planted_session_does_not_survive_sign_in",
        "auth/test_login.py::test_sign_in_gives_a_new_id_each_time",
    ),
    "a cookie or a code is used elsewhere, twice, or later": (
        f"{HTTP}/test_gate.py::test_grant_of_another_host_is_none",
        f"{HTTP}/test_gate.py::test_grant_of_another_port_is_none",
        f"{HTTP}/test_gate.py::test_grant_of_a_more_open_port_is_none",
        f"{HTTP}/test_gate.py::test_entry_code_is_used_once",
        f"{HTTP}/test_gate.py::test_entry_code_of_something_else_is_none",
        f"{HTTP}/test_gate.py::test_entry_code_in_another_browser_is_none",
        "auth/test_grants.py::test_an_entry_code_comes_back_within_thirty_seconds",
        "gateway/test_two_gateways.py::test_an_entry_code_opens_one_door",
    ),
    "a cookie outlives sign-out, a block, a revoked token, the workspace's owner or the signing key": (
        f"{HTTP}/test_gate.py::test_grant_of_an_ended_session_is_none",
        f"{HTTP}/test_streams.py::test_a_blocked_user_is_out_within_five_minutes",
        f"{HTTP}/test_streams.py::test_a_lost_workspace_ends_the_stream",
        f"{HTTP}/test_token_gate.py::test_a_revoked_token_ends_the_programs_streams",
        "auth/test_access.py::test_a_token_that_cannot_be_refreshed_is_a_no",
        "auth/test_seal.py::test_old_keys_open_and_the_first_key_seals",
    ),
    "an id_token is forged": (
        "auth/test_id_token.py::test_a_forgery_is_refused_at_once",
        "auth/test_id_token.py::test_a_wrong_claim_voids_the_token",
    ),
    "a victim is signed in as the attacker": (
        f"{PORTAL}/test_portal_app.py::test_an_attackers_callback_signs_no_victim_in",
        "auth/test_login.py::test_an_attackers_answer_signs_no_victim_in",
    ),
    "the state of a sign-in is missing, old, replayed, doubled or another's": (
        "auth/test_login.py::test_a_tampered_answer_fails",
        "auth/test_login.py::test_an_answer_works_once",
        "auth/test_login.py::test_of_parallel_replays_one_wins",
        "auth/test_login.py::test_a_state_lives_ten_minutes",
        "auth/test_login.py::test_a_state_of_another_gateway_is_void",
    ),
    "the answer comes from another issuer, for another client, or with less than was asked for": (
        "auth/test_login.py::test_the_issuer_may_be_named",
        "auth/test_login.py::test_a_wrong_id_token_fails",
        "auth/test_login.py::test_id_token_and_access_token_must_agree",
        "auth/test_login.py::test_fewer_scopes_than_asked_for_are_denied",
    ),
    "a redirect leads somewhere else": (
        f"{PORTAL}/test_portal_app.py::test_only_a_target_that_we_sealed_leads_anywhere",
        f"{HTTP}/test_gate.py::test_the_port_of_a_redirect_is_the_portals",
        f"{HTTP}/test_interstitial.py::test_the_way_on_is_no_open_redirect",
        f"{HTTP}/test_starting.py::test_the_way_back_is_for_one_browser_on_one_host",
        f"{HTTP}/test_targets.py::test_host_that_is_no_name_is_refused",
    ),
    "a code or a token leaks by Referer, cache or log": (
        f"{PORTAL}/test_portal_app.py::test_every_answer_is_private_and_carries_the_request_id",
        f"{PORTAL}/test_portal_app.py::test_nothing_secret_reaches_the_log",
        "auth/test_login.py::test_nothing_secret_is_in_an_exception_a_log_or_the_url",
    ),
    "GitLab is slow, away, broken, endless or redirecting": (
        "auth/test_gitlab.py::test_no_answer_is_never_a_yes",
        "auth/test_gitlab.py::test_a_silent_gitlab_costs_bounded_time",
        "auth/test_login.py::test_a_broken_token_endpoint_is_gitlabs_fault",
        "auth/test_login.py::test_a_redirecting_token_endpoint_is_not_followed",
        "auth/test_login.py::test_those_who_wait_behind_a_failure_do_not_wait_again",
        "auth/test_access.py::test_an_outage_is_neither_yes_nor_no_and_no_stampede",
        "chaos/test_gitlab_away.py::test_without_gitlab_whoever_is_in_goes_on_and_nobody_else_gets_in",
        "chaos/test_gitlab_away.py::test_a_gitlab_with_a_wrong_certificate_is_told_nothing_and_believed_nothing",
        "chaos/test_ten_thousand.py::test_renewals",
        "chaos/test_ten_thousand.py::test_sign_ins",
        "chaos/test_ten_thousand.py::test_ssh_logins",
    ),
    "one person makes GitLab fail for the others, or shuts them out by using up their own rate": (
        "auth/test_circuit.py::test_one_persons_poisoned_question_shuts_out_nobody",
        "auth/test_circuit.py::test_who_asks_too_much_is_the_only_one_who_has_to_wait",
        "auth/test_calls.py::test_strangers_whom_gitlab_limits_slow_down_nobody_else",
    ),
    "slow clients, floods and idle crowds": (
        "chaos/test_slow_clients.py::test_an_attack_costs_the_others_at_most_three_times_and_bounded_memory",
        "chaos/test_descriptors.py::test_when_descriptors_run_out_whoever_is_in_goes_on",
        "chaos/test_workspace_silent.py::test_a_workspace_that_never_answers_costs_the_others_nothing",
    ),
    "the clock is set": (
        "chaos/test_clock.py::test_an_hour_back_lengthens_nothing",
        "chaos/test_clock.py::test_an_hour_forward_ends_grants_early_and_signs_nobody_in",
        "auth/test_grants.py::test_a_clock_that_is_set_back_lengthens_no_grant",
        "auth/test_remembered.py::test_a_clock_that_is_set_back_lengthens_no_memory",
    ),
    "another site opens a WebSocket": (
        f"{HTTP}/test_gate.py::test_another_site_is_refused",
        f"{E2E}/test_chromium_siblings.py::test_a_siblings_page_reads_nothing_and_changes_nothing",
    ),
    "another site sends a form or a request that changes something": (
        f"{HTTP}/test_gate.py::test_another_site_is_refused",
        f"{HTTP}/test_siblings.py::test_another_workspaces_page_is_refused",
        f"{PORTAL}/test_portal_app.py::test_another_site_signs_nobody_out",
        f"{PORTAL}/test_sharing.py::test_another_site_changes_nothing",
        f"{HTTP}/test_starting.py::test_another_site_starts_nothing",
    ),
    "a sibling's script reads an answer": (
        f"{HTTP}/test_attacks.py::test_no_origin_is_told_that_it_may_read",
        f"{E2E}/test_chromium_siblings.py::test_a_siblings_page_reads_nothing_and_changes_nothing",
    ),
    "a page of ours is framed": (
        "gateway/test_pages.py::test_allows_nothing_but_the_stylesheet_and_forms_of_this_site",
        "gateway/test_answers.py::test_page_has_a_policy",
        f"{HTTP}/test_attacks.py::test_who_may_frame_an_application_is_its_own_matter",
    ),
    "somebody finds out which workspaces there are": (
        f"{HTTP}/test_gate.py::test_unknown_reads_like_private",
        f"{PORTAL}/test_portal_app.py::test_denied_and_unknown_are_the_same_bytes",
        f"{HTTP}/test_attacks.py::test_a_stopped_workspace_reads_like_one_that_is_not_there",
        f"{HTTP}/test_siblings.py::test_strangers_cannot_tell_which_ports_there_are",
        "auth/test_access.py::test_an_unknown_workspace_costs_what_a_foreign_one_does",
    ),
    "a workspace is made anew under an old name": (
        f"{HTTP}/test_gate.py::test_grant_of_a_workspace_that_was_made_anew_is_none",
        f"{HTTP}/test_streams.py::test_streams_of_a_workspace_that_is_no_more_are_closed",
        f"{HTTP}/test_interstitial.py::test_a_recreated_workspace_is_warned_about_again",
    ),
    "a service worker sits between a visitor and us": (
        f"{E2E}/test_chromium_siblings.py::test_a_service_worker_rules_no_other_host_and_no_path_of_ours",
        f"{E2E}/test_chromium_siblings.py::test_what_a_service_worker_sees_of_an_entry_is_worth_nothing_elsewhere",
        f"{HTTP}/test_siblings.py::test_a_service_worker_cannot_come_from_there",
    ),
    "a cache goes on saying what was true before": (
        f"{HTTP}/test_gate.py::test_what_a_visitor_was_let_in_to_see_is_for_no_shared_cache",
        f"{HTTP}/test_attacks.py::test_nothing_the_gateway_says_itself_is_stored",
        f"{HTTP}/test_own_answers.py::test_nothing_is_reflected",
        f"{HTTP}/test_targets.py::test_only_host_decides_where_a_request_goes",
    ),
    "a flood of sign-ins, codes or tokens": (
        f"{PORTAL}/test_sign_in_limit.py::test_beyond_the_burst_a_page_says_when_to_come_back",
        f"{PORTAL}/test_sign_in_limit.py::test_a_flood_from_ones_own_address_keeps_out_nobody_who_was_here",
        f"{PORTAL}/test_sign_in_limit.py::test_a_flood_of_made_up_codes_leaves_gitlab_to_people_who_are_in",
        f"{PORTAL}/test_sign_in_limit.py::test_a_flood_of_made_up_tokens_asks_gitlab_no_more_than_its_share",
        "auth/test_login.py::test_a_sign_in_under_way_costs_no_memory",
        "auth/test_sessions.py::test_a_flood_is_bounded_in_memory",
        "auth/test_sessions.py::test_one_person_has_so_many_sessions_and_no_more",
    ),
    "a line of the log is forged or endless": (
        f"{HTTP}/test_own_answers.py::test_log_line_of_an_odd_request",
        f"{HTTP}/test_own_answers.py::test_an_address_with_a_zone_of_quotes_breaks_no_line_of_the_log",
        f"{HTTP}/test_gate.py::test_username_writes_no_header",
    ),
    "a page of ours runs what somebody else wrote": (
        "gateway/test_pages.py::test_a_message_shows_every_field_as_text",
        "gateway/test_pages.py::test_the_home_page_shows_every_field_as_text",
        "gateway/test_pages.py::test_an_address_that_is_no_web_address_is_refused",
        f"{HTTP}/test_own_answers.py::test_nothing_is_reflected",
        f"{PORTAL}/test_portal_app.py::test_declining_is_a_page_of_its_own",
    ),
    "somebody calls itself a probe": (f"{HTTP}/test_attacks.py::test_nobody_is_let_in_for_calling_itself_a_probe",),
    "metrics or health are read through a public door": (
        f"{HTTP}/test_attacks.py::test_what_operators_see_is_on_no_public_door",
        f"{HTTP}/test_attacks.py::test_an_absolute_target_leads_to_no_other_listener",
        f"{HTTP}/test_gate.py::test_probe_of_an_existing_chart_is_answered_elsewhere_only",
    ),
    "a method, a version or an upgrade finds a way around": (
        f"{HTTP}/test_gate.py::test_grant_is_asked_for_every_method",
        f"{HTTP}/test_attacks.py::test_no_version_and_no_method_finds_a_way_around",
        f"{HTTP}/test_visibility_matrix.py::test_everybody_reaches_exactly_what_they_may",
    ),
    "a page of another port takes over the editor": (
        f"{HTTP}/test_siblings.py::test_no_page_of_another_port_comes_to_be_of_the_editors_origin",
        f"{HTTP}/test_siblings.py::test_editor_sshd_and_unknown_ports_are_not_there",
    ),
    "a link spares a stranger the warning before a public port": (
        f"{HTTP}/test_siblings.py::test_a_public_port_is_warned_about_on_this_way_too",
        f"{HTTP}/test_interstitial.py::test_nobody_can_send_somebody_else_past_it",
    ),
}

COMPLAINTS = {
    "a preflight is redirected, or reaches a private port": (
        f"{HTTP}/test_gate.py::test_anything_else_is_told_401",
        f"{HTTP}/test_visibility_matrix.py::test_everybody_reaches_exactly_what_they_may",
    ),
    "a script whose session ended is redirected, or never comes back": (
        f"{HTTP}/test_gate.py::test_anything_else_is_told_401",
        f"{HTTP}/test_gate.py::test_due_grant_is_renewed",
        f"{HTTP}/test_streams.py::test_an_open_editor_works_all_day",
        f"{HTTP}/test_siblings.py::test_an_open_page_that_only_calls_its_api_stays_signed_in",
    ),
    "the body of an upload is sent somewhere else": (f"{HTTP}/test_gate.py::test_anything_else_is_told_401",),
    "the application's own Authorization is taken for ours": (
        f"{HTTP}/test_gate.py::test_grant_lets_through",
        f"{HTTP}/test_token_gate.py::test_authorization_belongs_to_the_workspace",
    ),
    "old, void or doubled cookies make a loop": (
        f"{HTTP}/test_attacks.py::test_a_browser_full_of_stale_cookies_signs_in_once",
        f"{HTTP}/test_loops.py::test_the_third_round_is_a_page",
        f"{HTTP}/test_gate.py::test_old_cookies_are_expired_on_sight",
        f"{PORTAL}/test_portal_app.py::test_a_token_refused_from_the_start_makes_no_loop",
    ),
    "tabs that are restored together do not all come back": (
        f"{E2E}/test_chromium_access.py::test_ten_tabs_over_ten_workspaces_all_come_back_after_expiry",
        f"{PORTAL}/test_portal_app.py::test_ten_first_tabs_at_once_all_arrive",
        f"{HTTP}/test_gate.py::test_one_nonce_serves_all_tabs",
    ),
    "a second workspace signs out of the first": (
        f"{HTTP}/test_attacks.py::test_opening_a_second_workspace_ends_nothing_in_the_first",
    ),
    "what is open survives the sign-out": (
        f"{HTTP}/test_streams.py::test_sign_out_closes_my_streams_and_nobody_elses",
        f"{E2E}/test_chromium_access.py::test_signing_out_in_one_tab_closes_the_editor_in_another",
        "gateway/test_two_gateways.py::test_signing_out_at_one_closes_what_is_open_at_the_other",
    ),
    "strangers stay on a port that is public no more, or its owner is thrown out": (
        f"{HTTP}/test_streams.py::test_public_to_private_ends_strangers_and_spares_the_owner",
        f"{E2E}/test_chromium_access.py::test_the_switch_closes_a_port_under_a_stranger",
    ),
    "a change of visibility takes its time": (
        f"{HTTP}/test_attacks.py::test_a_closed_port_is_closed_with_the_next_request",
        f"{HTTP}/test_token_gate.py::test_a_yes_to_an_internal_port_is_none_when_it_is_private",
        f"{PORTAL}/test_sharing.py::test_the_switch_opens_and_closes_a_port",
    ),
    "an address that another workspace has now serves the old one's visitors": (
        f"{HTTP}/test_hostile_workspace.py::test_workspaces_share_no_connection",
        f"{HTTP}/test_streams.py::test_streams_of_a_workspace_that_is_no_more_are_closed",
    ),
    "a fragment gets lost on the way": (
        f"{E2E}/test_chromium_access.py::test_a_fragment_survives_wherever_nobody_has_to_press_a_button",
    ),
}


@cache
def names_in(path: str) -> frozenset[str]:
    """The names of the tests in a file."""
    tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


@pytest.mark.parametrize("line", ATTACKS | COMPLAINTS)
def test_a_line_is_held_by_tests_that_are_there(line: str) -> None:
    """Each of them by its name."""
    named = (ATTACKS | COMPLAINTS)[line]
    missing = [name for name in named if name.partition("::")[2] not in names_in(name.partition("::")[0])]

    assert named
    assert not missing


def test_a_test_that_is_not_there_is_noticed() -> None:
    """Or the tables could say anything."""
    assert "test_a_test_that_is_not_there_is_noticed" in names_in("test_attacks.py")
    assert "test_no_such_test" not in names_in("test_attacks.py")
