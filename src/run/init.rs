//! `init`: fetch, deliver, exit.

use crate::config::Config;
use crate::domain::Problem;

use super::caller::Caller;
use super::exec::drop_privileges;
use super::prepare::Prepared;
use super::session::Session;
use super::whom::For;

/// Delivers once.
pub fn init(config: &Config, caller: &Caller) -> Result<(), Vec<Problem>> {
    let mut prepared = Prepared::make(config, caller, For::Ourselves, Vec::new())?;
    // Nobody of ours is more than the app, as soon as the volume exists. Files for another owner need what root has.
    if config.run_as.is_some() && prepared.whom.writes_as_itself() {
        drop_privileges(&prepared.whom.drop)?;
    }
    let mut session = Session::open(config, &prepared.plan, &prepared.held, caller)?;
    let delivered = session.refuse_leases(config).and_then(|()| prepared.deliver(&session.fetches));
    session.guard(delivered)?;
    session.leave();
    Ok(())
}
