-- Which jobs wrote to a day of windows: asked when the day becomes final, and, under a lock, when its partition is dropped.
CREATE INDEX block_window_job_idx ON watchpost.block_window (job);
