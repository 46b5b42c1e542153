"""Each guard of the webhooks as a mutant, the code without it, and the test that goes red. Data only."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

CLAIMING, SETTLING, REAPING = "webhooks.claiming", "webhooks.settling", "webhooks.reaping"
DELIVERY, OUTCOME = "webhooks.delivery", "webhooks.outcome"
POOL, CLIENT = "core.http.pool", "core.http.client"

_FANOUT = "tests/conformance/test_webhook_fanout.py::"
_CLAIMS = "tests/conformance/test_webhook_claims.py::"
_CONFORMANCE = "tests/conformance/test_webhook_deliveries.py::"
_HEALTH = "tests/conformance/test_webhook_health.py::"
_CREW = "tests/integration/test_webhook_crew.py::"
_API = "tests/integration/test_webhooks_api.py::"
_LOG = "tests/integration/test_webhooks_deliveries.py::"
_OUTCOME = "tests/unit/test_webhook_outcome.py::"

WEBHOOKS = (
    # who holds a delivery
    Mutant(
        name="settle without the fence",
        guard="how an attempt ended is written under the fence it was claimed with",
        changes=((SETTLING, "x.id = d.id AND x.fence = d.fence AND x.status", "x.id = d.id AND x.status"),),
        killed_by=f"{_CONFORMANCE}test_an_outcome_that_comes_too_late_is_refused",
    ),
    Mutant(
        name="settle without the fence, SQLite",
        guard="the same in the other dialect",
        changes=((SETTLING, "if fences[id] == fence}", "}"),),
        killed_by=f"{_CONFORMANCE}test_an_outcome_that_comes_too_late_is_refused",
        postgresql=False,
    ),
    Mutant(
        name="settle what has ended",
        guard="how an attempt ended is written once",
        changes=((SETTLING, "x.fence = d.fence AND x.status || '' = 'delivering'", "x.fence = d.fence"),),
        killed_by=f"{_CONFORMANCE}test_an_outcome_is_recorded_once_with_its_attempt",
    ),
    Mutant(
        name="settle what has ended, SQLite",
        guard="the same in the other dialect",
        changes=((SETTLING, "pk__in=fences, status=DeliveryStatus.DELIVERING)", "pk__in=fences)"),),
        killed_by=f"{_CONFORMANCE}test_an_outcome_is_recorded_once_with_its_attempt",
        postgresql=False,
    ),
    Mutant(
        name="delivery claimed twice",
        guard="the lock of a delivery and its status in a claim",
        changes=(
            (CLAIMING, "ORDER BY due_at, id LIMIT o.room FOR NO KEY UPDATE SKIP LOCKED)", "ORDER BY due_at, id LIMIT o.room)"),
            (CLAIMING, "x.id = c.id AND x.status || '' = 'pending'", "x.id = c.id"),
        ),
        killed_by=f"{_CLAIMS}test_several_workers_claim_each_delivery_once",
    ),
    Mutant(
        name="delivery claimed by the dead",
        guard="a worker that was taken for dead claims no delivery",
        changes=((CLAIMING, "w.id = %(worker)s AND w.stopped_at IS NULL", "w.id = %(worker)s"),),
        killed_by=f"{_CLAIMS}test_a_worker_that_was_taken_for_dead_claims_nothing",
    ),
    Mutant(
        name="delivery claimed by the dead, SQLite",
        guard="the same in the other dialect",
        changes=((CLAIMING, "if not Worker.objects.filter(pk=worker_id, stopped_at__isnull=True).exists():", "if False:"),),
        killed_by=f"{_CLAIMS}test_a_worker_that_was_taken_for_dead_claims_nothing",
        postgresql=False,
    ),
    Mutant(
        name="delivery taken from the living",
        guard="only what a stopped worker owns is taken back, or what is overdue",
        changes=((REAPING, "_take_back(delivering.filter(~Exists(alive)), GONE)", "_take_back(delivering, GONE)"),),
        killed_by=f"{_CONFORMANCE}test_the_deliveries_of_a_worker_that_died_are_taken_back",
    ),
    Mutant(
        name="delivery taken back, fence kept",
        guard="a delivery that is taken back has its fence raised",
        changes=((REAPING, 'due_at=now, fence=F("fence") + 1,', "due_at=now,"),),
        killed_by=f"{_CONFORMANCE}test_the_deliveries_of_a_worker_that_died_are_taken_back",
    ),
    Mutant(
        name="overdue for ever",
        guard="a delivery that its worker does not answer for is taken back",
        changes=((REAPING, "deadline_at__lt=database_now()", "deadline_at__isnull=True"),),
        killed_by=f"{_CONFORMANCE}test_a_delivery_that_its_worker_does_not_answer_for_is_taken_back",
    ),
    Mutant(
        name="told twice",
        guard="there is one delivery for an event and an endpoint",
        changes=(
            ("webhooks.migrations.0001_initial", "fields=('message', 'endpoint'), name", "fields=('message', 'endpoint', 'id'), name"),
        ),
        killed_by=f"{_FANOUT}test_an_event_that_is_told_again_makes_no_second_delivery",
    ),
    Mutant(
        name="pruned while it is sent again",
        guard="a message is deleted only where every delivery of it has ended, and is held",
        changes=(("webhooks.retention", "if held.get(id) not in ENDED}", "if False}"),),
        killed_by=f"{_CONFORMANCE}test_what_is_sent_again_at_the_moment_in_which_it_is_old_stays",
    ),
    # what is sent, and what counts
    Mutant(
        name="signed without the time",
        guard="the time of the attempt is part of what is signed",
        changes=(("webhooks.signing", 'f"{id}.{timestamp}."', 'f"{id}.."'),),
        killed_by="tests/unit/test_webhook_signing.py::test_the_standards_library_verifies",
        postgresql=False,
    ),
    Mutant(
        name="signed for another time",
        guard="an attempt is signed for the time at which it is made",
        changes=((DELIVERY, "int(at.timestamp())", "int(at.timestamp()) - 301"),),
        killed_by=f"{_CREW}test_an_event_arrives_signed_as_the_standards_library_verifies_it",
        postgresql=False,
    ),
    Mutant(
        name="a signature for ever",
        guard="the client refuses what was signed more than five minutes ago",
        changes=(("ductape.signatures", "if abs(age) > tolerance:", "if False:"),),
        killed_by="tests/unit/test_client_webhooks.py::test_a_signature_counts_for_five_minutes_either_way",
        postgresql=False,
    ),
    Mutant(
        name="a private address is called",
        guard="each address is checked: that of the URL, those of a name, and the one that is connected to",
        changes=(
            (CLIENT, "        check_address(origin.host)  #", "        pass  #"),
            (POOL, "            check_address(address)\n", "            pass\n"),
            (POOL, "    check_address(str(sockaddr[0]))\n", "    pass\n"),
        ),
        killed_by="tests/integration/test_http_client.py::test_a_private_address_is_not_reached_however_it_is_written",
        postgresql=False,
    ),
    Mutant(
        name="a name with one good address",
        guard="one forbidden address of a name forbids the name",
        changes=((POOL, "            check_address(address)\n", "            pass\n"),),
        killed_by="tests/integration/test_http_client.py::test_one_forbidden_address_of_a_name_forbids_it",
        postgresql=False,
    ),
    Mutant(
        name="a private address is taken",
        guard="an address in the URL of a webhook is checked when it is set",
        changes=(("webhooks.addresses", "            check_address(address)\n", "            pass\n"),),
        killed_by=f"{_API}test_a_private_address_is_refused_however_it_is_written",
        postgresql=False,
    ),
    Mutant(
        name="a redirect is success",
        guard="2xx alone is success",
        changes=((OUTCOME, "200 <= answer.status < 300", "200 <= answer.status < 400"),),
        killed_by=f"{_OUTCOME}test_everything_else_is_tried_again",
        postgresql=False,
    ),
    Mutant(
        name="no time-out",
        guard="an attempt has its time in all",
        changes=((DELIVERY, "timeout=TIMEOUT_SECONDS,", "timeout=600.0,"),),
        killed_by=f"{_CREW}test_a_megabytes_long_answer_is_cut_and_a_drip_is_a_failure_and_neither_holds_up_others",
        postgresql=False,
    ),
    Mutant(
        name="the whole answer is kept",
        guard="an answer is cut at 4 kB",
        changes=((DELIVERY, "max_response_bytes=RESPONSE_BYTES,", "max_response_bytes=2 * RESPONSE_BYTES,"),),
        killed_by=f"{_CREW}test_what_fails_is_recorded_and_waits_for_its_next_attempt",
        postgresql=False,
    ),
    Mutant(
        name="on its way for ever",
        guard="who says again and again that the answer is on its way is not listened to, and not read on",
        changes=(
            (CLIENT, "_MOST_ON_ITS_WAY = 16", "_MOST_ON_ITS_WAY = 10**9"),
            (POOL, "_MOST_WAITING = 64", "_MOST_WAITING = 10**9"),
        ),
        killed_by="tests/integration/test_http_floods.py::test_who_says_for_ever_that_the_answer_is_on_its_way_is_not_listened_to",
        postgresql=False,
    ),
    Mutant(
        name="Retry-After is not heard",
        guard="an endpoint that asks for more time gets it",
        changes=((OUTCOME, "delay = max(delay, min(answer.retry_after, LONGEST_RETRY_AFTER_SECONDS))", "pass"),),
        killed_by=f"{_OUTCOME}test_retry_after_is_honoured_for_429_and_503_within_bounds",
        postgresql=False,
    ),
    # one that does not answer
    Mutant(
        name="more than its places",
        guard="an endpoint gets no more requests at once than its places",
        changes=((CLAIMING, "LIMIT o.room FOR NO KEY UPDATE", "LIMIT 200 FOR NO KEY UPDATE"),),
        killed_by=f"{_CLAIMS}test_each_endpoint_gets_no_more_than_its_places",
    ),
    Mutant(
        name="more than its places, SQLite",
        guard="the same in the other dialect",
        changes=((CLAIMING, 'flat=True)[:places]', 'flat=True)[:200]'),),
        killed_by=f"{_CLAIMS}test_each_endpoint_gets_no_more_than_its_places",
        postgresql=False,
    ),
    Mutant(
        name="room for those that hang",
        guard="half of the room is for those that answer promptly",
        changes=(("webhooks.pace", "* 2 >= room:", "* 2 >= 100 * room:"),),
        killed_by=f"{_OUTCOME}test_half_of_the_room_is_for_those_that_answer_promptly",
        postgresql=False,
    ),
    Mutant(
        name="resting ones are counted",
        guard="those that rest take nothing of the room of others",
        changes=(
            (CLAIMING, "    WHERE e.id = k.id AND e.enabled AND (e.rest_until IS NULL OR e.rest_until <= {now})\n", "    WHERE e.id = k.id\n"),
        ),
        killed_by=f"{_CLAIMS}test_endpoints_that_rest_or_are_full_take_nothing_of_the_room_of_others",
    ),
    Mutant(
        name="a circuit that never opens",
        guard="an endpoint that fails again and again rests",
        changes=((SETTLING, "(endpoint.consecutive_failures >= REST_AFTER and endpoint.rest_until is None)", "False"),),
        killed_by=f"{_CONFORMANCE}test_an_endpoint_that_fails_again_and_again_rests_and_then_gets_one_request",
    ),
    Mutant(
        name="429 is a failure as others",
        guard="an endpoint that gets too much is left alone for as long as it asks",
        changes=((OUTCOME, "if self.answer.status == TOO_MANY else 0.0", "if False else 0.0"),),
        killed_by=f"{_HEALTH}test_one_that_gets_too_much_is_left_alone_for_as_long_as_it_asks",
    ),
    Mutant(
        name="more than a probe",
        guard="after a rest one request is made",
        changes=((CLAIMING, "SELECT id, 1 FROM probed", "SELECT id, 8 FROM probed"),),
        killed_by=f"{_CONFORMANCE}test_an_endpoint_that_fails_again_and_again_rests_and_then_gets_one_request",
    ),
    # disabling
    Mutant(
        name="410 is a failure as others",
        guard="410 is the end, and says that the endpoint is gone",
        changes=((OUTCOME, "if answer.status == GONE:", "if False:"),),
        killed_by=f"{_OUTCOME}test_410_is_the_end_at_once",
        postgresql=False,
    ),
    Mutant(
        name="410 disables nothing",
        guard="an endpoint that is gone is disabled",
        changes=((SETTLING, "if any(outcome.gone for outcome in outcomes):", "if False:"),),
        killed_by=f"{_CONFORMANCE}test_410_disables_and_says_so_once",
    ),
    Mutant(
        name="failing for ever",
        guard="five days of nothing but failures disable an endpoint",
        changes=((SETTLING, "return FAILING_REASON if failing_long and", "return FAILING_REASON if False and"),),
        killed_by=f"{_CONFORMANCE}test_five_days_of_nothing_but_failures_disable_and_give_up_what_waits",
    ),
    Mutant(
        name="failing since ever",
        guard="a success begins the five days anew",
        changes=((SETTLING, "endpoint.failing_since = endpoint.rest_until = None", "endpoint.rest_until = None"),),
        killed_by=f"{_HEALTH}test_one_success_in_five_failing_days_begins_them_anew",
    ),
    Mutant(
        name="two failures are five days",
        guard="two failures that a quiet week lies between disable nothing",
        changes=((SETTLING, "if failing_long and endpoint.consecutive_failures >= REST_AFTER else", "if failing_long else"),),
        killed_by=f"{_HEALTH}test_two_failures_with_a_quiet_week_between_them_disable_nothing",
    ),
    Mutant(
        name="blamed for another address",
        guard="an answer counts against the address that gave it",
        changes=((SETTLING, "if outcome.url == endpoint.url]", "]"),),
        killed_by=f"{_HEALTH}test_what_the_old_address_answers_does_not_count_against_the_new_one",
    ),
    # sent again
    Mutant(
        name="replay of another product",
        guard="a key reaches the webhooks of its product alone",
        changes=(
            ("webhooks.queries", "    endpoints = endpoints.filter(product_id=principal.product_id)\n", "    endpoints = endpoints.all()\n"),
        ),
        killed_by=f"{_API}test_what_a_key_may_not_see_does_not_exist",
        postgresql=False,
    ),
    Mutant(
        name="replay through another webhook",
        guard="a delivery is found at its own webhook alone",
        changes=(("webhooks.queries", "with_attempts(endpoint.deliveries.filter(pk=key))", "with_attempts(Delivery.objects.filter(pk=key))"),),
        killed_by=f"{_LOG}test_a_delivery_of_another_endpoint_is_not_found",
        postgresql=False,
    ),
    Mutant(
        name="missing of another product",
        guard="an endpoint is told of its product alone",
        changes=(("webhooks.matching", "endpoint.product_id in {None, account.product_id}", "account.product_id"),),
        killed_by="tests/integration/test_webhooks_recovery.py::test_what_happened_in_another_product_is_not_missing",
        postgresql=False,
    ),
    Mutant(
        name="replay of what is under way",
        guard="only what has ended is sent again",
        changes=(("webhooks.operations.replay", "filter(pk__in=ids, status__in=sorted(ENDED)).update(", "filter(pk__in=ids).update("),),
        killed_by=f"{_LOG}test_a_replay_waits_again_under_the_same_id",
        postgresql=False,
    ),
    Mutant(
        name="told to what is being removed",
        guard="who hands events out holds the endpoints that get them, and passes over those that are gone",
        changes=(("webhooks.inserts", "FOR KEY SHARE OF e\n", ""),),
        killed_by="tests/conformance/test_webhook_races.py::test_endpoints_that_are_removed_while_events_are_handed_out_take_none_from_others",
    ),
    Mutant(
        name="removed for those that settle",
        guard="what somebody settles at this moment is not removed under his hands",
        changes=(("webhooks.operations.removal", ".select_for_update(skip_locked=True)", ""),),
        killed_by="tests/conformance/test_webhook_removal.py::test_an_attempt_that_is_recorded_at_this_moment_does_not_keep_it_from_being_removed",
    ),
    Mutant(
        name="the same secret once more",
        guard="a secret that is set again leaves the one before its day",
        changes=(("webhooks.secrets", "    if canonical == current:\n        return False\n", ""),),
        killed_by="tests/integration/test_webhooks_api.py::test_several_that_set_the_same_secret_replace_the_one_before_once",
        postgresql=False,
    ),
    Mutant(
        name="secrets that sign for ever",
        guard="each secret that was replaced signs for a day from then on",
        changes=(("webhooks.secrets", "if one.until is None or at < one.until", "if one.secret"),),
        killed_by="tests/integration/test_webhooks_api.py::test_the_first_of_several_stops_signing_first",
        postgresql=False,
    ),
    Mutant(
        name="wider by the way",
        guard="a change of something else leaves the environments of a webhook alone",
        changes=(("webhooks.operations.endpoints", "if given.env not in {None, endpoint.env} and", "if given.env is not None and"),),
        killed_by="tests/integration/test_admin_webhooks.py::test_a_change_of_something_else_does_not_widen_what_a_key_of_some_environments_made",
        postgresql=False,
    ),
    Mutant(
        name="back while it goes",
        guard="a webhook that is being removed is not enabled by who sets its URL",
        changes=(("webhooks.operations.endpoints", ".exclude(disabled_reason=removal.REASON)", ""),),
        killed_by="tests/integration/test_webhooks_api.py::test_one_that_is_being_removed_is_not_the_one_that_is_set",
        postgresql=False,
    ),
)  # fmt: skip
