//! Small SVG charts for engines: bars or one line, axes, titles. They read well on light and on dark ground, carry no script and
//! refer to nothing outside, and every text is escaped.
//!
//! ```
//! use filemill_plot::{Axis, Bar, Chart, Unit};
//!
//! let chart = Chart::new("Ages", Axis::new("age", Unit::Number), Axis::new("people", Unit::Number));
//! let svg = chart.bars(&[Bar { from: 0.0, to: 50.0, height: 7.0 }, Bar { from: 50.0, to: 100.0, height: 3.0 }]);
//! assert!(svg.starts_with("<svg") && svg.contains(">Ages<"));
//! ```

mod axis;
mod text;

use std::fmt::Write as _;

pub use axis::{Axis, Unit};

use axis::Scale;
use text::{escaped, shortened};

/// A bar of a histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// Where it begins on the x axis.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// How high it is, from 0.
    pub height: f64,
}

/// What a chart says beside its data.
#[derive(Debug, Clone)]
pub struct Chart {
    title: String,
    x: Axis,
    y: Axis,
}

/// Width of the picture, in pixels.
const WIDTH: f64 = 640.0;
/// Its height.
const HEIGHT: f64 = 320.0;
/// Where the data lies in it.
const LEFT: f64 = 64.0;
const RIGHT: f64 = WIDTH - 20.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = HEIGHT - 52.0;

/// What of a title has room.
const TITLE_CHARACTERS: usize = 72;

/// Attributes give the light colours, so that a reader without style sheets has them too; the style turns them dark.
const STYLE: &str = "<style>text{font-family:system-ui,sans-serif;font-variant-numeric:tabular-nums}\
@media(prefers-color-scheme:dark){.g{fill:#17191d}.t{fill:#e8eaed}.a{fill:#a6adb8}.r{stroke:#353a43}.b{stroke:#7d8592}\
.d{fill:#6ea8fe}.l{stroke:#6ea8fe}}</style>";

impl Chart {
    /// A chart with a title and two axes. Long titles are cut.
    pub fn new(title: impl Into<String>, x: Axis, y: Axis) -> Self {
        Self { title: shortened(&title.into(), TITLE_CHARACTERS), x, y }
    }

    /// The chart with bars that stand on the x axis. What is not a finite number is left out.
    pub fn bars(&self, bars: &[Bar]) -> String {
        let finite = |bar: &&Bar| bar.from.is_finite() && bar.to.is_finite() && bar.height.is_finite();
        let bars: Vec<_> = bars.iter().filter(finite).collect();
        let x = Scale::over(&self.x, bars.iter().flat_map(|bar| [bar.from, bar.to]));
        let y = Scale::over(&self.y, bars.iter().map(|bar| bar.height).chain([0.0]));
        let mut svg = self.begun(&x, &y);
        for bar in bars {
            let (left, right) = (x.place(bar.from, LEFT, RIGHT), x.place(bar.to, LEFT, RIGHT));
            let top = y.place(bar.height, BOTTOM, TOP);
            // A gap between bars, as far as they are wide enough for one; what is there at all, is seen.
            let width = (right - left - if right - left > 4.0 { 1.0 } else { 0.0 }).max(0.5);
            let height = if bar.height > 0.0 { (BOTTOM - top).max(1.0) } else { 0.0 };
            let top = BOTTOM - height;
            let _ = write!(
                svg,
                r##"<rect class="d" x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{height:.1}" fill="#1f6feb"/>"##
            );
        }
        finished(svg)
    }

    /// The chart with a line through `points`, which rise in x, and the area below it. What is not finite is left out.
    pub fn line(&self, points: &[(f64, f64)]) -> String {
        let points: Vec<_> = points.iter().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        let x = Scale::over(&self.x, points.iter().map(|point| point.0));
        let y = Scale::over(&self.y, points.iter().map(|point| point.1).chain([0.0]));
        let mut svg = self.begun(&x, &y);
        let mut path = String::new();
        for (at, value) in &points {
            let step = if path.is_empty() { 'M' } else { 'L' };
            let (at, value) = (x.place(*at, LEFT, RIGHT), y.place(*value, BOTTOM, TOP));
            let _ = write!(path, "{step}{at:.1} {value:.1}");
        }
        if let (Some(first), Some(last)) = (points.first(), points.last()) {
            let (first, last) = (x.place(first.0, LEFT, RIGHT), x.place(last.0, LEFT, RIGHT));
            let _ = write!(
                svg,
                r##"<path class="d" d="{path}L{last:.1} {BOTTOM}L{first:.1} {BOTTOM}Z" fill="#1f6feb" fill-opacity="0.18"/>"##
            );
            let _ = write!(
                svg,
                r##"<path class="l" d="{path}" fill="none" stroke="#1f6feb" stroke-width="1.5" stroke-linejoin="round"/>"##
            );
        }
        finished(svg)
    }

