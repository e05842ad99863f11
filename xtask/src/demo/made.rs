//! Files of the demo that are longer than a fixture: made the same each time, from a seed.

use std::f64::consts::TAU;
use std::fmt::Write as _;

/// Hours of the weather: a year.
const HOURS: u32 = 365 * 24;
/// Lines of the log.
const LINES: u32 = 1_500;

/// What a weather station might write down in a year: an hour a row.
pub(super) fn weather() -> String {
    let mut chance = Chance::new(1);
    let mut text = String::from("hour,temperature_c,wind_m_s,rain_mm,sky\n");
    for hour in 0..HOURS {
        let (day, of_day) = (f64::from(hour) / 24.0, f64::from(hour % 24) / 24.0);
        let year = -(TAU * day / 365.0).cos();
        let temperature = 9.5 + 9.0 * year - 3.5 * (TAU * of_day).cos() + chance.spread(4.0);
        let wind = (3.5 - year + chance.spread(3.0)).max(0.0);
        let wet = chance.below(100) < 14;
        let rain = if wet { chance.part() * chance.part() * 6.0 } else { 0.0 };
        let sky = if wet { "rain" } else { ["clear", "clear", "cloudy"][chance.below(3)] };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{hour},{temperature:.1},{wind:.1},{rain:.1},{sky}");
    }
    text
}

/// What a small web server might log in a night.
pub(super) fn server_log() -> String {
    const PATHS: [&str; 6] =
        ["/", "/about", "/images/harbour.jpg", "/search?q=filemill", "/api/orders/4711/invoice", "/feed.xml"];
    let mut chance = Chance::new(2);
    let mut text = String::new();
    let mut second = 0;
    for _ in 0..LINES {
        second += 1 + chance.below(24);
        let (hour, minute) = (second / 3600 % 24, second / 60 % 60);
        let path = PATHS[chance.below(PATHS.len())];
        let (level, status) = match chance.below(50) {
            0 => ("error", 500),
            1 | 2 => ("warn", 404),
            _ => ("info", 200),
        };
        let took = 1.0 + chance.part() * chance.part() * 80.0;
        let client = format!("192.0.2.{}", 1 + chance.below(250));
        let _ = writeln!(
            text,
            "{hour:02}:{minute:02}:{:02} {level:<5} {client:<11} GET {path} {status} {took:.1} ms",
            second % 60
        );
    }
    text
}

/// Numbers that look as if nobody had chosen them (the generator of Knuth's MMIX).
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From 0 to 1.
    fn part(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from((self.0 >> 32) as u32) / f64::from(u32::MAX)
    }

    /// From 0 to `end`, which it is not.
    fn below(&mut self, end: usize) -> usize {
        ((self.part() * end as f64) as usize).min(end.saturating_sub(1))
    }

    /// About nought, seldom further from it than `reach`.
    fn spread(&mut self, reach: f64) -> f64 {
        (self.part() + self.part() + self.part() - 1.5) / 1.5 * reach
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_the_same_each_time() {
        for make in [weather, server_log] {
            assert_eq!(make(), make());
        }
        let weather = weather();
        assert_eq!(weather.lines().count(), HOURS as usize + 1);
        assert!(weather.lines().all(|line| line.split(',').count() == 5));
        assert_eq!(server_log().lines().count(), LINES as usize);
    }
}
