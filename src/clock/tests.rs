use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;

const DAY: i64 = 86_400;

#[derive(Debug, Clone)]
struct Machine {
    wall_ms: i64,
    boottime_ms: i64,
    boot: u32,
    synchronised: bool,
}

/// A machine whose clocks a test controls.
#[derive(Clone)]
pub(crate) struct ManualTime(Arc<Mutex<Machine>>);

impl ManualTime {
    /// A machine that was started an hour before this time.
    pub(crate) fn at(second: i64) -> ManualTime {
        ManualTime(Arc::new(Mutex::new(Machine {
            wall_ms: second * 1000,
            boottime_ms: 3_600_000,
            boot: 1,
            synchronised: false,
        })))
    }
    fn change(&self, f: impl FnOnce(&mut Machine)) {
        f(&mut self.0.lock().unwrap());
    }
    /// Lets time pass, awake or in suspend.
    pub(crate) fn pass(&self, seconds: i64) {
        self.change(|m| {
            (m.wall_ms, m.boottime_ms) =
                (m.wall_ms + seconds * 1000, m.boottime_ms + seconds * 1000);
        });
    }
    /// Moves the wall clock.
    pub(crate) fn step(&self, seconds: i64) {
        self.change(|m| m.wall_ms += seconds * 1000);
    }
    pub(crate) fn set_synchronised(&self, is: bool) {
        self.change(|m| m.synchronised = is);
    }
    /// Turns the machine off for `off` seconds, and starts it with a wall clock that is wrong by
    /// `error` seconds.
    pub(crate) fn reboot(&self, off: i64, error: i64) {
        self.change(|m| {
            (m.wall_ms, m.boottime_ms, m.boot) =
                (m.wall_ms + (off + error) * 1000, 20_000, m.boot + 1);
        });
    }
    /// Lets time pass, and checks the clock each second of the first minute and each minute after
    /// that.
    pub(crate) fn run(&self, clock: &Clock, seconds: i64) {
        let mut left = seconds;
        while left > 0 {
            let step = if seconds - left < 60 { 1 } else { left.min(60) };
            self.pass(step);
            clock.check();
            left -= step;
        }
    }
}

impl TimeSource for ManualTime {
    fn wall_ms(&self) -> i64 {
        self.0.lock().unwrap().wall_ms
    }
    fn boottime_ms(&self) -> i64 {
        self.0.lock().unwrap().boottime_ms
    }
    fn boot_id(&self) -> Option<String> {
        Some(format!("boot-{}", self.0.lock().unwrap().boot))
    }
    fn is_synchronised(&self) -> bool {
        self.0.lock().unwrap().synchronised
    }
}

const BEGIN: i64 = 1_800_000_000;

/// A machine, its folder, and a clock that has run and written its record.
struct Bench {
    time: ManualTime,
    dir: tempfile::TempDir,
    clock: Clock,
}

impl Bench {
    fn new() -> Bench {
        let (time, dir) = (ManualTime::at(BEGIN), tempfile::tempdir().unwrap());
        let clock = Clock::start(
            time.clone(),
            Some(dir.path().join("clock")),
            TrustAtStart::Plausible,
            None,
        );
        clock.save();
        Bench { time, dir, clock }
    }
    /// Restarts the daemon.
    fn restart(&mut self, trust: TrustAtStart) {
        self.restart_with_store(trust, None);
    }
    /// Restarts the daemon with a store whose last commit was at this time.
    fn restart_with_store(&mut self, trust: TrustAtStart, last_commit: Option<i64>) {
        let last_commit = last_commit.map(|s| Time(s as u64));
        self.clock = Clock::start(
            self.time.clone(),
            Some(self.dir.path().join("clock")),
            trust,
            last_commit,
        );
        self.clock.save();
    }
    fn state(&self) -> ClockState {
        self.clock.report().state
    }
    /// Seconds of trusted time since [`BEGIN`].
    fn passed(&self) -> i64 {
        self.clock.now().0 as i64 - BEGIN
    }
    fn run(&self, seconds: i64) {
        self.time.run(&self.clock, seconds);
    }
}

#[test]
fn wall_clock_that_is_wrong_for_three_seconds_is_ignored() {
    for days in [60, -60] {
        let b = Bench::new();
        b.run(10);
        b.time.step(days * DAY);
        b.run(3);
        assert_eq!((b.state(), b.passed()), (ClockState::Differs, 13));
        b.time.step(-days * DAY);
        b.run(1);
        assert_eq!((b.state(), b.passed()), (ClockState::Agrees, 14));
    }
}

