//! systemd's part of D-Bus: `org.freedesktop.systemd1(5)`.

use std::time::Duration;

use zbus::{Connection, Error, OwnedObjectPath, OwnedVariant, connection, fdo};

const NAME: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// A connection to systemd.
pub(in crate::collector) struct Bus(Connection);

/// A unit as systemd lists it.
#[derive(Clone, Debug)]
pub(in crate::collector) struct Unit {
    pub(in crate::collector) name: String,
    pub(in crate::collector) load_state: String,
    pub(in crate::collector) active_state: String,
    /// Finer, and different for each kind of unit.
    pub(in crate::collector) sub_state: String,
    path: OwnedObjectPath,
}

/// `a(ssssssouso)`: name, description, load, active and sub state, follower, path, and three about its job.
type Listed =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

impl From<Listed> for Unit {
    fn from((name, _, load_state, active_state, sub_state, _, path, ..): Listed) -> Self {
        Self { name, load_state, active_state, sub_state, path }
    }
}

impl Unit {
    pub(in crate::collector) fn is_a(&self, kind: &str) -> bool {
        self.name.rsplit_once('.').is_some_and(|(_, suffix)| suffix == kind)
    }
}

impl Bus {
    /// Connects to the system's bus, or to another; `patience` is for that and for each call.
    pub(in crate::collector) async fn connect(
        address: Option<&str>,
        patience: Duration,
    ) -> zbus::Result<Self> {
        let builder = match address {
            Some(address) => connection::Builder::address(address),
            None => connection::Builder::system(),
        };
        let connecting = builder.method_timeout(patience).build();
        match tokio::time::timeout(patience, connecting).await {
            Ok(connected) => Ok(Self(connected?)),
            Err(_) => Err(Error::Failure("the bus does not answer".to_owned())),
        }
    }

    /// All units that systemd has loaded.
    pub(in crate::collector) async fn units(&self) -> zbus::Result<Vec<Unit>> {
        let answer =
            self.0.call_method(Some(NAME), MANAGER_PATH, Some(MANAGER), "ListUnits", &()).await?;
        let listed: Vec<Listed> = answer.body().deserialize()?;
        Ok(listed.into_iter().map(Unit::from).collect())
    }

    /// The units of these names, in their order; the primary name stands for an alias, and one that nobody wrote is
    /// `not-found`. Since systemd 230.
    pub(in crate::collector) async fn units_by_names(
        &self,
        names: &[String],
    ) -> zbus::Result<Vec<Unit>> {
        let answer = self
            .0
            .call_method(Some(NAME), MANAGER_PATH, Some(MANAGER), "ListUnitsByNames", &(names,))
            .await?;
        let listed: Vec<Listed> = answer.body().deserialize()?;
        Ok(listed.into_iter().map(Unit::from).collect())
    }

    /// A property of systemd itself.
    pub(in crate::collector) async fn manager<T>(&self, property: &str) -> zbus::Result<T>
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
    pub(in crate::collector) async fn property<T>(
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
