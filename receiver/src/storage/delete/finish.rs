//! When a deletion is done: nothing is left that it hides.

use sqlx::PgPool;
use tracing::info;

/// Marks the deletions as done whose merged blocks are rewritten, and before which everything else is merged.
pub(in crate::storage) async fn finish(db: &PgPool) -> Result<(), sqlx::Error> {
    let done: Vec<i64> = sqlx::query_scalar(
        "UPDATE watchpost.deletion d SET done_at = now()
          WHERE d.done_at IS NULL AND d.rewritten_at IS NOT NULL
            -- Batches of before are in blocks; the flush left out what is hidden.
            AND NOT EXISTS (
                SELECT FROM watchpost.batch b
                  JOIN unnest(d.writers, d.seqs) AS u (writer, seq) ON u.writer = b.writer AND b.seq <= u.seq
                  JOIN watchpost.writer w ON w.id = b.writer AND b.seq > w.flushed_seq)
            -- Blocks that were flushed before are merged; the merge left it out.
            AND NOT EXISTS (
                SELECT FROM watchpost.block_recent b
                  JOIN unnest(d.writers, d.seqs) AS u (writer, seq) ON u.writer = b.writer AND b.seq <= u.seq
                 WHERE b.pack = ANY (d.packs) AND b.t_min <= d.t_to AND b.t_max >= d.t_from
                   AND NOT EXISTS (SELECT FROM watchpost.merged m
                                    WHERE m.source = 'block_recent' AND m.bucket = b.bucket))
        RETURNING d.id",
    )
    .fetch_all(db)
    .await?;
    for deletion in done {
        info!(deletion, "deletion {deletion} is done");
    }
    Ok(())
}
