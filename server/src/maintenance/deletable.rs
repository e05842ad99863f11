//! By what time things are deleted: the database's clock, as far as it can be explained.
//!
//! Rows say when something was finished or last touched by the database's clock, and after days or months it goes. Were that
//! clock trusted, a jump of a year would delete every result. So servers look how far it went since the last look, and how much
//! time has really passed: that of the machine's clock since its start, which also runs while the machine sleeps and while the
//! server is stopped. What the two differ by is a *gap*. It is told; and deletion takes it up only after servers
//! were running for a day with it, in which somebody can mend the clock. All of it is in the database: whoever
//! restarts a server in the middle of a jump wins nothing.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::handle::Maintenance;
use crate::retry::ms;
use crate::store::StoreError;
use crate::store::maintenance::ClockRow;

/// How long a gap that nothing explains puts deletion off, in time that is explained.
const PUT_OFF: Duration = Duration::from_secs(24 * 3600);
/// Less than this is no gap: clocks are set by some seconds now and then.
const TOLERANCE_MS: i64 = 10_000;
/// How long what was seen may wait to be written down, if all is well.
const WRITE_EVERY_MS: i64 = 30_000;
/// The same, where another machine has written last: how long that was ago is known to this one only since its last look.
const TAKE_OVER_MS: i64 = 5_000;
/// Gaps that are kept apart. Of more, the newest count as one.
const MAX_GAPS: usize = 64;
/// How far this machine's clock may be from the database's before it is told.
const APART_MS: i64 = 300_000;

/// A gap: how long, and how much explained time must still pass until it counts.
type Gap = (i64, i64);

/// What a look found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// The clock went as far as time did.
    Nothing,
    /// It went so much further (or back, if less than 0), and nothing explains that.
    Jump(i64),
}

/// A look at the database's clock.
struct Look<'a> {
    boot: &'a str,
    /// The machine's uptime when the clock was read, at the earliest and at the latest.
    uptime: (i64, i64),
    /// Its uptime before this server's last look.
    before: Option<i64>,
}

impl Maintenance {
    /// Until when things that are kept for a time were finished, by the database's clock: now, less what it jumped lately.
    pub(crate) async fn deletable(&self) -> Result<i64, StoreError> {
        let before = self.looks.remembered().uptime;
        let early = uptime_ms();
        let row = self.store.clocks().await?;
        let look = Look { boot: boot(), uptime: (early, uptime_ms()), before };
        let (next, found) = step(&row, &look);
        let foreign = row.boot != look.boot;
        let unwritten = row.now.saturating_sub(row.wall);
        let due = found != Found::Nothing || unwritten > if foreign { TAKE_OVER_MS } else { WRITE_EVERY_MS };
        let next = if due { self.write_clocks(before).await? } else { next };
        self.looks.set_uptime(early);
        self.tell_apart(next.now);
        Ok(next.deletable)
    }

    /// Looks again with the row locked: another server may have seen the same.
    async fn write_clocks(&self, before: Option<i64>) -> Result<ClockRow, StoreError> {
        let mut tx = self.store.begin().await?;
        let early = uptime_ms();
        let row = tx.lock_clocks().await?;
        let (next, found) = step(&row, &Look { boot: boot(), uptime: (early, uptime_ms()), before });
        tx.set_clocks(&next).await?;
        tx.commit().await?;
        match found {
            Found::Jump(jump) => tracing::warn!(
                jump_seconds = jump / 1000,
                "the database's clock has jumped, and nothing explains it: nobody is blamed for that, and what is kept for a \
                 time is not deleted by it before servers were running for 24 hours (hint: check the clock of the database's \
                 machine; after a time in which no server ran there is nothing to do)"
            ),
            Found::Nothing if parse(&row.gaps).len() > parse(&next.gaps).len() => {
                tracing::info!("a jump of the database's clock was 24 hours ago: deletion goes by it now");
            }
            Found::Nothing => {}
        }
        Ok(next)
    }

    /// URLs are signed by this machine's clock, which storage compares with its own.
    fn tell_apart(&self, database_ms: i64) {
        let Ok(own) = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) else { return };
        let difference = ms(own).saturating_sub(database_ms);
        let apart = difference.saturating_abs() > APART_MS;
        if self.looks.say_apart(apart) {
            tracing::warn!(
                seconds = difference / 1000,
                "this machine's clock and the database's are far apart (hint: storage refuses URLs that were signed by a wrong \
                 clock: keep the clocks of all machines in time)"
            );
        }
    }
}

