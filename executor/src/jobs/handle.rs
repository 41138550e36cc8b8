//! A job on its way: what its submitter holds.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, select};
use gongsuan_types::receipt::Receipt;

use super::state::{Message, Shared};
use super::{Progress, Scheduler};
use crate::PoolError;
use crate::pool::{Cancel, Event};

/// A job on its way. Dropping it cancels the job.
#[derive(Debug)]
pub struct JobHandle {
    number: u64,
    shared: Arc<Shared>,
    messages: Receiver<Message>,
    cancel: Cancel,
    /// Lanes that exist for this job alone.
    own: Option<Scheduler>,
}

/// What [`JobHandle::poll`] found.
#[derive(Debug)]
pub enum Next {
    /// Something happened.
    Event(Event),
    /// Nothing happened in the time given.
    Nothing,
    /// The job is over. Asking again finds it cancelled.
    Over(Result<Vec<Receipt>, PoolError>),
}

impl JobHandle {
    pub(super) fn new(
        number: u64,
        shared: Arc<Shared>,
        messages: Receiver<Message>,
        cancel: Cancel,
    ) -> Self {
        Self { number, shared, messages, cancel, own: None }
    }

    /// Keeps the lanes of this one job.
    pub(super) fn keep(mut self, scheduler: Scheduler) -> Self {
        self.own = Some(scheduler);
        self
    }

    /// Waits for the end and tells everything before it.
    ///
    /// # Errors
    /// [`PoolError`]. Segments told as [`Event::Done`] before it stay valid.
    pub fn wait(self, on_event: &mut dyn FnMut(Event)) -> Result<Vec<Receipt>, PoolError> {
        loop {
            match self.poll(Duration::MAX) {
                Next::Event(event) => on_event(event),
                Next::Nothing => {}
                Next::Over(end) => return end,
            }
        }
    }

    /// What happened next, waiting for it as long as given.
    #[must_use]
    pub fn poll(&self, patience: Duration) -> Next {
        select! {
            recv(self.messages) -> message => match message {
                Ok(Message::Event(event)) => {
                    if let Event::Done(output) = &event {
                        self.shared.read(self.number, output.output.len());
                    }
                    Next::Event(event)
                }
                Ok(Message::End(end)) => Next::Over(end),
                Err(_) => Next::Over(Err(self.shared.gone())),
            },
            recv(self.cancel.gone()) -> _ => {
                self.shared.cancel(self.number);
                Next::Over(self.drain())
            }
            default(patience) => Next::Nothing,
        }
    }

    /// After a cancellation nothing further is told.
    fn drain(&self) -> Result<Vec<Receipt>, PoolError> {
        for message in &self.messages {
            if let Message::End(end) = message {
                return end;
            }
        }
        Err(self.shared.gone())
    }

    /// Stops the job: worker processes are killed at once, pilots are told to; threads finish the segment they are at.
    pub fn cancel(&self) {
        self.cancel.cancel();
        self.shared.cancel(self.number);
    }

    /// How far it is; zeros when it is over.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.shared.progress(self.number)
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        self.shared.cancel(self.number);
    }
}