#[test]
fn wall_clock_that_is_wrong_for_a_week_is_ignored_unless_synchronised() {
    for days in [60, -60] {
        let b = Bench::new();
        b.time.step(days * DAY);
        b.run(7 * DAY);
        assert_eq!((b.state(), b.passed()), (ClockState::Differs, 7 * DAY));
        b.time.step(-days * DAY);
        b.run(1);
        assert_eq!((b.state(), b.passed()), (ClockState::Agrees, 7 * DAY + 1));
    }
}

#[test]
fn synchronised_wall_clock_is_adopted_after_ten_steady_minutes() {
    for days in [60, -60] {
        let b = Bench::new();
        b.run(5);
        b.time.step(days * DAY);
        b.time.set_synchronised(true);
        b.run(540);
        assert_eq!((b.state(), b.passed()), (ClockState::Differs, 545));
        // A step restarts the measurement of steadiness.
        b.time.step(7);
        b.run(540);
        assert_eq!(b.state(), ClockState::Differs);
        b.run(120);
        assert_eq!(
            (b.state(), b.passed()),
            (ClockState::Agrees, 5 + 540 + 540 + 120 + 7 + days * DAY)
        );
        assert_eq!(b.clock.report().adoptions, 1);
    }
}

#[test]
fn unsynchronised_wall_clock_is_adopted_after_a_steady_hour_only_within_25_hours() {
    for (hours, adopted) in [(25i64, true), (-25, true), (26, false), (-26, false)] {
        let b = Bench::new();
        b.time.step(hours * 3600 - hours.signum() * 10);
        b.run(3540);
        assert_eq!(b.state(), ClockState::Differs);
        b.run(120);
        assert_eq!(b.state() == ClockState::Agrees, adopted, "{hours}");
    }
}

#[test]
fn accepted_wall_clock_is_adopted_at_once() {
    let b = Bench::new();
    b.time.step(60 * DAY);
    b.run(1);
    assert!(
        b.clock
            .report()
            .problem()
            .unwrap()
            .contains("clock differs")
    );
    let (before, after) = b.clock.accept();
    assert_eq!((after.0 - before.0) as i64, 60 * DAY);
    assert_eq!(
        (b.state(), b.passed(), b.clock.report().problem()),
        (ClockState::Agrees, 60 * DAY + 1, None)
    );
}

#[test]
fn step_of_two_seconds_is_slewed_without_going_back() {
    for step in [2, -2] {
        let b = Bench::new();
        b.time.step(step);
        let mut last = b.clock.now();
        for _ in 0..300 {
            b.run(1);
            assert!(b.clock.now() >= last);
            last = b.clock.now();
        }
        assert_eq!(b.state(), ClockState::Agrees);
        assert_eq!(
            (b.passed(), b.clock.report().offset_seconds),
            (300 + step, 0)
        );
    }
}

#[test]
fn suspend_counts_as_passed_time() {
    let b = Bench::new();
    b.run(100);
    b.time.pass(3 * DAY);
    b.run(1);
    assert_eq!((b.state(), b.passed()), (ClockState::Agrees, 3 * DAY + 101));
    // A suspend without checks does not count as steady time.
    b.time.step(3600);
    b.run(1);
    b.time.pass(3 * DAY);
    b.run(1);
    assert_eq!(
        (b.state(), b.passed()),
        (ClockState::Differs, 6 * DAY + 103)
    );
}

#[test]
fn restart_of_the_daemon_keeps_trusted_time_whatever_the_wall_clock() {
    for days in [400, -400] {
        let mut b = Bench::new();
        b.run(100);
        b.clock.save();
        b.time.step(days * DAY);
        b.time.pass(2 * DAY);
        b.restart(TrustAtStart::Plausible);
        assert_eq!(
            (b.state(), b.passed()),
            (ClockState::Differs, 2 * DAY + 100)
        );
    }
}

#[test]
fn wall_clock_400_days_ahead_at_a_start_is_not_adopted() {
    let mut b = Bench::new();
    b.run(60);
    b.clock.save();
    b.run(40);
    b.time.reboot(60, 400 * DAY);
    b.restart(TrustAtStart::Plausible);
    assert_eq!(
        (b.state(), b.passed()),
        (ClockState::Unconfirmed, 60),
        "trusted time continues from the last record"
    );
    assert!(
        b.clock
            .report()
            .problem()
            .unwrap()
            .contains("clock unconfirmed")
    );
    b.run(7 * DAY);
    assert_eq!(
        (b.state(), b.passed()),
        (ClockState::Unconfirmed, 7 * DAY + 60)
    );
    // Another restart of the daemon does not confirm the clock.
    b.clock.save();
    b.restart(TrustAtStart::Plausible);
    assert_eq!(
        (b.state(), b.passed()),
        (ClockState::Unconfirmed, 7 * DAY + 60)
    );
    b.time.step(-400 * DAY);
    b.time.set_synchronised(true);
    b.run(660);
    assert_eq!(
        (b.state(), b.passed()),
        (ClockState::Agrees, 100 + 60 + 7 * DAY + 660)
    );
}

