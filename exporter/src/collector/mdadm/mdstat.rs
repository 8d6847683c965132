//! `/proc/mdstat`: a few lines for each array, made for people.
//!
//! ```text
//! md0 : active raid1 sdb1[2](F) sda1[0]
//!       248896 blocks [2/1] [U_]
//!       [=====>...............]  recovery = 27.8% (69120/248896) finish=0.0min speed=69120K/sec
//! ```

use crate::scan;

/// One array.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Array<'a> {
    pub(super) name: &'a [u8],
    /// `active`, `inactive`, `recovering`, `resync` or `check`.
    pub(super) state: &'static str,
    pub(super) active_disks: u64,
    pub(super) total_disks: u64,
    pub(super) failed_disks: u64,
    pub(super) spare_disks: u64,
    pub(super) blocks: u64,
    pub(super) blocks_synced: u64,
}

/// All arrays; `None` when one lacks what every array has.
pub(super) fn parse(text: &[u8]) -> Option<Vec<Array<'_>>> {
    let mut arrays: Vec<Array<'_>> = Vec::new();
    let mut lines = scan::lines(text).peekable();
    while let Some(line) = lines.next() {
        let Some(mut array) = parse_head(line) else { continue };
        let status = lines.next()?;
        array.read_status(status)?;
        array.blocks_synced = array.blocks;
        while let Some(detail) =
            lines.next_if(|line| line.starts_with(b" ") || line.starts_with(b"\t"))
        {
            array.read_progress(detail);
        }
        arrays.push(array);
    }
    Some(arrays)
}

/// `md0 : active (auto-read-only) raid1 sdb1[2](F) sda1[0]`; other lines at the margin are general.
fn parse_head(line: &[u8]) -> Option<Array<'_>> {
    let mut words = scan::fields(line);
    let name = words.next()?;
    if line.starts_with(b" ") || line.starts_with(b"Personalities") || line.starts_with(b"unused") {
        return None;
    }
    if words.next()? != b":" {
        return None;
    }
    let is_active = words.next()? == b"active";
    let mut array = Array {
        name,
        state: if is_active { "active" } else { "inactive" },
        active_disks: 0,
        total_disks: 0,
        failed_disks: 0,
        spare_disks: 0,
        blocks: 0,
        blocks_synced: 0,
    };
    let mut n_disks = 0;
    for disk in words.filter(|word| word.contains(&b'[')) {
        n_disks += 1;
        if disk.ends_with(b"(F)") {
            array.failed_disks += 1;
        } else if disk.ends_with(b"(S)") {
            array.spare_disks += 1;
        }
    }
    // RAID 0 and linear have no `[total/active]`: each of their disks is needed.
    if is_active {
        array.active_disks = n_disks - array.failed_disks - array.spare_disks;
        array.total_disks = n_disks;
    }
    Some(array)
}

impl Array<'_> {
    /// `248896 blocks super 1.2 [2/1] [U_]`
    fn read_status(&mut self, line: &[u8]) -> Option<()> {
        let mut words = scan::fields(line);
        self.blocks = scan::u64(words.next()?)?;
        if words.next()? != b"blocks" {
            return None;
        }
        for word in words {
            let counts = word.strip_prefix(b"[").and_then(|word| word.strip_suffix(b"]"));
            if let Some((total, active)) = counts.and_then(|counts| scan::split_once(counts, b'/'))
                && let (Some(total), Some(active)) = (scan::u64(total), scan::u64(active))
            {
                self.total_disks = total;
                self.active_disks = active;
            }
        }
        Some(())
    }

    /// `[=>...]  recovery = 27.8% (69120/248896) finish=…`, `resync=PENDING`, `bitmap: …`
    fn read_progress(&mut self, line: &[u8]) {
        let mut words = scan::fields(line).skip_while(|word| word.starts_with(b"["));
        let Some(word) = words.next() else { return };
        let (action, rest) = scan::split_once(word, b'=').unwrap_or((word, b""));
        self.state = match action {
            // A reshape rebuilds as well.
            b"recovery" | b"reshape" => "recovering",
            b"resync" => "resync",
            b"check" => "check",
            _ => return,
        };
        if rest == b"PENDING" || rest == b"DELAYED" {
            self.blocks_synced = 0;
            return;
        }
        let progress = words.find_map(|word| {
            let (done, _) = scan::split_once(word.strip_prefix(b"(")?.strip_suffix(b")")?, b'/')?;
            scan::u64(done)
        });
        self.blocks_synced = progress.unwrap_or(self.blocks_synced);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays() {
        let text = b"Personalities : [raid1] [raid6]\n\
            md3 : active raid6 sda1[8] sdh1[7] sdg1[6](S) sdf1[5](F)\n\
            \x20     5853468288 blocks super 1.2 level 6, 64k chunk, algorithm 2 [8/7] [UUUUUUU_]\n\
            \x20     [>....................]  recovery =  8.5% (16775552/195310144) finish=17.0min speed=259783K/sec\n\
            \x20     bitmap: 0/30 pages [0KB], 65536KB chunk\n\
            \n\
            md1 : active raid0 sda2[0] sdb2[1]\n\
            \x20     314159265 blocks 64k chunks\n\
            \n\
            md7 : inactive sdc3[0](S)\n\
            \x20     1953 blocks super 1.2\n\
            md8 : active raid1 sda3[0] sdb3[1]\n\
            \x20     100 blocks [2/2] [UU]\n\
            \tresync=DELAYED\n\
            md9 : active raid1 sda3[0] sdb3[1]\n\
            \x20     100 blocks [2/2] [UU]\n\
            \x20     [=>...]  check = 10% (10/100) finish=1min\n\
            unused devices: <none>\n";
        let found: Vec<_> = parse(text)
            .unwrap()
            .into_iter()
            .map(|a| {
                let name = String::from_utf8(a.name.to_vec()).unwrap();
                let disks = [a.active_disks, a.total_disks, a.failed_disks, a.spare_disks];
                (name, a.state, disks, a.blocks, a.blocks_synced)
            })
            .collect();
        let row = |name: &str, state, disks, blocks, synced| {
            (name.to_owned(), state, disks, blocks, synced)
        };
        assert_eq!(
            found,
            [
                row("md3", "recovering", [7, 8, 1, 1], 5_853_468_288, 16_775_552),
                row("md1", "active", [2, 2, 0, 0], 314_159_265, 314_159_265),
                row("md7", "inactive", [0, 0, 0, 1], 1953, 1953),
                row("md8", "resync", [2, 2, 0, 0], 100, 0),
                row("md9", "check", [2, 2, 0, 0], 100, 10),
            ]
        );
    }

    #[test]
    fn garbage() {
        assert_eq!(parse(b"unused devices: <none>\n"), Some(vec![]));
        assert_eq!(parse(b"\xff\n \n:\n"), Some(vec![]));
        assert_eq!(parse(b"md0 : active raid1 sda[0]\n"), None);
        assert_eq!(parse(b"md0 : active raid1 sda[0]\n nonsense\n"), None);
        assert_eq!(
            parse(b"md0 : active raid1 sda[0](F)(S)\n 1 blocks [x/y] [[/]]\n (/) = \n")
                .unwrap()
                .len(),
            1
        );
    }
}
