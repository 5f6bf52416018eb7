"""The attempts of `escape_attempts.py` by name, which runs in sandboxes only and so is not imported by tests."""

from __future__ import annotations

NAMES = (
    "proc_is_writable", "proc_sys_is_writable", "sys_is_writable", "core_pattern_and_helpers",
    "kernel_memory_is_readable", "mounts_can_be_changed", "mounts_are_shared_or_name_the_host",
    "the_old_root_is_there", "devices_of_our_own_open", "devices_of_the_host_are_there",
    "descriptors_are_left_open", "proc_leads_out", "signals_reach_outside", "other_processes_can_be_traced",
    "keyrings", "namespaces", "programs_in_the_kernel", "the_machine", "files_by_handle",
    "typing_into_the_terminal", "control_groups", "sockets", "privileges", "the_builders_program_is_writable",
)  # fmt: skip
