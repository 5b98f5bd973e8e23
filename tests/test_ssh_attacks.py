"""Which test holds which line against whoever attacks the SSH door from either side, or only uses it as people do.

The first table lists attacks, the second what people of other gateways ran into, the third what each failure says.
"""

import pytest

from tests.test_attacks import names_in

SSH = "gateway/ssh"

ATTACKS = {
    "user names of any shape": (
        f"{SSH}/test_connection.py::test_no_other_name_leads_anywhere_and_gitlab_is_asked_all_the_same",
        f"{SSH}/test_connection.py::test_a_name_that_is_prepared_to_a_valid_one_is_that_one",
        f"{SSH}/test_connection.py::test_a_name_made_to_forge_a_log_line_stays_one_short_field",
    ),
    "a name that is one of the DNS": (
        f"{SSH}/test_connection.py::test_no_other_name_leads_anywhere_and_gitlab_is_asked_all_the_same",
    ),
    "one name in two namespaces": ("routing/test_table.py::test_the_older_service_keeps_a_contested_name",),
    "a Service that was deleted": (
        "routing/test_table.py::test_a_removed_service_vanishes_and_its_workspace_is_reported_ended",
        f"{SSH}/test_hostile.py::test_a_workspace_that_is_gone_is_an_unknown_name",
        f"{SSH}/test_server.py::test_closing_a_workspace_ends_its_sessions_and_no_other",
    ),
    "a workspace that is made anew between the question and the dial": (
        f"{SSH}/test_hostile.py::test_a_login_goes_to_the_workspace_that_its_name_meant_when_it_began",
        f"{SSH}/test_server.py::test_closing_a_workspace_ends_a_login_into_it",
    ),
    "a second user name while the first is checked": (
        f"{SSH}/test_connection.py::test_a_second_user_name_ends_the_connection_while_the_first_is_checked",
    ),
    "a thousand tries in one go": (
        f"{SSH}/test_connection.py::test_a_thousand_pipelined_tries_cost_three_questions_one_at_a_time",
        f"{SSH}/test_connection.py::test_a_check_that_was_called_off_counts_and_ends_before_the_next_begins",
    ),
    "a spray over names": (
        f"{SSH}/test_hostile.py::test_a_spray_over_names_from_one_address_is_one_guesser",
        f"{SSH}/test_bans.py::test_who_guessed_is_met_with_silence_even_with_the_right_token",
    ),
    "tries by several methods": (
        f"{SSH}/test_connection.py::test_all_methods_share_three_tries",
        f"{SSH}/test_keys.py::test_keys_and_tokens_have_budgets_of_their_own",
        f"{SSH}/test_keys.py::test_key_offers_without_end_are_ended",
    ),
    "finding out which workspaces exist": (
        f"{SSH}/test_connection.py::test_a_foreign_an_unknown_and_a_stopped_workspace_look_alike_to_a_stranger",
        f"{SSH}/test_keys.py::test_an_unknown_name_asks_nobody_and_takes_as_long",
        f"{SSH}/test_keys.py::test_who_signed_reads_that_the_workspace_does_not_run_and_nobody_else",
    ),
    "a token in a log, a metric or a memory dump": (
        f"{SSH}/test_server.py::test_no_log_of_any_level_holds_a_token",
        f"{SSH}/test_connection.py::test_a_failure_of_the_gateway_itself_ends_that_connection_alone",
        f"{SSH}/test_verdicts.py::test_what_is_remembered_holds_no_token",
        f"{SSH}/test_channels.py::test_what_was_opened_and_run_is_in_the_log_and_no_secret_with_it",
    ),
    "a host key in an error": (f"{SSH}/test_host_keys.py::test_a_key_that_cannot_be_used_is_named_and_not_shown",),
    "a right that was lost": (
        f"{SSH}/test_verdicts.py::test_an_answer_counts_for_its_time_and_no_longer",
        f"{SSH}/test_recheck.py::test_a_session_ends_with_a_word_when_the_right_to_it_is_lost",
        f"{SSH}/test_keys.py::test_a_key_that_left_the_profile_ends_the_session",
        f"{SSH}/test_profile_keys.py::test_a_sign_out_shuts_the_door_to_keys",
        "auth/test_owners.py::test_a_blocked_owner_or_a_removed_workspace_is_denied",
    ),
    "a yes to one workspace used on another": (
        f"{SSH}/test_verdicts.py::test_a_yes_is_none_to_another_token_or_workspace",
        f"{SSH}/test_keys.py::test_a_key_to_one_workspace_is_none_to_another",
        f"{SSH}/test_hostile.py::test_two_users_of_two_workspaces_share_nothing",
    ),
    "a GitLab that is down or talks nonsense": (
        f"{SSH}/test_connection.py::test_without_gitlab_nobody_enters_and_everybody_is_told",
        f"{SSH}/test_bans.py::test_a_gitlab_that_is_down_makes_nobody_a_guesser",
        f"{SSH}/test_keys.py::test_where_no_owner_can_be_told_a_token_still_opens",
        "auth/test_profiles.py::test_anything_else_is_gitlab_being_unavailable",
    ),
    "an answer of GitLab to nobody": ("auth/test_gitlab.py::test_the_answer_to_nobody_is_a_refusal",),
    "a forward to the cluster's own services": (
        f"{SSH}/test_hostile.py::test_the_gateway_opens_no_socket_whatever_is_forwarded",
        f"{SSH}/test_forwarding.py::test_a_dynamic_forward_reaches_what_the_workspace_reaches",
    ),
    "a listener on the gateway": (
        f"{SSH}/test_hostile.py::test_the_gateway_opens_no_socket_whatever_is_forwarded",
        f"{SSH}/test_forwarding.py::test_a_remote_forward_listens_in_the_workspace_and_leads_back",
    ),
    "a default of the library, on the client's leg": (
        f"{SSH}/test_options.py::test_the_clients_leg_does_nothing_itself",
    ),
    "a default of the library, on the workspace's leg": (
        f"{SSH}/test_options.py::test_the_workspaces_leg_brings_nothing_along",
    ),
    "an sshd that is not the one it was": (
        f"{SSH}/test_pod_keys.py::test_a_changed_key_is_shown_once_logged_and_counted",
        f"{SSH}/test_pod_keys.py::test_a_changed_key_keeps_a_workspace_shut_where_the_settings_say_so",
        f"{SSH}/test_pod_keys.py::test_a_pinned_key_opens_and_any_other_does_not",
        f"{SSH}/test_pod_keys.py::test_a_pin_that_cannot_be_read_fits_no_key",
    ),
    "an sshd that never comes to the point": (
        f"{SSH}/test_upstream.py::test_what_is_no_sshd_does_not_answer",
        f"{SSH}/test_upstream.py::test_an_address_that_swallows_everything_does_not_answer",
        f"{SSH}/test_hostile.py::test_the_farewell_of_a_workspace_is_made_safe_for_a_terminal",
    ),
    "a workspace that opens channels towards its user": (
        f"{SSH}/test_relay.py::test_a_channel_the_workspace_opens_unasked_is_refused_and_never_seen",
        f"{SSH}/test_relay.py::test_a_workspace_cannot_ask_on_the_clients_behalf",
        f"{SSH}/test_channels.py::test_a_cancelled_forward_lets_no_more_channels_in",
    ),
    "a workspace that asks things of its user": (
        f"{SSH}/test_relay.py::test_a_workspaces_global_request_fails_without_reaching_the_client",
        f"{SSH}/test_relay.py::test_the_client_hears_of_the_gateways_host_keys_and_never_of_the_workspaces",
    ),
    "messages of a layer that is over": (
        f"{SSH}/test_hostile.py::test_a_message_of_another_layer_never_crosses",
        f"{SSH}/test_relay.py::test_packets_of_no_channel_stay_on_their_leg",
    ),
    "messages about channels that are not there": (
        f"{SSH}/test_hostile.py::test_what_a_workspace_says_on_its_channels_is_for_the_client_to_judge",
        f"{SSH}/test_relay.py::test_an_answer_to_no_question_ends_both_legs",
    ),
    "one user's bytes with another": (f"{SSH}/test_server.py::test_one_users_bytes_never_reach_another",),
    "Terrapin": (
        f"{SSH}/test_hostile.py::test_strict_key_exchange_is_offered_and_a_stray_packet_in_it_ends_the_connection",
        "openssh/test_audit.py::test_policy_is_kept",
    ),
    "weak algorithms": (
        f"{SSH}/test_options.py::test_no_weak_algorithm_is_among_them",
        f"{SSH}/test_options.py::test_openssh_finds_nothing_weak_to_agree_on",
        f"{SSH}/test_keys.py::test_rsa_with_sha1_is_refused_even_with_the_right_key",
        f"{SSH}/test_keys.py::test_a_certificate_signed_with_sha1_or_changed_afterwards_opens_nothing",
    ),
    "key exchanges that cost the server more than the client": (
        f"{SSH}/test_options.py::test_no_weak_algorithm_is_among_them",
        f"{SSH}/test_connection.py::test_a_flood_before_the_login_is_cut_off",
        f"{SSH}/test_internals.py::test_proofs_without_end_are_refused",
    ),
    "messages whose answers are not read": (
        f"{SSH}/test_internals.py::test_a_client_that_asks_much_and_reads_nothing_before_login_is_cut_off",
        f"{SSH}/test_internals.py::test_a_client_that_pings_and_reads_nothing_is_cut_off",
    ),
    "packets of any length": (
        f"{SSH}/test_internals.py::test_a_packet_of_impossible_length_ends_the_connection_at_once",
        f"{SSH}/test_pump.py::test_a_length_beyond_all_measure_ends_the_leg_at_once",
        f"{SSH}/test_pump.py::test_packets_arrive_in_order_and_byte_for_byte_however_they_are_cut",
    ),
    "connections that say nothing": (
        f"{SSH}/test_hostile.py::test_a_hundred_silent_connections_keep_nobody_out_for_longer_than_the_grace",
        f"{SSH}/test_hostile.py::test_five_thousand_silent_connections_cost_no_more_than_those_that_are_let_in",
        f"{SSH}/test_hostile.py::test_clients_that_stop_after_the_key_exchange_leave_with_the_grace",
        f"{SSH}/test_connection.py::test_a_login_takes_no_longer_than_its_grace",
        f"{SSH}/test_crowd.py::test_silent_connections_of_one_address_keep_their_number_until_they_leave",
    ),
    "a bomb of zeros": (f"{SSH}/test_options.py::test_the_algorithms_of_both_legs_are_those_chosen_here",),
    "channels, adjustments and questions without end": (
        f"{SSH}/test_channels.py::test_the_512_channels_of_a_connection_are_gone_with_it",
        f"{SSH}/test_channels.py::test_a_workspace_cannot_make_room_by_closing_what_is_open",
        f"{SSH}/test_channels.py::test_nobody_makes_room_by_refusing_what_was_never_asked",
        f"{SSH}/test_channels.py::test_notes_without_end_are_cut_short_and_go_on_a_minute_later",
        f"{SSH}/test_hostile.py::test_window_adjustments_without_end_pass_and_cost_the_gateway_nothing_to_keep",
        f"{SSH}/test_relay.py::test_a_flood_of_questions_ends_when_too_many_are_open",
    ),
    "key exchanges without end": (
        f"{SSH}/test_hostile.py::test_a_storm_of_key_exchanges_ends_the_connection_that_makes_it",
        f"{SSH}/test_internals.py::test_a_key_exchange_that_never_ends_is_cut_off",
    ),
    "an address of one's own choice": (
        f"{SSH}/test_proxy_protocol.py::test_from_anywhere_else_a_header_is_no_ssh",
        f"{SSH}/test_proxy_protocol.py::test_anything_else_is_refused",
        f"{SSH}/test_proxy_protocol.py::test_a_second_header_is_what_the_client_said_and_no_ssh",
        f"{SSH}/test_proxy_protocol.py::test_a_header_is_read_and_what_follows_is_left",
        f"{SSH}/test_haproxy.py::test_haproxy_is_not_believed_where_it_is_not_listed",
    ),
    "a log line of one's own": (
        f"{SSH}/test_connection.py::test_a_name_made_to_forge_a_log_line_stays_one_short_field",
        f"{SSH}/test_channels.py::test_what_a_peer_wrote_is_one_short_line",
    ),
    "a signature that is none": (
        f"{SSH}/test_keys.py::test_a_forged_signature_opens_nothing_dials_nothing_and_is_a_guess",
        f"{SSH}/test_keys.py::test_a_signature_of_another_connection_is_worth_nothing",
        f"{SSH}/test_keys.py::test_a_security_key_opens_when_somebody_touched_it",
    ),
    "a certificate that says something else": (
        f"{SSH}/test_keys.py::test_a_certificate_that_says_otherwise_opens_nothing",
        f"{SSH}/test_keys.py::test_a_certificate_of_another_authority_or_for_a_host_opens_nothing",
    ),
    "getting the gateway's address punished by an sshd": (
        f"{SSH}/test_hostile.py::test_no_connection_to_an_sshd_ends_before_it_has_logged_in",
    ),
}