    /// Everything but the data.
    fn begun(&self, x: &Scale, y: &Scale) -> String {
        let title = escaped(&self.title);
        let mut svg = format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img"><title>{title}</title>{STYLE}<rect class="g" width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>"##
        );
        let mut text = |x: f64, y: f64, size: u32, anchor: &str, class: &str, extra: &str, text: &str| {
            let fill = if class == "t" { "#1c2128" } else { "#59636e" };
            let _ = write!(
                svg,
                r#"<text class="{class}" x="{x:.1}" y="{y:.1}" font-size="{size}" text-anchor="{anchor}" fill="{fill}"{extra}>{}</text>"#,
                escaped(text)
            );
        };
        text(LEFT, 26.0, 15, "start", "t", r#" font-weight="600""#, &self.title);
        text(f64::midpoint(LEFT, RIGHT), HEIGHT - 12.0, 12, "middle", "a", "", self.x.title());
        let middle = f64::midpoint(TOP, BOTTOM);
        text(16.0, middle, 12, "middle", "a", &format!(r#" transform="rotate(-90 16 {middle})""#), self.y.title());
        for tick in x.ticks() {
            text(x.place(tick, LEFT, RIGHT), BOTTOM + 17.0, 11, "middle", "a", "", &x.label(tick));
        }
        for tick in y.ticks() {
            text(LEFT - 8.0, y.place(tick, BOTTOM, TOP) + 3.5, 11, "end", "a", "", &y.label(tick));
        }
        for tick in y.ticks() {
            let at = y.place(tick, BOTTOM, TOP);
            let _ = write!(svg, r##"<path class="r" d="M{LEFT} {at:.1}H{RIGHT}" stroke="#e1e4e8"/>"##);
        }
        let _ = write!(svg, r##"<path class="b" d="M{LEFT} {BOTTOM}H{RIGHT}" stroke="#8b949e"/>"##);
        svg
    }
}

fn finished(mut svg: String) -> String {
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(title: &str) -> Chart {
        Chart::new(title, Axis::new("x", Unit::Number), Axis::new("y", Unit::Number))
    }

    #[test]
    fn a_hostile_title_stays_a_text() {
        let svg = chart("</text><script>alert('1')</script>&\u{0}\u{ffff}").bars(&[]);
        assert!(!svg.contains("<script"), "{svg}");
        assert!(svg.contains("&lt;script&gt;alert(&#39;1&#39;)"), "{svg}");
        assert!(!svg.contains(['\u{0}', '\u{ffff}']), "{svg}");
        let long = chart(&"x".repeat(10_000)).bars(&[]);
        assert!(long.len() < 5_000, "{}", long.len());
    }

    #[test]
    fn odd_numbers_make_a_picture_without_them() {
        let values = [f64::NAN, f64::INFINITY, f64::MAX, f64::MIN, 0.0, 1e-300, -0.0];
        for from in values {
            for to in values {
                for height in values {
                    let bars = chart("odd").bars(&[Bar { from, to, height }]);
                    let line = chart("odd").line(&[(from, height), (to, height)]);
                    for svg in [bars, line] {
                        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{from} {to} {height}: {svg}");
                        assert!(svg.len() < 20_000, "{from} {to} {height}: {}", svg.len());
                    }
                }
            }
        }
    }

    #[test]
    fn a_bar_that_is_there_is_seen() {
        let bars = [Bar { from: 0.0, to: 1.0, height: 1e9 }, Bar { from: 1.0, to: 2.0, height: 1.0 }];
        let svg = chart("two").bars(&bars);
        assert_eq!(svg.matches(r#"class="d""#).count(), 2);
        assert!(svg.contains(r#"height="1.0""#), "{svg}");
    }
}
