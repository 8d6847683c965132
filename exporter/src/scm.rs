//! Being a service of Windows: started, asked and stopped by the service control manager.

use std::{
    ffi::OsString,
    process::ExitCode,
    sync::{Arc, OnceLock},
    time::Duration,
};

use service::Shutdown;
use windows_service::{
    define_windows_service,
    service::{
        ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus,
        ServiceType,
    },
    service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle},
    service_dispatcher,
};

/// Not compared with anything for a service that has its process for itself.
const NAME: &str = "watchpost-exporter";
/// How long starting and stopping may take before Windows thinks that we hang.
const PATIENCE: Duration = Duration::from_secs(30);
/// Stopped with an error of our own, which is in the second part of the code.
const EXIT_CODE_FAILED: ServiceExitCode = ServiceExitCode::ServiceSpecific(1);

define_windows_service!(entry, serve);

/// Serves until it is stopped, if the service control manager has started this process; `None` if a person has.
pub(crate) fn run() -> Option<ExitCode> {
    // Fails at once with ERROR_FAILED_SERVICE_CONTROLLER_CONNECT where nobody waits for a service.
    service_dispatcher::start(NAME, entry).is_ok().then_some(ExitCode::SUCCESS)
}

/// The life of the service, on a thread of Windows'.
fn serve(_: Vec<OsString>) {
    let asked_to_stop: Arc<OnceLock<Shutdown>> = Arc::default();
    let shutdown_slot = Arc::clone(&asked_to_stop);
    let handler = move |control| match control {
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        ServiceControl::Stop | ServiceControl::Shutdown => {
            // Set before we say that we accept these.
            if let Some(shutdown) = asked_to_stop.get() {
                shutdown.fire();
            }
            ServiceControlHandlerResult::NoError
        }
        _ => ServiceControlHandlerResult::NotImplemented,
    };
    let Ok(status) = service_control_handler::register(NAME, handler) else { return };
    tell(status, ServiceState::StartPending, ServiceExitCode::NO_ERROR);
    let code = crate::serve(service::flags::parse(), move |shutdown| {
        let _ = shutdown_slot.set(shutdown);
        tell(status, ServiceState::Running, ServiceExitCode::NO_ERROR);
    });
    let exit_code = match code == ExitCode::SUCCESS {
        true => ServiceExitCode::NO_ERROR,
        false => EXIT_CODE_FAILED,
    };
    tell(status, ServiceState::Stopped, exit_code);
}

fn tell(status: ServiceStatusHandle, state: ServiceState, exit_code: ServiceExitCode) {
    let controls_accepted = match state {
        ServiceState::Running => ServiceControlAccept::STOP | ServiceControlAccept::SHUTDOWN,
        _ => ServiceControlAccept::empty(),
    };
    let now = ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state: state,
        controls_accepted,
        exit_code,
        checkpoint: 0,
        wait_hint: PATIENCE,
        process_id: None,
    };
    // Nobody could be told about an error: a service has no terminal.
    let _ = status.set_service_status(now);
}