COMPLAINTS = {
    "the first login hangs": (f"{SSH}/test_hostile.py::test_a_shell_shows_its_prompt_without_a_key_pressed",),
    "a bad signature on stderr, noise on stdout": (
        f"{SSH}/test_openssh.py::test_stdout_of_a_command_is_exactly_its_output_and_stderr_is_silent",
        f"{SSH}/test_openssh.py::test_a_client_that_learns_host_keys_finds_no_bad_signature",
    ),
    "health checks fill the log": (
        f"{SSH}/test_connection.py::test_a_connection_without_a_word_is_logged_for_nobody",
        f"{SSH}/test_haproxy.py::test_haproxys_own_checks_find_the_door_open_and_make_no_noise",
    ),
    "a token is asked for where a key would do": (
        f"{SSH}/test_keys.py::test_a_key_of_the_profile_opens_the_workspace_without_a_prompt",
        f"{SSH}/test_profile_keys.py::test_a_key_opens_once_its_owner_has_signed_in",
    ),
    "an editor's script and SOCKS on one connection": (
        f"{SSH}/test_forwarding.py::test_a_shell_and_socks_share_a_connection_as_an_editor_uses_it",
    ),
    "SFTP alone fails": (f"{SSH}/test_openssh.py::test_sftp_may_be_the_first_and_only_thing_a_connection_does",),
    "scp ends with 1": (f"{SSH}/test_openssh.py::test_scp_copies_both_ways",),
    "what is sent early is lost": (f"{SSH}/test_hostile.py::test_what_is_sent_right_after_the_login_arrives_in_order",),
    "a long transfer breaks at a change of keys": (
        f"{SSH}/test_openssh.py::test_keys_are_changed_many_times_during_transfers_that_cross",
        f"{SSH}/test_pump.py::test_the_gateway_changes_keys_when_enough_was_moved",
    ),
    "many short commands are slow": (
        f"{SSH}/test_verdicts.py::test_five_logins_in_a_row_ask_gitlab_once",
        f"{SSH}/test_profile_keys.py::test_many_logins_ask_gitlab_once",
        f"{SSH}/test_openssh.py::test_short_commands_one_after_the_other_each_say_their_own",
    ),
    "the terminal keeps its old size": (f"{SSH}/test_openssh.py::test_a_new_terminal_size_reaches_the_workspace",),
    "a stopped workspace asks for the password again and again": (
        f"{SSH}/test_connection.py::test_the_owner_of_a_workspace_that_does_not_run_reads_why_at_once",
    ),
    "an agent with many keys never gets to the prompt": (
        f"{SSH}/test_keys.py::test_twenty_keys_of_an_agent_cost_one_question_and_lead_to_the_prompt",
    ),
    "an idle session is cut": (
        f"{SSH}/test_hostile.py::test_an_idle_session_outlives_many_keepalives",
        f"{SSH}/test_relay.py::test_an_end_that_answers_no_keepalive_ends_both",
    ),
    "a client that leaves at the wrong moment leaves something behind": (
        f"{SSH}/test_connection.py::test_a_client_that_leaves_during_the_check_leaves_nothing_behind",
        f"{SSH}/test_connection.py::test_a_client_that_leaves_as_the_workspace_lets_it_in_leaves_nothing_behind",
    ),
    "the client hangs when the pod dies": (
        f"{SSH}/test_upstream.py::test_the_end_of_the_pod_ends_the_session_with_a_word",
        f"{SSH}/test_relay.py::test_an_end_that_vanishes_ends_the_other",
    ),
    "a client that does not read eats memory": (
        f"{SSH}/test_internals.py::test_a_client_that_does_not_read_stops_the_workspace_and_not_the_gateway",
    ),
    "the end of a large output is lost": (
        f"{SSH}/test_openssh.py::test_a_slow_reader_gets_every_byte",
        f"{SSH}/test_openssh.py::test_many_mebibytes_arrive_intact_in_both_directions",
    ),
    "three users of one agent block each other": (
        f"{SSH}/test_forwarding.py::test_a_forwarded_agent_shows_its_keys_in_the_workspace",
    ),
    "behind a load balancer everybody has one address": (
        f"{SSH}/test_haproxy.py::test_a_login_through_haproxy_is_that_of_the_client_behind_it",
        f"{SSH}/test_haproxy.py::test_who_guesses_through_haproxy_is_banned_and_nobody_else",
    ),
    "a warning that the key exchange is not post-quantum": (
        f"{SSH}/test_hostile.py::test_a_client_with_nothing_but_the_post_quantum_exchange_gets_in",
    ),
    "an image without the expected user": (
        f"{SSH}/test_upstream.py::test_an_image_without_the_expected_user_is_named",
    ),
    "an sshd that starts after its workspace": (
        f"{SSH}/test_upstream.py::test_an_sshd_that_starts_a_moment_later_is_waited_for",
    ),
}

