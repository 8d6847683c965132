//! The first way: systemd, with one call for all services.

use std::time::Duration;

use super::{
    super::systemd::bus::{Bus, Unit},
    Name, State,
};

/// The states of `names`, in their order. An error means that systemd cannot be asked; not answering in time is a state.
pub(super) async fn ask(
    kept: &mut Option<Bus>,
    address: Option<&str>,
    names: &[Name],
    patience: Duration,
) -> zbus::Result<Vec<Option<State>>> {
    let asking = async {
        let bus = match kept.take() {
            Some(bus) => bus,
            None => Bus::connect(address, patience).await?,
        };
        let states = states(&bus, names).await?;
        Ok((bus, states))
    };
    match tokio::time::timeout(patience, asking).await {
        Ok(Ok((bus, states))) => {
            *kept = Some(bus);
            Ok(states.into_iter().map(Some).collect())
        }
        Ok(Err(err)) if !is_timeout(&err) => Err(err),
        _ => Ok(vec![Some(State::Timeout); names.len()]),
    }
}

async fn states(bus: &Bus, names: &[Name]) -> zbus::Result<Vec<State>> {
    let asked: Vec<String> = names.iter().map(Name::unit).collect();
    match bus.units_by_names(&asked).await {
        // systemd leaves out what it cannot take for a name, so only a full answer is in our order.
        Ok(units) if units.len() == asked.len() => return Ok(units.iter().map(state).collect()),
        Ok(_) => {}
        // One unit that cannot be loaded fails them all.
        Err(err) if is_about_a_unit(&err) => {}
        Err(err) => return Err(err),
    }
    let mut states = Vec::with_capacity(asked.len());
    for unit in asked {
        states.push(match bus.units_by_names(&[unit]).await {
            Ok(units) => units.first().map_or(State::NotFound, state),
            Err(err) if is_about_a_unit(&err) => State::Error,
            Err(err) => return Err(err),
        });
    }
    Ok(states)
}

/// What `systemctl is-active` would go by, told apart further.
fn state(unit: &Unit) -> State {
    let Unit { load_state, active_state, sub_state, .. } = unit;
    match (active_state.as_str(), load_state.as_str()) {
        ("active" | "reloading" | "refreshing", _) => State::Running,
        ("failed", _) => State::Error,
        // Died, and is between two attempts.
        ("activating", _) if sub_state.starts_with("auto-restart") => State::Error,
        (_, "not-found") => State::NotFound,
        (_, "error" | "bad-setting") => State::Error,
        ("inactive" | "activating" | "deactivating" | "maintenance", _) => State::Stopped,
        _ => State::Unknown,
    }
}

/// An answer of systemd's own, rather than of a bus on which it is not.
fn is_about_a_unit(err: &zbus::Error) -> bool {
    match err {
        zbus::Error::MethodError(name, ..) => {
            name.starts_with("org.freedesktop.systemd1.") || name.starts_with("System.Error.")
        }
        _ => false,
    }
}

fn is_timeout(err: &zbus::Error) -> bool {
    match err {
        zbus::Error::InputOutput(err) => err.kind() == std::io::ErrorKind::TimedOut,
        zbus::Error::MethodError(name, ..) => {
            ["org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.Timeout"]
                .contains(&name.as_str())
        }
        _ => false,
    }
}