#[test]
fn wall_clock_is_adopted_at_a_start_if_plausible_synchronised_or_always_trusted() {
    let start = |off: i64, synchronised: bool, trust| {
        let mut b = Bench::new();
        b.time.reboot(off, 0);
        b.time.set_synchronised(synchronised);
        b.restart(trust);
        (b.state() == ClockState::Agrees).then(|| b.passed())
    };
    for off in [-299, 0, 7 * DAY - 1, 7 * DAY] {
        assert_eq!(start(off, false, TrustAtStart::Plausible), Some(off));
    }
    for off in [-301, 7 * DAY + 1, 40 * DAY, -40 * DAY] {
        assert_eq!(start(off, false, TrustAtStart::Plausible), None);
        assert_eq!(start(off, true, TrustAtStart::Plausible), Some(off));
        assert_eq!(start(off, false, TrustAtStart::Always), Some(off));
    }
}

#[test]
fn after_forty_days_off_the_wall_clock_is_adopted_when_it_is_synchronised() {
    let mut b = Bench::new();
    b.time.reboot(40 * DAY, 0);
    b.time.set_synchronised(true);
    b.restart(TrustAtStart::Plausible);
    assert_eq!((b.state(), b.passed()), (ClockState::Agrees, 40 * DAY));
    let mut b = Bench::new();
    b.time.reboot(40 * DAY, 0);
    b.restart(TrustAtStart::Plausible);
    b.run(3 * 3600);
    assert_eq!((b.state(), b.passed()), (ClockState::Unconfirmed, 3 * 3600));
    b.time.set_synchronised(true);
    b.run(60);
    assert_eq!(
        (b.state(), b.passed()),
        (ClockState::Agrees, 40 * DAY + 3 * 3600 + 60),
        "the wall clock ran steadily all the time"
    );
}

#[test]
fn trust_at_start_confirms_an_unconfirmed_clock() {
    let mut b = Bench::new();
    b.time.reboot(40 * DAY, 0);
    b.restart(TrustAtStart::Plausible);
    assert_eq!(b.state(), ClockState::Unconfirmed);
    b.restart(TrustAtStart::Always);
    assert_eq!((b.state(), b.passed()), (ClockState::Agrees, 40 * DAY));
}

#[test]
fn start_without_record_and_last_commit_uses_the_wall_clock() {
    let mut b = Bench::new();
    b.time.reboot(400 * DAY, 0);
    std::fs::remove_file(b.dir.path().join("clock")).unwrap();
    b.restart(TrustAtStart::Plausible);
    assert_eq!((b.state(), b.passed()), (ClockState::Agrees, 400 * DAY));
}

