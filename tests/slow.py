"""What `make test-quick` leaves out beyond the tests that are marked in place.

Whole modules start programs, sign a repository for each test or serve genuine databases; the tests
named one by one took 0.4 s of CPU or more, or 0.8 s with all their parameters. CPU and not time:
a busy machine changes it little. ``pytest --durations=50 -m "not slow"`` tells of newcomers.
"""

MODULES = frozenset(
    {
        "tests/chart/test_chart.py",
        "tests/chart/test_parts.py",
        "tests/chart/test_values.py",
        "tests/keys/test_vendor_flips.py",
        "tests/mirror/test_access.py",
        "tests/mirror/test_clamav_contracts.py",
        "tests/mirror/test_clamav_native.py",
        "tests/mirror/test_damaged_memory.py",
        "tests/mirror/test_fleet_desk.py",
        "tests/mirror/test_holds_cascade.py",
        "tests/mirror/test_holds_http.py",
        "tests/mirror/test_http_bad_input.py",
        "tests/mirror/test_http_secrets.py",
        "tests/mirror/test_http_signed.py",
        "tests/mirror/test_http_upstream.py",
        "tests/mirror/test_native_cascade.py",
        "tests/mirror/test_native_clamav.py",
        "tests/mirror/test_native_freshclam.py",
        "tests/mirror/test_notify.py",
        "tests/mirror/test_redistribution.py",
        "tests/mirror/test_redistribution_cascade.py",
        "tests/mirror/test_serve_cli.py",
        "tests/mirror/test_tuf_upstream.py",
        "tests/mirror/test_upstream_contracts.py",
        "tests/real/test_lmd.py",
        "tests/test_admission.py",
        "tests/test_config.py",
        "tests/test_ecosystem.py",
        "tests/test_examples.py",
        "tests/test_feed_clients.py",
        "tests/test_feeds.py",
        "tests/test_fleet.py",
        "tests/test_fleet_bad_input.py",
        "tests/test_fleet_notices.py",
        "tests/test_monitoring.py",
        "tests/updater/test_bars.py",
        "tests/updater/test_cli_run.py",
        "tests/updater/test_command_cli.py",
        "tests/updater/test_engine_lies.py",
        "tests/updater/test_fragments.py",
        "tests/updater/test_live_rules.py",
        "tests/updater/test_tuf_cli.py",
        "tests/updater/test_yara_engine.py",
        "tests/updater/test_yara_scanner.py",
    }
)
TESTS = frozenset(
    {
        "tests/chart/test_mirror_pod.py::test_a_founded_volume_and_its_secrets_leave_check_config_no_problem",
        "tests/chart/test_toml.py::test_any_table_of_values_means_the_same_in_the_settings",
        "tests/keys/test_publisher.py::test_versions_only_rise_and_every_state_verifies",
        "tests/keys/test_release.py::test_a_file_list_survives_the_wire_in_any_order",
        "tests/keys/test_signing_signers.py::test_a_key_service_signs_every_online_role",
        "tests/keys/test_trust_delegations.py::test_succinct_bins_are_searched_by_one_request",
        "tests/keys/test_vendor_clamsign.py::test_a_line_whose_range_holds_the_level_is_taken",
        "tests/keys/test_vendor_minisign.py::test_one_changed_byte_of_a_signature_is_refused_beyond_its_untrusted_comment",
        "tests/keys/test_vendor_rsa.py::test_a_modulus_of_2047_bits_is_served_as_the_vendors_is",
        "tests/mirror/test_app_stop.py::test_an_address_that_is_taken_is_told_in_one_line",
        "tests/mirror/test_archives.py::test_one_flipped_byte_of_the_packed_archive_never_changes_a_file",
        "tests/mirror/test_archives.py::test_whatever_the_names_only_paths_a_release_may_hold_come_out",
        "tests/mirror/test_clamav_layout.py::test_versions_that_were_told_are_read_back",
        "tests/mirror/test_cli_pull.py::test_a_vendor_is_probed_and_pulled_over_http",
        "tests/mirror/test_cli_pull.py::test_the_console_script_runs_from_the_environment",
        "tests/mirror/test_files_names.py::test_a_hostile_path_is_not_found",
        "tests/mirror/test_files_serving.py::test_latest_is_what_a_customers_licence_covers",
        "tests/mirror/test_files_serving.py::test_programs_and_documents_are_for_licences_that_bring_them",
        "tests/mirror/test_fragments.py::test_what_show_prints_is_what_push_takes",
        "tests/mirror/test_handover.py::test_a_handover_that_was_never_completed_is_taken_back",
        "tests/mirror/test_http_cut.py::test_without_a_strong_entity_tag_nothing_is_pieced_together",
        "tests/mirror/test_ignores.py::test_an_order_that_cannot_be_is_refused",
        "tests/mirror/test_journal.py::test_writers_at_once_make_one_chain",
        "tests/mirror/test_rollout.py::test_what_is_needed_is_never_dropped",
        "tests/mirror/test_status.py::test_a_choice_that_the_vendor_no_longer_offers_is_an_open_problem",
        "tests/mirror/test_task_commands.py::test_what_cannot_be_a_task_is_refused_by_name",
        "tests/mirror/test_tracks.py::test_orders_hold_for_a_repository_that_passes_through",
        "tests/mirror/test_web_repository.py::test_no_other_name_exists",
        "tests/mirror/test_web_repository.py::test_no_request_fails_while_releases_are_published",
        "tests/mirror/test_web_repository.py::test_one_range_is_sent",
        "tests/test_benchmarks.py::test_an_account_leaves_a_childs_memory_out",
        "tests/test_benchmarks.py::test_the_program_lists_its_groups",
        "tests/test_threat_model.py::test_every_test_the_threat_model_names_exists",
        "tests/updater/test_ignoring.py::test_a_hostile_list_is_refused_and_the_last_one_stays_until_its_end",
        "tests/updater/test_plan.py::test_a_channel_never_goes_back_unless_its_track_points_lower",
        "tests/updater/test_plan.py::test_a_quarantined_combination_is_never_chosen",
        "tests/updater/test_plan.py::test_a_second_plan_after_the_first_was_followed_keeps",
        "tests/updater/test_plan.py::test_nothing_beyond_the_track_or_the_licence_is_chosen",
        "tests/updater/test_setup.py::test_on_the_running_system_systemd_is_told_and_undo_leaves_no_trace",
        "tests/updater/test_setup_service.py::test_the_services_user_can_change_nothing_beyond_its_state",
        "tests/updater/test_setup_texts.py::TestDirectives::test_every_other_line_stays_byte_for_byte",
        "tests/updater/test_state.py::test_a_state_comes_back_from_disk_as_it_was",
        "tests/updater/test_vendor_check.py::test_the_canonical_form_of_a_genuine_database_detects_in_a_real_clamd",
    }
)


def is_slow(nodeid: str) -> bool:
    """Tell whether a test is one of them; its parameters do not matter."""
    name = nodeid.partition("[")[0]
    return name in TESTS or name.partition("::")[0] in MODULES
