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

/// A machine whose clocks a test sets.
#[derive(Clone)]
pub(crate) struct ManualTime(Arc<Mutex<Machine>>);

impl ManualTime {
    /// A machine that was started an hour before this second.
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
    /// Time passes, awake or in suspend.
    pub(crate) fn pass(&self, seconds: i64) {
        self.change(|m| {
            (m.wall_ms, m.boottime_ms) =
                (m.wall_ms + seconds * 1000, m.boottime_ms + seconds * 1000);
        });
    }
    /// Somebody sets the wall clock.
    pub(crate) fn step(&self, seconds: i64) {
        self.change(|m| m.wall_ms += seconds * 1000);
    }
    pub(crate) fn set_synchronised(&self, is: bool) {
        self.change(|m| m.synchronised = is);
    }
    /// The machine is off for a time by the true clock, and starts with its wall clock off by more
    /// seconds.
    pub(crate) fn reboot(&self, off: i64, error: i64) {
        self.change(|m| {
            (m.wall_ms, m.boottime_ms, m.boot) =
                (m.wall_ms + (off + error) * 1000, 20_000, m.boot + 1);
        });
    }
    /// Lets time pass; the clock is checked each second of the first minute and each minute after
    /// it.
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
    /// The daemon is started again.
    fn restart(&mut self, trust: TrustAtStart) {
        self.restart_with_store(trust, None);
    }
    /// The daemon is started again with a store whose last commit was at this second.
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
    /// Seconds of trusted time since the beginning.
    fn passed(&self) -> i64 {
        self.clock.now().0 as i64 - BEGIN
    }
    fn run(&self, seconds: i64) {
        self.time.run(&self.clock, seconds);
    }
}

#[test]
fn a_wall_clock_that_is_wrong_for_three_seconds_moves_nothing() {
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
fn a_wall_clock_that_is_wrong_for_a_week_moves_nothing_unless_the_kernel_calls_it_synchronised() {
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
fn a_synchronised_wall_clock_is_adopted_after_ten_steady_minutes() {
    for days in [60, -60] {
        let b = Bench::new();
        b.run(5);
        b.time.step(days * DAY);
        b.time.set_synchronised(true);
        b.run(540);
        assert_eq!((b.state(), b.passed()), (ClockState::Differs, 545));
        // Steadiness is measured anew after each step.
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
fn a_wall_clock_within_25_hours_is_adopted_after_a_steady_hour_and_one_beyond_is_not() {
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
fn an_operator_can_accept_the_wall_clock() {
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
fn a_step_of_two_seconds_is_slewed_and_never_goes_back() {
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
fn suspend_is_time_that_passes() {
    let b = Bench::new();
    b.run(100);
    b.time.pass(3 * DAY);
    b.run(1);
    assert_eq!((b.state(), b.passed()), (ClockState::Agrees, 3 * DAY + 101));
    // No check was made meanwhile: suspend does not make a wrong clock a steady one.
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
fn a_restart_of_the_daemon_alone_is_exact_whatever_the_wall_clock_says() {
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
fn a_wall_clock_that_is_400_days_ahead_at_a_start_is_not_taken() {
    let mut b = Bench::new();
    b.run(60);
    b.clock.save();
    b.run(40);
    b.time.reboot(60, 400 * DAY);
    b.restart(TrustAtStart::Plausible);
    assert_eq!(
        (b.state(), b.passed()),
        (ClockState::Unconfirmed, 60),
        "from the last record on"
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
    // Another start of the daemon does not confirm it.
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
fn a_wall_clock_is_taken_at_a_start_within_seven_days_or_when_synchronised_or_always_trusted() {
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
fn forty_days_off_are_accepted_with_ntp_and_wait_without() {
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
        "it ran steadily all the time"
    );
}

#[test]
fn trust_at_start_confirms_a_clock_that_a_start_before_left_open() {
    let mut b = Bench::new();
    b.time.reboot(40 * DAY, 0);
    b.restart(TrustAtStart::Plausible);
    assert_eq!(b.state(), ClockState::Unconfirmed);
    b.restart(TrustAtStart::Always);
    assert_eq!((b.state(), b.passed()), (ClockState::Agrees, 40 * DAY));
}

#[test]
fn a_store_without_a_record_takes_the_wall_clock() {
    let mut b = Bench::new();
    b.time.reboot(400 * DAY, 0);
    std::fs::remove_file(b.dir.path().join("clock")).unwrap();
    b.restart(TrustAtStart::Plausible);
    assert_eq!((b.state(), b.passed()), (ClockState::Agrees, 400 * DAY));
}

/// The record was lost, the wall clock was wrong, and the whole list ended.
#[test]
fn without_a_record_the_last_commit_of_the_store_bounds_the_wall_clock() {
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
fn a_record_with_a_number_that_is_no_time_is_damaged() {
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
fn the_record_is_written_each_minute_and_a_damaged_one_counts_as_none() {
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
        assert!(record::read(&path).is_err(), "cut at {i}");
    }
    b.time.reboot(400 * DAY, 0);
    b.restart(TrustAtStart::Plausible);
    assert_eq!(b.state(), ClockState::Agrees);
    assert!(record::read(&path).unwrap().is_some(), "it is written anew");
}

#[test]
fn a_record_of_a_run_that_is_longer_than_this_one_is_of_another_run() {
    let mut b = Bench::new();
    // Another machine, or another time namespace, with the same boot id.
    b.time
        .change(|m| (m.boottime_ms, m.wall_ms) = (1000, m.wall_ms + 400 * DAY * 1000));
    b.restart(TrustAtStart::Plausible);
    assert_eq!((b.state(), b.passed()), (ClockState::Unconfirmed, 0));
}

#[test]
fn the_clocks_of_this_machine_can_be_read() {
    let source = SystemTimeSource::default();
    let (wall, boottime) = (source.wall_ms(), source.boottime_ms());
    assert!(wall > 1_700_000_000_000 && boottime > 0);
    assert_eq!(source.boot_id().map(|id| id.len()), Some(36));
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert!((15..5000).contains(&(source.boottime_ms() - boottime)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// While the kernel reports no synchronisation, no sequence of wall clocks moves trusted time
    /// by more than 25 hours at a time, and never before an hour has passed; below that it keeps
    /// the pace of the time since the machine started.
    #[test]
    fn no_sequence_of_wall_clocks_hurries_trusted_time(steps in prop::collection::vec((1i64..9000, -400 * DAY..400 * DAY, 0u8..4), 1..20)) {
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
