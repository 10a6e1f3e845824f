//! What can be wrong with a store.

/// Faults, each with the case that must find it.
macro_rules! faults {
    ($($fault:ident => $case:literal,)*) => {
        /// Something that a store might do wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Fault {
            $($fault,)*
        }

        /// Each fault with the case that must find it.
        pub(crate) const PLANTED: &[(Fault, &str)] = &[$((Fault::$fault, $case),)*];
    };
}

faults! {
    // enqueue
    BatchHalfStored => "enqueue::e2_a_batch_with_one_job_that_cannot_be_stored_stores_nothing_and_comes_back",
    BatchReversed => "enqueue::e2_outcomes_and_jobs_stand_in_the_order_of_the_batch",
    JobKeyIgnored => "enqueue::e3_a_job_key_yields_the_job_that_exists_in_whatever_state",
    DedupIgnored => "dedup::e4_a_key_is_taken_while_its_job_is_live",
    DedupFolded => "dedup::e4_awkward_keys_are_told_apart",
    HoldIgnored => "dedup::e4_throttle_holds_the_key_for_its_period_and_to_the_moment",
    PayloadAsText => "enqueue::e5_payloads_and_results_come_back_byte_for_byte",
    OptionsLost => "enqueue::every_field_of_a_job_comes_back",
    TagsLost => "enqueue::every_field_of_a_job_comes_back",
    ParentUnchecked => "enqueue::l2_a_child_is_enqueued_only_under_its_parents_current_lease",
    ParentLost => "enqueue::every_field_of_a_job_comes_back",
    FlowLost => "flows::n4_a_flow_can_be_looked_at_and_cancelled_whole",
    DependenciesIgnored => "dependencies::n1_a_job_stays_blocked_until_all_its_dependencies_have_completed",
    UnblockedForgotten => "dependencies::an_answer_names_the_jobs_that_it_left_without_an_open_dependency",
    // order
    RankIgnored => "order::o1_a_better_rank_goes_first_however_late_it_came",
    RankReversed => "order::o2_each_priority_mode_says_which_end_goes_first",
    AgeingIgnored => "order::o3_with_ageing_a_worse_rank_waits_for_a_bounded_time",
    DueIgnored => "order::o4_a_delayed_job_is_leasable_at_exactly_its_moment",
    DueLate => "order::o4_a_delayed_job_is_leasable_at_exactly_its_moment",
    ExpiryIgnored => "expiry::r5_a_job_that_has_not_started_by_its_expiry_is_never_leased",
    AnswerReversed => "order::o1_any_mixture_comes_out_in_order_one_by_one_and_all_at_once",
    MaxOffByOne => "order::no_more_than_max_jobs_are_leased",
    AgainNever => "order::o4_a_dequeue_that_finds_nothing_says_when_to_look_again",
    AgainLate => "rate::g4_the_moment_to_look_again_is_exact",
    AgainAlwaysNow => "order::look_again_is_now_only_where_max_stopped_the_dequeue",
    TiesById => "order::o1_among_equal_moments_the_first_enqueued_goes_first",
    TiesReversed => "order::o1_any_mixture_comes_out_in_order_one_by_one_and_all_at_once",
    NoticeNeeded => "order::o4_a_delayed_job_is_leasable_at_exactly_its_moment",
    // lease
    SameJobsAgain => "lease::l1_a_leased_job_is_not_leased_again_even_when_its_lease_has_run_out",
    TokenConstant => "lease::l1_every_lease_of_a_job_has_a_larger_token",
    TokenUnchecked => "lease::l2_a_stale_lease_cannot_complete_the_job",
    VersionUnchecked => "lease::l2_neither_token_nor_version_alone_opens_a_guard",
    LeaseForEver => "lease::l1_a_dequeue_gives_an_exclusive_lease_with_an_end",
    StaleExtends => "lease::l2_a_stale_lease_cannot_extend_or_tell_of_progress",
    ExtensionAddsUp => "lease::l2_an_extension_lasts_from_now_and_leaves_the_version_alone",
    ProgressLost => "lease::l2_progress_is_kept_until_there_is_news",
    CancelUntold => "control::c1_an_active_job_is_told_by_its_next_heartbeat",
    ExtendAnswersReversed => "lease::l2_extensions_are_answered_one_by_one_in_order",
    LostLeasesMissed => "takeover::l3_a_lease_is_lost_at_exactly_its_end",
    OverdueReversed => "takeover::l4_lost_leases_are_listed_in_the_order_in_which_they_ran_out",
    OverduePageRepeats => "takeover::l4_pages_of_what_is_overdue_go_on_where_the_last_one_ended",
    ExpiredMissed => "expiry::r5_an_expired_job_ends_as_expired_in_whatever_state_it_waited",
    SweepBlind => "flows::n5_a_release_that_was_lost_is_found_by_the_sweep",
    ExtensionRaisesVersion => "lease::l2_an_extension_lasts_from_now_and_leaves_the_version_alone",
    LeaseEndsItself => "takeover::l3_a_lease_that_ran_out_is_its_holders_until_it_is_taken_over",
    RunOutUnchecked => "takeover::l3_a_lease_that_was_extended_meanwhile_is_not_taken_over",
    StallUncounted => "takeover::l3_a_take_over_counts_a_stall_and_returns_the_job_to_its_old_place",
    // outcome
    ResultLost => "outcome::r1_success_completes_with_its_result",
    CourseLost => "outcome::r1_failure_retries_after_the_backoff_until_attempts_are_used_up",
    PlaceLost => "partitions::p2_a_job_that_is_to_be_retried_keeps_its_place_and_the_partition_waits",
    PlaceAlwaysKept => "partitions::p2_by_choice_a_job_that_is_put_off_yields",
    NewPayloadLost => "dedup::e4_debounce_replaces_payload_and_moment_of_a_job_that_has_not_started",
    ExpiryNeverDropped => "control::c2_an_old_expiry_does_not_count_after_a_retry",
    FirstFailureStops => "outcome::r7_a_settle_that_fails_for_one_job_does_not_fail_its_siblings",
    ApplyReversed => "outcome::two_transitions_of_one_job_in_one_call_see_each_other",
    // queues and limits
    LimitOffByOne => "limits::g1_no_more_leases_are_live_than_the_queue_allows",
    RateOffByOne => "rate::g1_the_rate_holds_in_every_sliding_window",
    WindowTooShort => "rate::g1_a_start_leaves_the_window_after_exactly_one_period",
    LimitsFrozen => "limits::g3_a_raised_limit_takes_effect_at_the_next_dequeue_of_every_process",
    PartitionUnbounded => "partitions::p1_by_default_one_job_of_a_partition_runs_at_a_time",
    PartitionPerJob => "partitions::p2_jobs_of_a_partition_run_strictly_in_order",
    PauseIgnored => "queues::q1_a_paused_queue_gives_out_nothing_until_it_is_resumed",
    PauseForgotten => "queues::q1_pause_is_stored_and_declaring_does_not_end_it",
    QueuesUnsorted => "queues::queues_are_listed_by_name",
    UnknownQueueTolerated => "queues::a_queue_that_was_never_declared_is_unknown_to_every_call",
    RateByBucket => "rate::g1_the_rate_holds_in_every_sliding_window",
    SlotKept => "limits::g2_a_slot_is_free_again_exactly_once_however_its_lease_ends",
    SlotFreedTwice => "limits::g2_a_settle_with_a_stale_lease_gives_no_slot_back",
    PartitionOffByOne => "partitions::p1_by_default_one_job_of_a_partition_runs_at_a_time",
    ConflictIgnored => "queues::o2_what_places_depend_on_is_fixed_by_the_first_declaration",
    // repeatables
    FiresUnguarded => "repeatable::s2_for_each_fire_moment_there_is_at_most_one_job",
    JobsBeforeGuard => "repeatable::s2_record_and_jobs_are_stored_in_one_step",
    DueUnsorted => "repeatable::s6_what_is_due_is_listed_earliest_first_with_the_next_moment_behind_it",
    NextDueForgotten => "repeatable::s6_a_repeatable_is_due_at_exactly_its_moment",
    RemoveAlwaysTrue => "repeatable::s6_a_removed_repeatable_is_gone_and_its_jobs_stay",
    // clean, stats and looking
    CleanByEnqueue => "clean::q3_age_is_judged_by_the_moment_of_the_end_and_by_nothing_else",
    CleanUnbounded => "clean::q3_no_more_than_the_bound_are_removed_and_the_first_to_end_go_first",
    CleanLate => "clean::q3_exactly_as_old_as_asked_for_is_old_enough",
    StatsFrozen => "stats::q2_figures_agree_with_the_jobs_after_whatever_happened",
    LeasesUncounted => "stats::q2_leases_are_counted_live_or_run_out",
    StartsUncounted => "rate::q2_stats_count_the_starts_of_the_current_window",
    TagFilterIgnored => "listing::q5_each_field_of_a_filter_is_obeyed_and_all_together",
    ParentFilterIgnored => "listing::q5_each_field_of_a_filter_is_obeyed_and_all_together",
    StatesIgnored => "listing::q5_states_are_as_the_stores_clock_has_them",
    PageSkips => "listing::q5_pages_go_both_ways_and_hold_each_job_once",
    NewestFirstIgnored => "listing::q5_pages_go_both_ways_and_hold_each_job_once",
    SummaryHasPayload => "listing::q5_payload_and_result_are_read_only_when_asked_for",
    DependentsReversed => "dependencies::n3_the_dependents_of_a_job_are_listed_in_the_order_of_enqueue",
    DependencyResultsLost => "dependencies::n3_a_dependent_reads_its_dependencies_results",
    CleanTakesNeeded => "flows::n5_cleaning_never_removes_what_a_job_that_has_not_ended_depends_on",
    // shards
    ShardStranded => "shards::run::q7_every_job_of_every_shard_runs_once",
    FormerShardStranded => "shards::change::q7_no_job_is_lost_or_stranded_when_there_are_more_or_fewer_shards",
    ShardBoundsWhole => "shards::run::q7_no_more_leases_are_live_in_all_shards_than_the_queue_allows",
    ShardUnlisted => "shards::jobs::q7_a_listing_walks_through_all_shards",
    ShardUncounted => "shards::jobs::q7_figures_are_those_of_all_shards",
    ShardUnpaused => "shards::run::q7_a_pause_stops_every_shard",
    // workers, steps and notices
    WorkersNeverForgotten => "workers::workers_that_have_been_silent_for_too_long_are_forgotten",
    LeavingIgnored => "workers::a_worker_that_leaves_is_forgotten_at_once",
    WorkersUnsorted => "workers::workers_are_listed_by_when_they_were_first_heard_of",
    StepOverwritten => "steps::w1_the_first_record_of_a_step_stays",
    StepUnderStaleLease => "steps::w1_a_step_is_recorded_only_under_the_current_lease",
    StepsUnsorted => "steps::w1_steps_are_read_in_the_order_of_their_positions",
    StepsStopAtStale => "steps::w1_each_step_of_a_batch_is_recorded_alone",
    StepsNotTold => "told::w4_what_comes_with_a_transition_is_recorded_with_it",
    StepsToldUnguarded => "told::w4_what_comes_with_a_transition_is_not_recorded_without_it",
    StepsToldOverwrite => "told::w4_the_first_record_of_a_position_stays_whoever_comes_second",
    StepsOutliveJobs => "told::w4_a_message_is_kept_while_the_job_is_there_and_goes_with_it",
    VersionBeginsElsewhere => "told::w2_a_suspended_job_holds_no_slot_and_goes_on_when_it_is_due",
    ClockFast => "store::time_is_the_stores_and_answers_carry_it",
}

impl Fault {
    /// Its name as that of a test.
    pub(crate) fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }
}
