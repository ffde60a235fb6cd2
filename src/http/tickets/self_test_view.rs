//! What a ticket shows of a test that the holder of an address asked for.

use super::super::{advice::advice_for, jobs::outcome_kind};
use crate::{
    api::{OutcomeKind, TestOutcomeResponse, TicketTestResponse},
    relay::{ClaimStatus, policy::Job},
    tickets::{Ticket, TicketService, TicketTest},
};

/// The last test of a ticket about a test; `None` if there is none, or if it was erased.
pub(in crate::http) fn self_test_response(
    tickets: &TicketService,
    ticket: &Ticket,
) -> Option<TicketTestResponse> {
    let test = ticket.test.as_ref()?;
    let job = tickets.relay.job(test.job).ok()?;
    Some(response(tickets, test, &job))
}

fn response(tickets: &TicketService, test: &TicketTest, job: &Job) -> TicketTestResponse {
    let settings = tickets.relay.settings();
    let sent = job.results.iter().filter(|r| !r.outcome.is_not_sent());
    let outcomes: Vec<TestOutcomeResponse> = sent
        .map(|r| {
            let (outcome, code) = outcome_kind(&r.outcome);
            let form = settings.catalogue.get(ClaimStatus::form(r));
            TestOutcomeResponse {
                description: form.map_or(String::new(), |t| t.description.clone()),
                test: r.test.clone(),
                had_passed: false,
                outcome,
                code,
            }
        })
        .collect();
    let came_through = |o: &&TestOutcomeResponse| {
        matches!(o.outcome, OutcomeKind::Delivered | OutcomeKind::Accepted)
    };
    let delivered: Vec<&str> = outcomes
        .iter()
        .filter(came_through)
        .map(|o| o.test.as_str())
        .collect();
    let transcript = tickets.relay.transcript(job.id).unwrap_or_default();
    let product_advice = advice_for([transcript.as_slice()], &delivered);
    let waits = job.is_open() && job.begun.is_some() && job.not_before > tickets.now();
    TicketTestResponse {
        job: test.job,
        not_before: job.not_before.into(),
        begun: job.begun.map(Into::into),
        ended: job.ended.map(Into::into),
        total: job.results.len(),
        outcomes,
        row: None,
        is_preliminary: false,
        release: None,
        next_try: waits.then(|| job.not_before.into()),
        advice: None,
        product_advice,
        blocked: Vec::new(),
    }
}
