"""Which test shows which case of the conformance suite's security.json, and the same as the table in SECURITY.md.

`python -m support.escape_cases` (in tests/) writes the table of SECURITY.md again, between its two marks.
"""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "SECURITY.md"
BEGIN, END = "<!-- cases: begin -->\n", "<!-- cases: end -->\n"

_UNPACK = "unit/tree/test_tree_unpack"
_BUILD, _SANDBOX = "integration/test_build_security", "integration/test_sandbox_security"
_WAYS, _RACES, _CALLS = (f"integration/test_escape_{name}" for name in ("attempts", "races", "syscalls"))
_INPUT, _SECRETS = "integration/test_escape_input", "integration/test_secrets_everywhere"
_LOCAL, _OPEN, _GIT, _REMOTE, _IGNORE = (
    f"unit/context/test_{name}"
    for name in ("context_local", "context_open", "context_git", "context_remote", "patterns_ignore")
)  # fmt: skip
_PULL, _TRANSPORT, _DOWNLOAD, _LOGINS = (
    f"unit/registry/test_registry_{name}" for name in ("pull", "transport", "download", "credentials")
)
_PUSH, _UPLOAD = "unit/registry/test_registry_push", "unit/registry/test_registry_upload"
_STREAM = "unit/registry/test_registry_streaming"
_LOGGING_IN = "integration/test_login_command"
_REFERRERS = "unit/registry/test_registry_referrers"
_TRANSFER, _SIGNATURES = "unit/transfer/test_transfer_copy", "unit/transfer/test_transfer_signatures"
_ANALYSE = "unit/analyze/test_analyze_analyse"
_COPY, _USER, _KEYS = "unit/build/test_copy_step", "unit/oci/test_oci_user", "unit/cache/test_cache_keys"

_NAMED = (
    "absolute-name", "hardlink-to-symlink", "hardlink-fallback", "long-symlink-chain", "empty-link-name", "metadata-follow",
    "whiteout-dotdot", "whiteout-bare", "whiteout-through-symlink", "whiteout-same-layer", "aufs-metadata", "overlay-xattr",
    "security-xattr", "setuid-store", "device-node", "fifo-socket", "sparse-map", "pax-bomb", "truncated-and-trailing",
    "diffid-mismatch", "terminal-escape",
)  # fmt: skip
"""Cases whose tests are named as they are."""