/// What the row becomes by a look.
fn step(row: &ClockRow, look: &Look<'_>) -> (ClockRow, Found) {
    let went = row.now.saturating_sub(row.wall);
    // The most that can have passed since the row was written.
    let passed = if row.boot == look.boot {
        look.uptime.1.saturating_sub(row.uptime).max(0)
    } else {
        // Another machine wrote it after this server's last look, or within the time that is not written down before it. To a
        // server that has not looked before, it may have been alone until now, and written as seldom as such a one does.
        look.before
            .map_or(WRITE_EVERY_MS, |before| look.uptime.1.saturating_sub(before).max(0).saturating_add(TAKE_OVER_MS))
    };
    let mut gaps = parse(&row.gaps);
    let mut deletable = row.deletable;
    let found = if went < -TOLERANCE_MS {
        // What is deleted by an earlier time is less. The newest gap is the one that was mended, most likely.
        let mut back = went.saturating_neg();
        while back > 0
            && let Some((length, wait)) = gaps.pop()
        {
            if length > back {
                gaps.push((length - back, wait));
            }
            back = back.saturating_sub(length).max(0);
        }
        deletable = deletable.saturating_sub(back);
        Found::Jump(went)
    } else {
        let explained = went.clamp(0, passed.saturating_add(TOLERANCE_MS));
        for gap in &mut gaps {
            gap.1 = gap.1.saturating_sub(explained);
        }
        let over: i64 = gaps.iter().filter(|gap| gap.1 <= 0).fold(0, |sum, gap| sum.saturating_add(gap.0));
        gaps.retain(|gap| gap.1 > 0);
        deletable = deletable.saturating_add(explained).saturating_add(over);
        let jump = went - explained;
        if jump > 0 {
            let before = if gaps.len() < MAX_GAPS { 0 } else { gaps.pop().map_or(0, |gap| gap.0) };
            gaps.push((jump.saturating_add(before), ms(PUT_OFF)));
            Found::Jump(jump)
        } else {
            Found::Nothing
        }
    };
    let next = ClockRow {
        wall: row.now,
        boot: look.boot.to_owned(),
        uptime: look.uptime.0,
        deletable: deletable.min(row.now),
        gaps: serde_json::to_string(&gaps).unwrap_or_else(|_| "[]".to_owned()),
        now: row.now,
    };
    (next, found)
}

fn parse(gaps: &str) -> Vec<Gap> {
    serde_json::from_str(gaps).unwrap_or_default()
}

/// How long this machine has been running, in milliseconds, its sleep included.
fn uptime_ms() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}

