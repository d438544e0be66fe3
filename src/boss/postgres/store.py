"""The functions of the store, one for each statement; each statement stands beside its function.

Every function is one transaction, and serves many requests at once where many may wait (coalescer.py).
"""

from boss.postgres.asking import asked, record_asked
from boss.postgres.audit import audit_events
from boss.postgres.changes import change
from boss.postgres.converters import Heard, converters, record_converters
from boss.postgres.dashboard import failed, place_in_queue
from boss.postgres.dependents import (
    DEPENDENTS_CHANNEL,
    record_missed_ends,
    release_dependents,
    submit_after,
    unmet,
)
from boss.postgres.diagnosis import ages, examine, reach
from boss.postgres.ends import ENDED_CHANNEL, await_ends, forget_awaited
from boss.postgres.expiries import expire
from boss.postgres.finding import Walk, records, sort_few, walk_done
from boss.postgres.finishes import finish, give_back, set_aside
from boss.postgres.gathering import done_of_source, gather
from boss.postgres.history import count_history, history, recent
from boss.postgres.leases import EndedLease, check, end_leases
from boss.postgres.lists import count, find, greatest_ids, list_jobs
from boss.postgres.maintenance import (
    OUTAGE_S,
    PendingWork,
    compact_counts,
    forget_gone_replicas,
    make_due,
    pending_work,
    resume_leases,
)
from boss.postgres.moving import Batch, Moved, delete, record_stop, redo, redo_many, walk_open
from boss.postgres.notes import leave_notes
from boss.postgres.queue_survey import survey
from boss.postgres.reads import any_ready, database_time, locate, read
from boss.postgres.replicas import CHANNEL, start_waiting, stop_waiting
from boss.postgres.retention import (
    JOB,
    MOST_IDS,
    Looked,
    delete_old,
    look_at_done,
    prunable,
    prune_by,
    sources_in_volumes,
)
from boss.postgres.scan_cursors import Heads, available_sources, heads
from boss.postgres.schedules import (
    Step,
    delete_schedule,
    due_schedules,
    schedule,
    schedules,
    set_schedule,
    step_schedules,
)
from boss.postgres.source_limits import RateWait, delete_source, rate_waits, set_source_rule, source_rules
from boss.postgres.submits import first_refused, submit
from boss.postgres.takes import Handout, take, take_of_sources
from boss.postgres.takes_by_address import take_by_address
from boss.postgres.takes_by_key import take_again, take_by_key, take_of_sources_by_key
from boss.postgres.takes_within_limits import any_allowed, take_of_several, take_within_limits
from boss.postgres.tokens import create_token, list_tokens, revoke_token, used_tokens, valid_tokens
from boss.postgres.undone_takes import undo_takes
from boss.postgres.volumes import (
    Volume,
    compact_volume_counts,
    counted_empty,
    date_done,
    empty_volume,
    empty_volume_by,
    list_volumes,
    mend_volume,
    move_done,
    oldest_done,
)

__all__ = [
    "CHANNEL",
    "DEPENDENTS_CHANNEL",
    "ENDED_CHANNEL",
    "JOB",
    "MOST_IDS",
    "OUTAGE_S",
    "Batch",
    "EndedLease",
    "Handout",
    "Heads",
    "Heard",
    "Looked",
    "Moved",
    "PendingWork",
    "RateWait",
    "Step",
    "Volume",
    "Walk",
    "ages",
    "any_allowed",
    "any_ready",
    "asked",
    "audit_events",
    "available_sources",
    "await_ends",
    "change",
    "check",
    "compact_counts",
    "compact_volume_counts",
    "converters",
    "count",
    "count_history",
    "counted_empty",
    "create_token",
    "database_time",
    "date_done",
    "delete",
    "delete_old",
    "delete_schedule",
    "delete_source",
    "done_of_source",
    "due_schedules",
    "empty_volume",
    "empty_volume_by",
    "end_leases",
    "examine",
    "expire",
    "failed",
    "find",
    "finish",
    "first_refused",
    "forget_awaited",
    "forget_gone_replicas",
    "gather",
    "give_back",
    "greatest_ids",
    "heads",
    "history",
    "leave_notes",
    "list_jobs",
    "list_tokens",
    "list_volumes",
    "locate",
    "look_at_done",
    "make_due",
    "mend_volume",
    "move_done",
    "oldest_done",
    "pending_work",
    "place_in_queue",
    "prunable",
    "prune_by",
    "rate_waits",
    "reach",
    "read",
    "recent",
    "record_asked",
    "record_converters",
    "record_missed_ends",
    "record_stop",
    "records",
    "redo",
    "redo_many",
    "release_dependents",
    "resume_leases",
    "revoke_token",
    "schedule",
    "schedules",
    "set_aside",
    "set_schedule",
    "set_source_rule",
    "sort_few",
    "source_rules",
    "sources_in_volumes",
    "start_waiting",
    "step_schedules",
    "stop_waiting",
    "submit",
    "submit_after",
    "survey",
    "take",
    "take_again",
    "take_by_address",
    "take_by_key",
    "take_of_several",
    "take_of_sources",
    "take_of_sources_by_key",
    "take_within_limits",
    "undo_takes",
    "unmet",
    "used_tokens",
    "valid_tokens",
    "walk_done",
    "walk_open",
]
