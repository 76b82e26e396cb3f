//! One suite over all stores: whatever passes it may stand behind the ports `Store` and `Reads`.
//!
//! `cases` says what every store does; `sqlite` adds what only a store on disk can be asked;
//! `differential` holds the store in memory against SQLite, over random change sets.
//! Another store joins with one line at the end of this file.

mod at_once_cases;
mod by_hand_cases;
mod canary_cases;
mod cases;
mod command_cases;
mod differential;
mod hand_cases;
mod lane_cases;
mod later_cases;
mod list_cases;
mod memory;
mod past_cases;
mod policy_cases;
mod service_cases;
mod snapshot_cases;
mod sqlite;
mod world;

/// Runs every case on a fresh world of that store.
macro_rules! every_case {
    ($world:expr) => {
        every_case! { $world;
            cases: a_repeat_has_no_second_effect,
            cases: what_is_handed_over_is_what_a_read_would_give,
            cases: an_identity_is_forgotten_only_when_it_is_old,
            cases: an_alarm_comes_back_to_the_byte,
            cases: a_second_level_made_request_is_refused_and_its_neighbours_are_not,
            cases: a_decision_on_an_old_version_leaves_no_trace,
            cases: two_tickets_cannot_have_one_backend_id,
            cases: two_tickets_cannot_have_one_correlation_key,
            cases: fences_only_grow,
            cases: nothing_is_written_under_a_fence_below_the_barrier,
            cases: a_set_is_applied_whole_or_not_at_all,
            cases: a_set_sees_what_it_wrote_itself,
            cases: many_sets_are_answered_in_their_order,
            cases: a_ticket_of_the_backend_is_adopted,
            command_cases: one_command_id_is_one_request,
            command_cases: a_command_under_a_lost_lock_leaves_no_trace,
            command_cases: a_command_goes_its_whole_way_and_its_event_carries_the_answer,
            command_cases: a_command_for_an_alarm_makes_its_ticket,
            command_cases: a_command_for_an_alarm_tells_of_it_at_once,
            command_cases: a_command_names_a_ticket_by_either_id,
            command_cases: a_ticket_that_was_never_made_takes_no_commands,
            command_cases: a_partners_ticket_takes_commands_before_it_has_an_id_there,
            command_cases: an_external_lock_is_kept_until_it_is_over,
            command_cases: a_forced_unlock_takes_away_no_later_lock_of_that_name,
            command_cases: a_forced_unlock_bars_every_older_fence,
            cases: a_decision_that_saw_no_ticket_is_refused_once_there_is_one,
            cases: a_ticket_is_taken_over_when_the_occurrence_before_is_done,
            at_once_cases: a_decision_and_its_intent_share_a_commit,
            at_once_cases: neither_stands_where_one_is_refused,
            at_once_cases: only_a_create_that_is_first_in_line_goes_with_its_decision,
            at_once_cases: a_decision_that_makes_nothing_has_no_intent,
            lane_cases: a_whole_way_from_alarm_to_confirmed_event,
            lane_cases: news_from_an_older_epoch_is_refused,
            lane_cases: taking_a_lane_puts_its_open_intent_in_doubt,
            lane_cases: a_lane_with_two_open_intents_can_be_taken,
            lane_cases: a_pause_is_kept_until_a_person_ends_it,
            lane_cases: a_request_that_waits_is_ready_in_its_time,
            lane_cases: a_level_that_moved_on_makes_no_intent,
            lane_cases: an_intent_that_is_given_back_leaves_no_trace_but_its_story,
            lane_cases: an_old_copy_of_a_request_makes_no_intent,
            lane_cases: a_person_settles_a_doubt,
            lane_cases: a_write_that_a_person_settles_keeps_its_ticket,
            lane_cases: an_unconfirmed_event_stays_in_the_outbox,
            hand_cases: a_person_pauses_a_lane_once_and_a_restart_keeps_it,
            hand_cases: a_held_ticket_is_not_ready_until_it_is_released,
            hand_cases: only_so_many_tickets_of_a_backend_are_held,
            hand_cases: a_failed_create_is_done_again_by_a_fresh_request_of_its_ticket,
            hand_cases: a_create_of_a_cleared_alarm_that_is_done_again_is_closed_after_it,
            hand_cases: a_create_that_may_have_been_done_begins_in_doubt,
            hand_cases: what_has_moved_on_is_not_done_again,
            hand_cases: a_failed_command_is_done_again_under_another_id,
            hand_cases: a_request_is_cancelled_before_its_intent_and_not_after,
            hand_cases: what_is_cancelled_in_the_midst_of_a_line_leaves_its_first_alone,
            hand_cases: a_parked_message_goes_only_with_what_is_made_of_it,
            hand_cases: what_came_is_kept_however_often_it_is_mended,
            hand_cases: a_replayed_alarm_counts_from_when_it_was_parked,
            hand_cases: a_replay_raises_nothing_that_a_snapshot_has_found_over,
            later_cases: a_later_answer_finds_its_request_by_any_of_its_names,
            later_cases: a_later_answer_ends_a_doubt_and_what_is_undecided,
            later_cases: a_later_answer_that_fits_nothing_is_refused_and_leaves_no_trace,
            later_cases: a_refusal_of_one_of_several_calls_counts_only_if_it_names_the_last,
            later_cases: a_refusal_of_the_first_call_does_not_end_the_second,
            later_cases: an_answer_by_the_tickets_key_alone_is_not_given_to_another_request,
            later_cases: a_full_backend_admits_creates_first_and_then_nothing,
            later_cases: a_duplicate_is_reported_once_and_watched_for_a_while,
            by_hand_cases: a_linked_alarm_is_taken_care_of_and_speaks_to_its_ticket_later,
            by_hand_cases: an_alarm_that_is_linked_to_its_own_ticket_still_closes_it,
            by_hand_cases: a_link_tells_what_the_backend_showed_and_what_was_left,
            by_hand_cases: a_number_that_was_only_linked_is_free_again,
            by_hand_cases: no_alarm_is_linked_to_a_ticket_that_is_being_closed,
            by_hand_cases: no_alarm_is_linked_to_a_ticket_whose_close_waits_its_turn,
            by_hand_cases: no_alarm_is_linked_to_a_ticket_of_which_one_of_two_closes_is_dropped,
            by_hand_cases: an_alarm_that_is_unlinked_is_due_again_under_another_key,
            by_hand_cases: no_ticket_holds_for_this_occurrence_and_for_no_other,
            by_hand_cases: a_ticket_of_two_alarms_is_closed_with_the_last,
            by_hand_cases: a_close_that_waited_for_an_alarm_is_due_when_that_is_unlinked,
            by_hand_cases: two_alarms_of_a_ticket_write_one_after_the_other,
            by_hand_cases: a_ticket_that_is_brought_along_is_found_by_the_first_event,
            policy_cases: alarms_of_a_group_share_a_ticket,
            policy_cases: the_ticket_of_a_group_is_closed_after_the_last_of_its_alarms,
            policy_cases: a_group_goes_on_with_the_ticket_whose_close_was_refused,
            policy_cases: an_alarm_taken_off_what_it_went_on_with_stays_out_of_its_group,
            policy_cases: an_alarm_that_a_person_takes_off_its_groups_ticket_gets_its_own,
            policy_cases: what_a_person_took_off_its_ticket_is_not_put_back_by_its_ways,
            policy_cases: a_group_has_one_open_ticket_though_an_alarm_goes_on_with_an_older_one,
            policy_cases: who_comes_to_a_group_gets_the_ticket_that_one_of_it_has_opened_again,
            policy_cases: a_groups_ticket_that_will_be_opened_again_is_waited_for,
            policy_cases: a_groups_ticket_that_an_alarm_without_it_opens_again_is_the_groups,
            policy_cases: a_groups_ticket_that_a_command_will_open_again_is_waited_for,
            policy_cases: an_alarm_cleared_while_its_groups_ticket_is_opened_again_is_told,
            policy_cases: an_alarm_cleared_while_its_groups_ticket_is_tried_again_is_told,
            policy_cases: an_occurrence_waits_for_the_request_of_the_one_before,
            policy_cases: a_clear_within_a_group_is_told_while_others_go_on,
            policy_cases: a_storm_makes_no_more_tickets_than_it_may,
            policy_cases: an_alarm_that_flaps_keeps_its_ticket,
            policy_cases: a_ticket_that_a_person_closed_is_left_reopened_or_replaced,
            policy_cases: only_named_fields_cause_an_update,
            canary_cases: a_test_alarm_goes_its_way_and_nothing_of_it_stays,
            canary_cases: a_new_test_alarm_takes_the_place_of_one_that_came_to_no_end,
            canary_cases: a_test_alarm_is_told_only_if_it_was_carried_under_a_lock,
            snapshot_cases: what_a_snapshot_does_not_name_is_cleared,
            snapshot_cases: what_is_raised_while_a_snapshot_is_cleared_stays,
            snapshot_cases: an_alarm_that_one_pass_left_out_is_raised_by_the_next_that_names_it,
            snapshot_cases: a_snapshot_is_cleared_page_by_page,
            snapshot_cases: absence_counts_only_after_the_end_of_the_same_pass,
            snapshot_cases: a_snapshot_of_which_something_could_not_be_read_clears_nothing,
            snapshot_cases: a_clear_by_a_snapshot_keeps_to_the_sources_clock,
            service_cases: a_request_keeps_the_service_that_was_selected_when_it_was_accepted,
            service_cases: a_service_that_open_requests_name_stays,
            service_cases: only_a_service_of_the_table_can_be_selected,
            service_cases: a_route_is_set_replaced_and_removed,
            service_cases: what_waits_is_told_from_what_has_ended,
            policy_cases: a_group_begins_anew_once_its_ticket_has_gone,
            list_cases: an_alarm_is_due_in_its_time_with_its_ticket,
            list_cases: a_new_occurrence_is_due_with_the_ticket_of_the_one_before,
            list_cases: lists_run_newest_first_page_by_page,
            list_cases: lists_are_filtered,
            list_cases: a_parked_message_comes_back_to_the_byte,
            list_cases: events_are_read_on_from_any_of_them,
            list_cases: the_figures_agree_with_the_rows,
            past_cases: every_end_of_a_write_leaves_its_rows,
            past_cases: what_was_never_sent_leaves_no_row_and_what_was_found_leaves_one,
            past_cases: history_is_paged_from_both_ends,
            past_cases: rows_leave_only_under_their_mark_and_their_numbers_never_come_back,
            past_cases: history_is_limited_by_number_and_by_age,
            past_cases: what_is_over_goes_when_it_is_old,
            past_cases: what_is_at_work_never_goes,
            past_cases: a_ticket_goes_with_the_last_of_its_alarms,
        }
    };
    ($world:expr; $($file:ident: $case:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $case() {
                crate::$file::$case(&mut $world).await;
            }
        )*
    };
}

mod sqlite_passes {
    every_case!(crate::sqlite::world());
}

mod memory_passes {
    every_case!(crate::memory::world());
}
