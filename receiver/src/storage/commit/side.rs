//! What is committed beside the samples, as ordinary rows: exemplars, and when counters started. Mostly nothing.

use sqlx::{Connection, PgConnection, PgPool};

use super::super::{
    exemplar::{self, IncomingExemplar},
    partition::{self, Table},
    start::{self, IncomingStart},
};

/// Of one group of requests.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) exemplars: Vec<IncomingExemplar>,
    pub(super) starts: Vec<IncomingStart>,
}

impl Side {
    pub(super) fn is_empty(&self) -> bool {
        self.exemplars.is_empty() && self.starts.is_empty()
    }

    pub(super) fn add(&mut self, exemplars: Vec<IncomingExemplar>, starts: Vec<IncomingStart>) {
        self.exemplars.extend(exemplars);
        self.starts.extend(starts);
    }

    /// To be called when everything is added.
    pub(super) fn tidy(&mut self) {
        start::tidy(&mut self.starts);
    }

    /// Inserts into a transaction. `day` is the bucket of exemplars.
    pub(super) async fn insert(
        &self,
        transaction: &mut PgConnection,
        day: i32,
    ) -> Result<(), sqlx::Error> {
        if !self.exemplars.is_empty() {
            exemplar::insert(transaction, day, &self.exemplars).await?;
        }
        if !self.starts.is_empty() {
            start::insert(transaction, &self.starts).await?;
        }
        Ok(())
    }

    /// The same in a transaction of its own.
    pub(super) async fn insert_alone(
        &self,
        connection: &mut PgConnection,
        day: i32,
    ) -> Result<(), sqlx::Error> {
        let mut transaction = connection.begin().await?;
        self.insert(&mut transaction, day).await?;
        transaction.commit().await
    }

    /// Makes the partition that exemplars need from this day on, and gives the day to write to.
    pub(super) async fn ensure(&self, db: &PgPool, day: i32) -> Result<i32, sqlx::Error> {
        if self.exemplars.is_empty() {
            return Ok(day);
        }
        partition::ensure(db, Table::Exemplar, day).await
    }
}