/// Without this rule, a lost record and a wrong wall clock would end the whole list.
#[test]
fn start_without_record_compares_the_wall_clock_with_the_last_commit() {
    for (content, hours, synchronised, trust, expected) in [
        (
            None,
            400 * 24,
            false,
            TrustAtStart::Plausible,
            ClockState::Unconfirmed,
        ),
        (
            None,
            -1,
            false,
            TrustAtStart::Plausible,
            ClockState::Unconfirmed,
        ),
        (
            Some("damaged"),
            8 * 24,
            false,
            TrustAtStart::Plausible,
            ClockState::Unconfirmed,
        ),
        (
            Some("damaged"),
            6 * 24,
            false,
            TrustAtStart::Plausible,
            ClockState::Agrees,
        ),
        (
            None,
            400 * 24,
            true,
            TrustAtStart::Plausible,
            ClockState::Agrees,
        ),
        (
            None,
            400 * 24,
            false,
            TrustAtStart::Always,
            ClockState::Agrees,
        ),
    ] {
        let mut b = Bench::new();
        b.time.step(hours * 3600);
        b.time.set_synchronised(synchronised);
        let path = b.dir.path().join("clock");
        match content {
            Some(text) => std::fs::write(&path, text).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        b.restart_with_store(trust, Some(BEGIN));
        let passed = if expected == ClockState::Agrees {
            hours * 3600
        } else {
            0
        };
        assert_eq!(
            (b.state(), b.passed()),
            (expected, passed),
            "{content:?}, {hours} hours"
        );
    }
}

#[test]
fn record_with_an_impossible_time_is_damaged() {
    let mut b = Bench::new();
    let path = b.dir.path().join("clock");
    let good = record::read(&path).unwrap().unwrap();
    for n in [i64::MIN, -1, i64::MAX / 2, i64::MAX] {
        for record in [
            Record {
                boottime: n,
                ..good.clone()
            },
            Record {
                trusted: n,
                ..good.clone()
            },
            Record {
                wall: n,
                ..good.clone()
            },
            Record {
                boottime: n,
                boot_id: "another".into(),
                ..good.clone()
            },
            Record {
                trusted: n,
                boot_id: "another".into(),
                ..good.clone()
            },
        ] {
            record::write(&path, &record).unwrap();
            assert!(
                record::read(&path).unwrap_err().contains("damaged"),
                "{record:?}"
            );
            b.restart(TrustAtStart::Plausible);
            assert_eq!((b.state(), b.passed()), (ClockState::Agrees, 0));
        }
    }
}

#[test]
fn record_is_written_each_minute_and_a_damaged_one_is_ignored() {
    let mut b = Bench::new();
    let path = b.dir.path().join("clock");
    let before = std::fs::read(&path).unwrap();
    let run = |seconds: i64| {
        for _ in 0..seconds {
            b.time.pass(1);
            b.clock.tick();
        }
    };
    run(59);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    run(2);
    let after = std::fs::read(&path).unwrap();
    assert_ne!(after, before);
    assert_eq!(
        record::read(&path).unwrap().map(|r| (r.boot_id, r.trusted)),
        Some(("boot-1".into(), (BEGIN + 60) * 1000))
    );
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    for i in 0..after.len() {
        let mut damaged = after.clone();
        damaged[i] ^= 4;
        std::fs::write(&path, &damaged).unwrap();
        assert!(
            record::read(&path).is_err(),
            "{}",
            String::from_utf8_lossy(&damaged)
        );
        std::fs::write(&path, &after[..i]).unwrap();
        assert!(record::read(&path).is_err(), "truncated at {i}");
    }
    b.time.reboot(400 * DAY, 0);
    b.restart(TrustAtStart::Plausible);
    assert_eq!(b.state(), ClockState::Agrees);
    assert!(
        record::read(&path).unwrap().is_some(),
        "the record is written again"
    );
}

#[test]
fn record_with_a_later_boottime_is_of_another_run() {
    let mut b = Bench::new();
    // Another machine, or another time namespace, with the same boot id.
    b.time
        .change(|m| (m.boottime_ms, m.wall_ms) = (1000, m.wall_ms + 400 * DAY * 1000));
    b.restart(TrustAtStart::Plausible);
    assert_eq!((b.state(), b.passed()), (ClockState::Unconfirmed, 0));
}

#[test]
fn clocks_of_this_machine_can_be_read() {
    let source = SystemTimeSource::default();
    let (wall, boottime) = (source.wall_ms(), source.boottime_ms());
    assert!(wall > 1_700_000_000_000 && boottime > 0);
    assert_eq!(source.boot_id().map(|id| id.len()), Some(36));
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert!((15..5000).contains(&(source.boottime_ms() - boottime)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// While the kernel does not report synchronisation, an adoption moves trusted time by at most
    /// 25 hours, and not before a steady hour. Otherwise trusted time advances with CLOCK_BOOTTIME.
    #[test]
    fn no_sequence_of_wall_clocks_moves_trusted_time_faster_than_adoptions_permit(steps in prop::collection::vec((1i64..9000, -400 * DAY..400 * DAY, 0u8..4), 1..20)) {
        let mut b = Bench::new();
        let (mut watched, mut adoptions_of_all) = (0, 0);
        for (seconds, jump, kind) in steps {
            let (before, adoptions) = (b.passed(), b.clock.report().adoptions);
            b.time.step(match kind { 0 => 0, 1 => jump % 6, _ => jump });
            for _ in 0..seconds / 60 {
                b.time.pass(60);
                b.clock.check();
            }
            let expected = before + seconds / 60 * 60;
            let adopted = (b.clock.report().adoptions - adoptions) as i64;
            let slack = adopted * 25 * 3600 + 6;
            (watched, adoptions_of_all) = (watched + seconds, adoptions_of_all + adopted);
            prop_assert!(adoptions_of_all <= watched / 3600, "{adoptions_of_all} in {watched} s");
            prop_assert!((b.passed() - expected).abs() <= slack, "{} for {expected}: {:?}", b.passed(), b.clock);
            if kind == 3 {
                let before = b.passed();
                b.clock.save();
                b.restart(TrustAtStart::Plausible);
                prop_assert_eq!(b.passed(), before);
            }
        }
    }
}
