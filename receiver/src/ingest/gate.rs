//! What stands before the store: the rules of the configuration file, and what they said of the series that were seen.
//!
//! Rules are pure, so each is asked once about the label bytes of a series, and the answer is kept under their hash
//! ([`Keys`]): a series in the index, or nothing. A request works with one [`Standing`] from its beginning to its end;
//! other rules come with another, and what was remembered under the old ones goes with those.

use std::sync::{Arc, RwLock};

use promql::model::{LabelError, Labels};
use sqlx::PgPool;

use super::{
    Limits, Reason,
    keys::Keys,
    quota::{self, Quotas},
    relabel::{self, Outcome},
    replicas::{Peer, Replicas},
};
use crate::config::Rules;

/// Holds the [`Standing`] that is in force. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Gate(Arc<RwLock<Arc<Standing>>>);

/// Rules, and what they said.
#[derive(Debug)]
pub(super) struct Standing {
    rules: Rules,
    pub(super) keys: Keys,
    /// The same under all rules.
    pub(super) replicas: Replicas,
    /// The same under all rules.
    pub(super) quotas: Quotas,
}

/// What is made of a series that is not known.
#[derive(Debug)]
pub(super) enum Judged {
    /// Who sends it, and its labels as they are stored.
    Kept(Peer, Labels),
    /// It is not wanted.
    Dropped,
}

impl Gate {
    pub(super) fn new(rules: Rules) -> Self {
        let standing = Standing::new(rules, Replicas::default(), Quotas::default());
        Self(Arc::new(RwLock::new(Arc::new(standing))))
    }

    pub(super) fn standing(&self) -> Arc<Standing> {
        Arc::clone(&self.0.read().expect("no holder panics"))
    }

    /// Reads who leads among replicas, and goes on agreeing with other receivers about it while this is in use.
    pub(super) async fn agree(&self, db: PgPool) -> Result<(), sqlx::Error> {
        let replicas = self.standing().replicas.clone();
        replicas.load(&db).await?;
        let gate = Arc::downgrade(&self.0);
        tokio::spawn(replicas.agree(db, move || {
            let standing = Arc::clone(&gate.upgrade()?.read().expect("no holder panics"));
            Some(standing.rules.replicas.as_ref().map(|settings| settings.timeout.0))
        }));
        Ok(())
    }

    /// Puts other rules in force, for requests that come from now on.
    pub(super) fn replace(&self, rules: Rules) {
        let mut standing = self.0.write().expect("no holder panics");
        *standing =
            Arc::new(Standing::new(rules, standing.replicas.clone(), standing.quotas.clone()));
    }
}

impl Standing {
    pub(super) fn new(rules: Rules, replicas: Replicas, quotas: Quotas) -> Self {
        Self { rules, keys: Keys::default(), replicas, quotas }
    }

    /// How many series jobs may have, if that is limited.
    pub(super) fn limits(&self) -> Option<&quota::Settings> {
        self.rules.limits.as_ref()
    }

    /// What the rules make of a series that is not known. Replicas are told apart by the labels that were sent.
    pub(super) fn judge(
        &self,
        labels: Labels,
        limits: &Limits,
        now: i64,
    ) -> Result<Judged, Reason> {
        let (peer, labels) = match &self.rules.replicas {
            Some(settings) => self.replicas.split(settings, labels, now)?,
            None => (Peer::NOBODY, labels),
        };
        let rules = &self.rules.write_relabel_configs;
        if rules.is_empty() {
            return Ok(Judged::Kept(peer, labels));
        }
        match relabel::apply(rules, &labels)? {
            Outcome::Dropped => Ok(Judged::Dropped),
            Outcome::Kept(pairs) => Ok(Judged::Kept(peer, checked(pairs, limits)?)),
        }
    }
}

/// Rules may make what no sender may send.
fn checked(pairs: Vec<(String, String)>, limits: &Limits) -> Result<Labels, Reason> {
    if pairs.len() > limits.labels_per_series_max {
        return Err(Reason::TooManyLabels);
    }
    for (name, value) in &pairs {
        if name.len() > limits.label_name_bytes_max {
            return Err(Reason::LabelNameTooLong);
        }
        if value.len() > limits.label_value_bytes_max {
            return Err(Reason::LabelValueTooLong);
        }
        if name.contains('\0') || value.contains('\0') {
            return Err(Reason::NulByte);
        }
    }
    let labels = Labels::from_pairs(pairs).map_err(|err| match err {
        LabelError::EmptyName => Reason::EmptyLabelName,
        LabelError::Duplicate { .. } => Reason::DuplicateLabel,
    })?;
    if labels.metric_name().is_empty() {
        return Err(Reason::NoMetricName);
    }
    if labels.metric_name().len() > limits.label_name_bytes_max {
        return Err(Reason::LabelNameTooLong);
    }
    Ok(labels)
}