SENTENCES = {
    "Permission denied": (f"{SSH}/test_connection.py::test_all_methods_share_three_tries",),
    "workspace … is Stopped, see …": (
        f"{SSH}/test_connection.py::test_the_owner_of_a_workspace_that_does_not_run_reads_why_at_once",
    ),
    "GitLab is not reachable, try again": (
        f"{SSH}/test_connection.py::test_without_gitlab_nobody_enters_and_everybody_is_told",
    ),
    "token needs the read_api scope": (
        f"{SSH}/test_connection.py::test_a_token_without_the_scope_is_told_so_and_another_may_be_tried",
    ),
    "Too many connections": (
        f"{SSH}/test_crowd.py::test_who_finds_no_room_reads_so_and_nobody_else_notices",
        f"{SSH}/test_crowd.py::test_one_session_too_many_is_told_so_and_there_is_room_again_after_one_has_ended",
    ),
    "Gateway is restarting, reconnect": (
        f"{SSH}/test_server.py::test_who_stays_longer_than_the_grace_is_told_to_reconnect",
        f"{SSH}/test_server.py::test_who_is_in_when_it_drains_is_told",
    ),
    "workspace connection lost": (f"{SSH}/test_upstream.py::test_the_end_of_the_pod_ends_the_session_with_a_word",),
    "closed after … without data": (
        f"{SSH}/test_channels.py::test_a_session_without_data_is_closed_and_one_with_data_is_not",
    ),
    "no sshd listens in workspace …": (
        f"{SSH}/test_upstream.py::test_a_service_without_an_ssh_port_is_a_workspace_without_an_sshd",
        f"{SSH}/test_upstream.py::test_a_refused_connection_means_that_no_sshd_listens",
    ),
    "the sshd of workspace … has no user …": (
        f"{SSH}/test_upstream.py::test_an_image_without_the_expected_user_is_named",
    ),
    "workspace … does not answer": (f"{SSH}/test_upstream.py::test_what_is_no_sshd_does_not_answer",),
    "the sshd of workspace … has another host key than before": (
        f"{SSH}/test_pod_keys.py::test_a_changed_key_is_shown_once_logged_and_counted",
    ),
    "Access to the workspace was withdrawn": (
        f"{SSH}/test_recheck.py::test_a_session_ends_with_a_word_when_the_right_to_it_is_lost",
    ),
    "nothing at all, with -q": (f"{SSH}/test_connection.py::test_at_quiet_log_level_only_the_exit_code_tells",),
}


@pytest.mark.parametrize("line", ATTACKS | COMPLAINTS | SENTENCES)
def test_a_line_is_held_by_tests_that_are_there(line: str) -> None:
    """Each of them by its name."""
    named = (ATTACKS | COMPLAINTS | SENTENCES)[line]
    missing = [name for name in named if name.partition("::")[2] not in names_in(name.partition("::")[0])]

    assert named
    assert not missing
