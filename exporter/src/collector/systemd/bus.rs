//! systemd's part of D-Bus: `org.freedesktop.systemd1(5)`.

use std::time::Duration;

use zbus::{Connection, Error, OwnedObjectPath, OwnedVariant, connection, fdo};

const NAME: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// One call; systemd that does not answer for so long is stuck.
const CALL_MAX: Duration = Duration::from_secs(5);

/// A connection to systemd.
pub(super) struct Bus(Connection);

/// A unit as systemd lists it.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) name: String,
    pub(super) load_state: String,
    pub(super) active_state: String,
    path: OwnedObjectPath,
}

/// `a(ssssssouso)`: name, description, load, active and sub state, follower, path, and three about its job.
type Listed =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

impl Unit {
    pub(super) fn is_a(&self, kind: &str) -> bool {
        self.name.rsplit_once('.').is_some_and(|(_, suffix)| suffix == kind)
    }
}

impl Bus {
    /// Connects to the system's bus, or to another.
    pub(super) async fn connect(address: Option<&str>) -> zbus::Result<Self> {
        let builder = match address {
            Some(address) => connection::Builder::address(address),
            None => connection::Builder::system(),
        };
        let connecting = builder.method_timeout(CALL_MAX).build();
        match tokio::time::timeout(CALL_MAX, connecting).await {
            Ok(connected) => Ok(Self(connected?)),
            Err(_) => Err(Error::Failure("the bus does not answer".to_owned())),
        }
    }

    /// All units that systemd has loaded.
    pub(super) async fn units(&self) -> zbus::Result<Vec<Unit>> {
        let answer =
            self.0.call_method(Some(NAME), MANAGER_PATH, Some(MANAGER), "ListUnits", &()).await?;
        let listed: Vec<Listed> = answer.body().deserialize()?;
        let unit = |(name, _, load_state, active_state, _, _, path, ..): Listed| Unit {
            name,
            load_state,
            active_state,
            path,
        };
        Ok(listed.into_iter().map(unit).collect())
    }

    /// A property of systemd itself.
    pub(super) async fn manager<T>(&self, property: &str) -> zbus::Result<T>
    where
        T: TryFrom<OwnedVariant>,
        Error: From<T::Error>,
    {
        let answer = self
            .0
            .call_method(Some(NAME), MANAGER_PATH, Some(PROPERTIES), "Get", &(MANAGER, property))
            .await?;
        let value: OwnedVariant = answer.body().deserialize()?;
        Ok(T::try_from(value)?)
    }

    /// A property of a unit; `None` when the unit is gone or this systemd does not know the property.
    pub(super) async fn property<T>(
        &self,
        unit: &Unit,
        interface: &str,
        property: &str,
    ) -> zbus::Result<Option<T>>
    where
        T: TryFrom<OwnedVariant>,
    {
        let interface = format!("{NAME}.{interface}");
        let asked = self
            .0
            .call_method(Some(NAME), &unit.path, Some(PROPERTIES), "Get", &(interface, property))
            .await;
        let answer = match asked {
            Ok(answer) => answer,
            Err(Error::FDO(err)) if is_absent(&err) => return Ok(None),
            Err(Error::MethodError(..)) => return Ok(None),
            Err(err) => return Err(err),
        };
        let value: OwnedVariant = answer.body().deserialize()?;
        Ok(T::try_from(value).ok())
    }
}

fn is_absent(err: &fdo::Error) -> bool {
    matches!(
        err,
        fdo::Error::UnknownObject(_)
            | fdo::Error::UnknownProperty(_)
            | fdo::Error::UnknownInterface(_)
            | fdo::Error::UnknownMethod(_)
            | fdo::Error::InvalidArgs(_)
            | fdo::Error::Failed(_)
    )
}