/// Which start of which machine that is since.
fn boot() -> &'static str {
    static BOOT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    BOOT.get_or_init(|| {
        let read = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        read.map(|id| id.trim().to_owned()).ok().filter(|id| !id.is_empty()).unwrap_or_else(|| {
            // A start of this process: what passed before it is not explained.
            let mut id = [0_u8; 16];
            let _zeros_are_taken_for_another_start = aws_lc_rs::rand::fill(&mut id);
            format!("process-{}", data_encoding::HEXLOWER.encode(&id))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;

    /// A database with a clock of its own, looked at by machines.
    struct World {
        row: ClockRow,
        /// What really passed.
        time: i64,
        /// By how much the database's clock is ahead.
        ahead: i64,
        before: std::collections::HashMap<&'static str, i64>,
    }

    impl World {
        fn new() -> Self {
            let wall = 100 * 365 * DAY;
            let row =
                ClockRow { wall, boot: String::new(), uptime: 0, deletable: wall, gaps: "[]".to_owned(), now: wall };
            let mut world = Self { row, time: 0, ahead: 0, before: Default::default() };
            world.look("a");
            world
        }

        fn wall(&self) -> i64 {
            100 * 365 * DAY + self.time + self.ahead
        }

        /// A machine looks; its uptime counts from its own number of milliseconds.
        fn look(&mut self, boot: &'static str) -> Found {
            self.row.now = self.wall();
            let uptime = self.time + boot.len() as i64 * 77 * DAY;
            let look = Look { boot, uptime: (uptime, uptime + 3), before: self.before.insert(boot, uptime) };
            let (next, found) = step(&self.row, &look);
            self.row = next;
            found
        }

        /// Time passes, and a machine looks each minute.
        fn pass(&mut self, time: i64, boot: &'static str) {
            let until = self.time + time;
            while self.time < until {
                self.time += MINUTE.min(until - self.time);
                assert_eq!(self.look(boot), Found::Nothing);
            }
        }

        /// The machine starts anew: nothing is remembered, and it counts from another moment.
        fn reboot(&mut self) {
            self.before.clear();
            self.row.boot = "before".to_owned();
        }

        fn lag(&self) -> i64 {
            self.wall() - self.row.deletable
        }
    }

    #[test]
    fn deletion_goes_with_a_clock_that_does_not_jump() {
        let mut world = World::new();
        world.pass(3 * DAY, "a");
        assert_eq!(world.lag(), 0);
    }

    #[test]
    fn a_jump_forward_deletes_nothing_for_a_day_and_then_what_is_due() {
        for jump in [HOUR, 7 * DAY, 30 * DAY, 365 * DAY] {
            let mut world = World::new();
            world.ahead = jump;
            assert!(matches!(world.look("a"), Found::Jump(found) if (found - jump).abs() <= 2 * TOLERANCE_MS));
            world.pass(DAY - MINUTE, "a");
            assert!((world.lag() - jump).abs() <= 2 * TOLERANCE_MS, "{}", world.lag());
            world.pass(2 * MINUTE, "a");
            assert_eq!(world.lag(), 0);
        }
    }

    #[test]
    fn a_clock_that_is_mended_within_the_day_has_deleted_nothing() {
        let mut world = World::new();
        world.ahead = 365 * DAY;
        world.look("a");
        world.pass(20 * HOUR, "a");
        world.ahead = 0;
        assert!(matches!(world.look("a"), Found::Jump(found) if found < 0));
        world.pass(10 * DAY, "a");
        assert!(world.lag().abs() <= TOLERANCE_MS, "and goes on as before: {}", world.lag());
    }

    #[test]
    fn a_jump_back_makes_nothing_deletable() {
        let mut world = World::new();
        world.pass(DAY, "a");
        world.ahead = -365 * DAY;
        world.look("a");
        assert!(world.lag() >= 0, "what is finished now would be a year old: {}", world.lag());
        world.pass(2 * DAY, "a");
        world.ahead = 0;
        world.look("a");
        world.pass(DAY - MINUTE, "a");
        assert!(world.lag() >= 364 * DAY);
        world.pass(2 * MINUTE, "a");
        assert_eq!(world.lag(), 0);
    }

    #[test]
    fn a_restart_in_the_middle_of_a_jump_wins_nothing() {
        let mut world = World::new();
        world.ahead = 365 * DAY;
        for _ in 0..100 {
            world.reboot();
            world.look("a");
            world.pass(MINUTE, "a");
        }
        assert!(world.lag() >= 364 * DAY);
    }

    #[test]
    fn a_jump_over_a_restart_puts_deletion_off_too() {
        let mut world = World::new();
        world.ahead = 30 * DAY;
        world.reboot();
        assert!(matches!(world.look("a"), Found::Jump(_)));
        world.pass(DAY - MINUTE, "a");
        assert!(world.lag() >= 29 * DAY);
    }

    #[test]
    fn time_in_which_the_same_machine_slept_or_ran_no_server_is_explained() {
        let mut world = World::new();
        world.time += 60 * HOUR;
        world.before.clear();
        assert_eq!(world.look("a"), Found::Nothing);
        assert_eq!(world.lag(), 0);
    }

    #[test]
    fn a_server_that_is_off_every_weekend_still_deletes() {
        let mut world = World::new();
        for _ in 0..10 {
            world.pass(5 * DAY, "a");
            assert_eq!(world.lag(), 0, "on Friday all is deleted that was due");
            world.time += 2 * DAY;
            world.reboot();
            world.look("a");
        }
    }

    #[test]
    fn a_server_that_is_off_every_night_lags_behind_by_some_nights_only() {
        let mut world = World::new();
        for _ in 0..100 {
            world.pass(8 * HOUR, "a");
            world.time += 16 * HOUR;
            world.reboot();
            world.look("a");
            assert!(world.lag() <= 3 * 16 * HOUR + TOLERANCE_MS, "{}", world.lag());
        }
    }

    #[test]
    fn servers_on_two_machines_explain_each_others_time() {
        let mut world = World::new();
        for _ in 0..1000 {
            for boot in ["a", "bb"] {
                world.time += 3_000;
                let found = world.look(boot);
                assert!(found == Found::Nothing || world.time < 10_000, "{found:?}");
            }
        }
        assert_eq!(world.lag(), 0);
        world.ahead = 7 * DAY;
        assert!(matches!(world.look("a"), Found::Jump(_)));
        assert_eq!(world.look("bb"), Found::Nothing, "it is counted once");
        assert!((world.lag() - 7 * DAY).abs() <= 2 * TOLERANCE_MS);
    }

    #[test]
    fn who_takes_over_from_a_server_that_was_alone_tells_of_no_jump() {
        let mut world = World::new();
        world.pass(DAY, "a");
        // All was well, so nothing was written down for this long.
        world.time += WRITE_EVERY_MS + 3_000;
        assert_eq!(world.look("bb"), Found::Nothing);
        assert_eq!(world.lag(), 0);
    }

    #[test]
    fn gaps_without_number_are_bounded() {
        let mut world = World::new();
        for _ in 0..1000 {
            world.ahead += HOUR;
            world.look("a");
        }
        assert!(parse(&world.row.gaps).len() <= MAX_GAPS);
        assert!((world.lag() - 1000 * HOUR).abs() <= 1001 * TOLERANCE_MS);
        world.pass(DAY + MINUTE, "a");
        assert_eq!(world.lag(), 0);
    }
}