CASES: dict[str, dict[str, tuple[str, ...]]] = {
    "layer-unpack": {
        f"unpack-{name}": (f"{_UNPACK}::test_unpack_{name.replace('-', '_')}",) for name in _NAMED
    }
    | {
        "unpack-terminal-escape": (
            f"{_UNPACK}::test_unpack_terminal_escape", f"{_INPUT}::test_nothing_of_an_image_reaches_the_terminal_raw",
        ),
        "unpack-setuid-store": (f"{_UNPACK}::test_unpack_setuid_store", f"{_BUILD}::test_nobody_else_can_reach_the_store"),
        "unpack-fifo-socket": (
            f"{_UNPACK}::test_unpack_fifo_socket",
            f"{_COPY}::test_a_socket_becomes_an_empty_file_and_a_fifo_stays",
        ),
    },
    "context-and-dockerfile": {
        "copy-context-symlink-dir": (
            f"{_COPY}::test_a_context_link_to_the_hosts_root_finds_only_the_context",
            f"{_LOCAL}::test_symlinks_end_at_the_root_of_the_context",
        ),
        "copy-toctou-swap": (
            f"{_BUILD}::test_a_context_file_swapped_for_a_link_never_brings_in_the_host",
            f"{_COPY}::test_a_file_that_changes_between_digest_and_copy_is_an_error",
            f"{_LOCAL}::test_a_directory_swapped_for_a_symlink_is_not_followed",
        ),
        "dockerignore-symlink": (f"{_OPEN}::test_an_ignore_file_that_leads_out_of_the_context_is_refused_and_not_shown",),
        "dockerfile-symlink": (f"{_OPEN}::test_a_dockerfile_that_is_a_symlink_out_of_the_context_is_refused",),
        "dockerignore-redos": (
            f"{_BUILD}::test_a_pattern_that_backtracks_does_not_take_long",
            f"{_IGNORE}::test_many_wildcards_do_not_run_away", f"{_IGNORE}::test_fifty_thousand_patterns_are_matched",
            f"{_IGNORE}::test_walking_agrees_with_a_port_of_mobys_matcher",
        ),
        "copy-dest-symlink-in-rootfs": (
            f"{_BUILD}::test_nothing_of_a_stage_leads_to_the_host",
            f"{_RACES}::test_a_step_beside_a_copy_cannot_move_its_destination",
        ),
        "copy-from-stage-symlink": (
            f"{_BUILD}::test_nothing_of_a_stage_leads_to_the_host",
            f"{_COPY}::test_a_link_in_a_stage_is_resolved_in_that_stage",
        ),
        "workdir-proc-self-fd": (
            f"{_SANDBOX}::test_working_directory_behind_a_descriptor",
            f"{_SANDBOX}::test_working_directory_behind_a_symlink_to_a_descriptor",
            f"{_BUILD}::test_no_descriptor_of_the_host_is_a_working_directory",
        ),
        "git-ref-option": (
            f"{_GIT}::test_what_git_could_take_for_an_option_is_refused_before_it_starts",
            "unit/dockerfile/test_dockerfile_gitref::test_what_git_could_misread_is_refused",
        ),
        "git-subdir-escape": (f"{_GIT}::test_a_subdirectory_that_leads_outside_or_is_none_is_refused",),
        "git-credentials-leak": (
            f"{_GIT}::test_a_token_is_in_no_argument_message_or_file",
            f"{_BUILD}::test_a_credential_in_a_url_is_in_no_message_record_or_image",
            f"{_SECRETS}::test_a_password_in_the_url_of_an_add_is_in_no_record",
        ),
        "add-url-ssrf": (
            f"{_REMOTE}::test_metadata_addresses_are_refused", f"{_REMOTE}::test_only_http_is_fetched",
            f"{_REMOTE}::test_a_redirect_to_a_refused_place_is_refused",
            f"{_REMOTE}::test_a_name_is_judged_by_the_address_it_connects_to",
            f"{_REMOTE}::test_addresses_in_disguise_are_refused",
            f"{_INPUT}::test_an_address_of_the_metadata_service_or_a_file_is_not_fetched",
        ),
        "add-url-checksum": (
            f"{_REMOTE}::test_a_checksum_that_does_not_fit_fails_and_leaves_nothing",
            f"{_GIT}::test_a_checksum_must_be_the_commits_beginning",
            f"{_INPUT}::test_a_checksum_holds_for_another_address_with_a_warm_cache",
        ),
        "syntax-directive-frontend": (f"{_BUILD}::test_a_syntax_directive_is_never_fetched_nor_run",),
        "parser-bomb": (f"{_BUILD}::test_a_bomb_ends_in_bounded_time_and_memory_with_a_place",),
        "env-doubling": (f"{_BUILD}::test_doubling_variables_end_at_a_limit_with_the_line",),
        "dockerfile-bidi-nul": (
            "unit/dockerfile/test_dockerfile_parse::test_nul_is_refused_with_its_place",
            f"{_INPUT}::test_nothing_that_a_step_or_a_dockerfile_says_reaches_the_terminal_raw",
            "unit/cli/test_cli_check::test_hidden_characters_are_found_with_their_place",
            "unit/cli/test_cli_check::test_no_character_of_the_file_reaches_the_terminal_raw",
        ),
        "user-overflow": (
            f"{_BUILD}::test_ids_out_of_range_are_refused_and_never_become_root",
            f"{_USER}::test_numbers_that_would_wrap_are_refused",
        ),
        "user-supplementary-groups": (
            f"{_BUILD}::test_groups_are_the_images_and_never_the_builders",
            f"{_USER}::test_an_explicit_group_drops_the_supplementary_ones",
        ),
    },
    "run-sandbox-and-mounts": {
        "cache-mount-source-symlink": (
            f"{_SANDBOX}::test_cache_sources_cannot_lead_out_of_the_cache",
            f"{_RACES}::test_a_source_in_a_cache_is_never_a_path_of_the_host",
        ),
        "bind-from-symlink-root": (
            f"{_SANDBOX}::test_stage_paths_cannot_lead_to_the_host", f"{_BUILD}::test_nothing_of_a_stage_leads_to_the_host",
        ),
        "bind-propagation-option": (
            "unit/dockerfile/test_dockerfile_mounts::test_a_mount_that_makes_no_sense_is_refused",
            "unit/dockerfile/test_dockerfile_mounts::test_a_field_in_double_quotes_may_hold_commas",
            f"{_WAYS}::test_a_way_out_is_closed",
        ),
        "image-proc-sys-symlink": (
            f"{_SANDBOX}::test_an_image_with_a_symlink_in_place_of_a_mount_point",
            f"{_BUILD}::test_an_image_with_odd_proc_and_sys_builds_in_fresh_ones",
        ),
        "masked-path-null": (
            f"{_SANDBOX}::test_masks_do_not_use_the_images_devices",
            f"{_SANDBOX}::test_an_image_with_files_below_a_mount_point",
        ),
        "proc-sys-write": (f"{_SANDBOX}::test_kernel_settings_cannot_be_written", f"{_WAYS}::test_a_way_out_is_closed"),
        "leaked-fd": (f"{_SANDBOX}::test_only_three_descriptors", f"{_WAYS}::test_a_way_out_is_closed"),
        "host-env-leak": (f"{_BUILD}::test_a_step_sees_nothing_of_the_builders_environment_and_state",),
        "credential-file-leak": (
            f"{_SANDBOX}::test_environment_and_files_of_the_builder_are_not_there",
            f"{_BUILD}::test_a_step_sees_nothing_of_the_builders_environment_and_state",
        ),
        "capabilities": (
            "contract/test_sandbox_contract::test_capabilities_are_dockers_for_root",
            f"{_SANDBOX}::test_capabilities_do_not_help_out", f"{_WAYS}::test_a_way_out_is_closed",
        ),
        "nested-userns": (
            f"{_SANDBOX}::test_nested_user_namespaces_are_refused",
            f"{_CALLS}::test_each_call_is_answered_as_in_a_container_of_docker",
        ),
        "network-none": (
            f"{_BUILD}::test_a_network_of_none_reaches_nothing",
            f"{_SANDBOX}::test_abstract_sockets_of_the_host_are_out_of_reach_with_its_network_too",
        ),
        "tiocsti": (
            f"{_SANDBOX}::test_typing_into_a_terminal_is_refused", f"{_SANDBOX}::test_no_controlling_terminal",
            f"{_CALLS}::test_typing_into_a_terminal_is_refused_whatever_the_high_bits",
        ),
    },
    "secrets-and-cache": {
        "build-arg-secret": (
            f"{_BUILD}::test_a_proxy_with_a_password_is_in_no_layer_history_or_key",
            f"{_SECRETS}::test_a_proxy_with_a_password_is_in_no_record",
            "unit/cli/test_cli_check::test_a_secret_in_a_build_argument_is_warned_of",
            "integration/test_attestations::test_provenance_says_what_was_built_and_no_secret",
            "integration/test_attestations::test_the_shorter_statement_has_no_values_of_arguments",
        ),
        "deleted-file-still-there": (
            "unit/analyze/test_analyze_analyse::test_a_deleted_secret_is_said_whatever_its_size",
            "integration/test_analyze_command::test_findings_name_the_line_of_the_dockerfile_and_what_is_hidden",
        ),
        "cache-backend-credentials": (
            f"{_SECRETS}::test_the_login_of_a_registry_is_nowhere",
            "unit/cli/test_cli_cache_places::test_a_bucket_takes_its_region_from_the_environment_and_shows_no_secret",
            "integration/test_cache_travels::test_no_secret_variable_or_command_is_in_what_a_cache_says",
            f"{_LOGGING_IN}::test_no_secret_is_in_anything_that_is_said_or_kept",
            f"{_LOGGING_IN}::test_a_password_on_the_command_line_is_taken_out_of_it",
            f"{_LOGGING_IN}::test_a_crash_shows_no_login",
        ),
        "cache-key-completeness": (
            f"{_KEYS}::test_everything_that_a_command_sees_is_in_its_key", f"{_KEYS}::test_how_a_copy_copies_is_in_its_key",
            f"{_KEYS}::test_a_base_is_keyed_by_its_image_and_not_by_its_name",
            "integration/test_cache_precision::test_what_stands_only_in_the_config_makes_another_image_and_runs_nothing",
            "integration/test_cache_precision::test_run_steps_of_scratch_never_come_from_another_users_or_networks_step",
        ),
        "prune-follow-symlink": (
            "unit/store/test_store_prune::test_prune_follows_no_symlink_and_opens_closed_directories",
            "unit/store/test_store_prune::test_what_is_mounted_in_a_leftover_is_not_deleted",
            f"{_BUILD}::test_prune_follows_no_link_of_a_layer",
        ),
        "predictable-temp": (
            "unit/store/test_store_open::test_names_others_made_before_are_not_followed",
            f"{_INPUT}::test_another_users_links_beside_an_output_lead_nowhere",
            f"{_INPUT}::test_another_users_directory_in_the_place_of_the_store_is_refused",
        ),
    },
    "registry-client": {
        "authorization-cross-redirect": (
            f"{_TRANSPORT}::test_a_redirect_to_another_port_is_followed_without_the_login",
            f"{_TRANSPORT}::test_https_never_leads_to_http",
            f"{_DOWNLOAD}::test_the_login_does_not_follow_the_blob_to_its_storage",
            "unit/registry/test_registry_tokens::test_a_login_is_not_told_to_where_a_redirect_leads",
            "unit/registry/test_registry_tokens::test_tokens_and_passwords_stay_with_their_origin",
        ),
        "upload-location-other-host": (
            f"{_PUSH}::test_no_login_goes_to_an_upload_on_another_host",
            f"{_PUSH}::test_no_login_goes_to_a_stream_on_another_host",
            f"{_PUSH}::test_a_401_from_there_is_not_answered",
            f"{_PUSH}::test_an_upload_is_not_sent_to_odd_places",
            f"{_PUSH}::test_a_redirect_that_keeps_the_method_is_followed_without_the_login",
        ),
        "manifest-digest-mismatch": (f"{_PULL}::test_another_manifest_than_the_digest_names_is_refused",),
        "digest-header-trusted": (f"{_PULL}::test_the_digest_of_the_header_is_compared_and_never_taken",),
        "digest-grammar": (
            f"{_PULL}::test_a_digest_is_checked_before_an_address_is_made_of_it",
            "unit/oci/test_oci_manifest::test_digests_are_checked_against_their_grammar",
            "contract/test_store_blobs::test_no_path_is_made_of_what_is_no_digest",
            f"{_UPLOAD}::test_a_digest_is_checked_before_an_address_is_made_of_it",
        ),
        "index-recursion": (
            f"{_PULL}::test_indexes_in_indexes_end", f"{_PULL}::test_an_index_of_too_many_entries_is_refused",
            f"{_TRANSFER}::test_index_recursion_and_numbers_are_bounded",
        ),
        "name-and-tag-injection": (
            f"{_PULL}::test_a_name_or_tag_is_checked_before_an_address_is_made_of_it",
            f"{_PUSH}::test_what_is_not_a_name_is_put_into_no_address",
        ),
        "http-downgrade": (f"{_TRANSPORT}::test_tls_that_fails_never_becomes_plain_http",),
        "pagination-link": (
            f"{_PULL}::test_pages_without_end_are_not_followed_for_ever",
            f"{_PULL}::test_a_page_that_leads_to_itself_is_read_once",
            "unit/registry/test_registry_faults::test_the_next_page_is_in_the_same_repository_of_the_same_origin",
            f"{_REFERRERS}::test_pagination_link_to_another_place_is_not_followed",
            f"{_REFERRERS}::test_pagination_without_end_is_bounded",
        ),
        "range-lies": (
            f"{_DOWNLOAD}::test_the_whole_blob_instead_of_a_range_is_not_written_twice",
            f"{_DOWNLOAD}::test_a_range_from_earlier_on_is_not_written_twice",
            f"{_DOWNLOAD}::test_a_range_that_is_no_continuation_begins_the_blob_again",
            "unit/registry/test_registry_resume::test_bytes_that_were_spoilt_meanwhile_cost_a_transfer_and_nothing_else",
            f"{_UPLOAD}::test_a_range_that_lies_never_makes_a_wrong_blob",
            f"{_UPLOAD}::test_a_status_that_lies_never_makes_a_wrong_blob",
            f"{_UPLOAD}::test_a_registry_that_lies_always_is_left",
            f"{_UPLOAD}::test_a_416_asks_what_is_there",
            f"{_STREAM}::test_a_registry_that_says_it_has_something_else_gets_the_rest_or_all_again",
            f"{_STREAM}::test_another_layer_than_was_wanted_is_never_ended",
        ),
        "mount-lies": (
            f"{_UPLOAD}::test_a_mount_that_is_a_lie_is_found_out",
            f"{_UPLOAD}::test_a_source_that_may_not_be_read_is_no_failure",
            f"{_PUSH}::test_a_mount_that_lies_ends_with_a_manifest_whose_blobs_are_there",
            f"{_PUSH}::test_a_registry_that_loses_everything_is_said_to",
        ),
        "platform-confusion": (
            "unit/transfer/test_transfer_copy::test_an_image_that_is_there_alone_is_not_taken_for_another_platform",
            f"{_PULL}::test_a_config_for_another_platform_than_the_index_says_is_refused",
            f"{_PULL}::test_no_image_for_the_platform_is_an_error_that_lists_what_there_is",
        ),
        "schema1": (f"{_PULL}::test_schema_1_is_refused_with_an_explanation",),
        "referrer-spoof": (
            f"{_REFERRERS}::test_referrer_spoof_of_another_subject_is_left_out_and_told",
            f"{_REFERRERS}::test_referrer_spoof_bad_fallback_tag_is_reported_and_not_overwritten",
            f"{_SIGNATURES}::test_referrer_spoof_a_good_signature_of_another_image_proves_nothing",
            f"{_SIGNATURES}::test_referrer_spoof_an_artifact_of_another_image_is_not_looked_at",
        ),
        "credential-helper-name": (
            f"{_LOGINS}::test_a_helper_with_a_harmful_name_is_not_run", f"{_LOGINS}::test_a_helper_gets_no_shell",
            "unit/registry/test_registry_logins::test_a_helper_with_a_harmful_name_is_given_nothing",
        ),
        "oci-layout-symlink": (
            "unit/store/test_store_hostile::test_blobs_of_a_layout_are_regular_files",
            "unit/store/test_store_hostile::test_documents_of_a_layout_are_regular_files",
            "unit/bases/test_bases_files::test_links_and_pipes_in_a_layout_are_refused",
            f"{_TRANSFER}::test_oci_layout_symlink_or_pipe_reaches_no_target",
        ),
        "docker-archive-paths": (
            "unit/store/test_store_hostile::test_layers_are_looked_up_only_in_the_archive",
            "unit/store/test_store_hostile::test_layer_that_is_a_link_is_refused",
            f"{_TRANSFER}::test_docker_archive_paths_lead_nowhere_outside",
        ),
    },
    "analysis-slim-sbom-export": {
        "analysis-executes-image": (f"{_ANALYSE}::test_nothing_of_an_image_is_imported_or_run",),
        "record-traversal": (
            "unit/analyze/test_analyze_record::test_a_record_that_leads_outside_is_marked_and_the_rest_counts",
            "unit/analyze/test_analyze_ownership::test_a_record_that_names_what_is_not_the_packages_takes_nothing_outside",
        ),
        "entrypoint-traversal": (
            f"{_ANALYSE}::test_nothing_of_an_image_is_imported_or_run",
            "unit/analyze/test_analyze_starts::test_a_command_that_leads_outside_finds_nothing_of_the_host",
        ),
        "elf-malformed": (
            f"{_ANALYSE}::test_what_lies_is_a_fault_and_the_rest_counts",
            "unit/analyze/test_analyze_elf::test_names_that_overlap_are_not_copied_without_end",
            "unit/analyze/test_analyze_elf::test_sizes_that_are_claimed_allocate_nothing",
            "unit/analyze/test_analyze_elf::test_a_chain_of_versions_that_leads_back_ends",
        ),
        "model-file-parsing": (
            f"{_ANALYSE}::test_nothing_of_an_image_is_imported_or_run",
            f"{_ANALYSE}::test_what_lies_is_a_fault_and_the_rest_counts",
        ),
        "sbom-metadata-injection": (
            "unit/analyze/test_bill::test_any_name_and_version_come_back",
            "unit/analyze/test_bill::test_cyclonedx_keeps_its_schema",
        ),
        "export-over-existing": (
            "integration/test_outputs::test_an_output_replaces_a_symlink_and_does_not_write_through_it",
            "integration/test_outputs::test_a_fifo_at_the_destination_does_not_hang",
        ),
        "slim-removes-needed": (),
    },
}  # fmt: skip
"""Area → case → the tests that show it, as FILE::TEST below tests/, without `.py`."""

AWAITED = {
    "slim-removes-needed": "slim",
}
"""Cases of which a part waits for a command or flag that is not there yet; a test says when it comes."""


def all_tests() -> list[str]:
    """Node IDs without parameters, each once."""
    found = {test for cases in CASES.values() for tests in cases.values() for test in tests}
    return sorted(f"tests/{test.replace('::', '.py::')}" for test in found)


def table() -> str:
    lines = ["| case | shown by |", "|---|---|"]
    for area, cases in CASES.items():
        lines.append(f"| **{area}** | |")
        for case, tests in cases.items():
            shown = [
                f"`{file.rpartition('/')[2]}`: {name[5:].replace('_', ' ')}"
                for file, name in (t.split("::") for t in tests)
            ]
            if case in AWAITED:
                shown.append(f"({'partly' if tests else 'wholly'} of `{AWAITED[case]}`, which is not there yet)")
            lines.append(f"| {case} | {'<br>'.join(shown)} |")
    return "\n".join(lines) + "\n"


def with_table(page: str) -> str:
    """The page with its table as it is to be."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
