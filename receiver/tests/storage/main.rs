//! The storage engine over time: simulated clocks, several receivers on one database, crashes, backups, upgrades.
//!
//! Everything goes through what others use too: `Storage`, its `Reader`, and the SQL functions.

mod hazards;
mod long_run;
mod programs;
mod property;
mod simulated;
mod upgrade;
