//! One value as people read it.

use super::node::Node;

const KIB: f64 = 1024.0;

/// A value that is neither a list nor an object, in the format and the unit that its schema names. What does not fit the format
/// is shown as it is.
pub(super) fn scalar(value: &Node, format: Option<&str>, unit: Option<&str>) -> String {
    let number = match value {
        Node::Null => return "–".to_owned(),
        Node::Bool(value) => return if *value { "yes" } else { "no" }.to_owned(),
        Node::Text(text) => return text.clone(),
        Node::Unsigned(number) => *number as f64,
        Node::Signed(number) => *number as f64,
        Node::Float(number) => *number,
        Node::List(..) | Node::Object(..) => return String::new(),
    };
    let plain = match value {
        Node::Unsigned(number) => number.to_string(),
        Node::Signed(number) => number.to_string(),
        _ => decimal(number),
    };
    match format {
        Some("bytes") => bytes(number, &plain),
        Some("count") => grouped(&plain),
        Some("percent") => format!("{plain} %"),
        Some("duration") => seconds_in(unit).map_or(plain, |factor| duration(number * factor)),
        _ => with_unit(plain, unit),
    }
}

fn with_unit(number: String, unit: Option<&str>) -> String {
    // UCUM: annotations stand in braces, `1` is no unit, `By` the byte.
    match unit.map(|unit| unit.trim_matches(['{', '}'])) {
        None | Some("" | "1") => number,
        Some("By") => format!("{number} B"),
        Some(unit) => format!("{number} {unit}"),
    }
}

/// A number with as many digits as are worth reading.
fn decimal(number: f64) -> String {
    if number != 0.0 && !(1e-4..1e15).contains(&number.abs()) {
        return format!("{number:.4e}");
    }
    let text = format!("{number:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn bytes(number: f64, plain: &str) -> String {
    let exact = format!("{} B", grouped(plain));
    if number < KIB {
        return exact;
    }
    let mut number = number / KIB;
    for unit in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if number < KIB {
            return format!("{number:.2} {unit} ({exact})");
        }
        number /= KIB;
    }
    exact
}

/// 1234567 → 1,234,567.
fn grouped(number: &str) -> String {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", number),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return number.to_owned();
    }
    let groups: Vec<&str> = {
        let first = digits.len() % 3;
        let (head, tail) = digits.split_at(first);
        let tail = (0..tail.len() / 3).map(|group| &tail[group * 3..group * 3 + 3]);
        std::iter::once(head).filter(|head| !head.is_empty()).chain(tail).collect()
    };
    format!("{sign}{}", groups.join(","))
}

/// How many seconds the unit is.
fn seconds_in(unit: Option<&str>) -> Option<f64> {
    Some(match unit {
        None | Some("s") => 1.0,
        Some("ms") => 1e-3,
        Some("us") => 1e-6,
        Some("ns") => 1e-9,
        Some("min") => 60.0,
        Some("h") => 3600.0,
        Some("d") => 86_400.0,
        Some(_) => return None,
    })
}

fn duration(seconds: f64) -> String {
    match seconds.abs() {
        0.0 => "0 s".to_owned(),
        small if small < 1e-3 => format!("{:.0} µs", seconds * 1e6),
        small if small < 1.0 => format!("{:.0} ms", seconds * 1e3),
        small if small < 60.0 => format!("{seconds:.2} s"),
        small if small < 3600.0 => format!("{} min {:.0} s", (seconds / 60.0).trunc(), seconds.abs() % 60.0),
        _ => format!("{} h {:.0} min", (seconds / 3600.0).trunc(), (seconds.abs() % 3600.0) / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well_in_every_format() {
        let shown = |value: f64, format: &str, unit: &str| scalar(&Node::Float(value), Some(format), Some(unit));
        let whole = |value: u64, format: &str| scalar(&Node::Unsigned(value), Some(format), None);
        assert_eq!(whole(999, "bytes"), "999 B");
        assert_eq!(whole(u64::MAX, "bytes"), "18,446,744,073,709,551,615 B");
        assert_eq!(whole(1 << 30, "bytes"), "1.00 GiB (1,073,741,824 B)");
        assert_eq!(whole(100, "count"), "100");
        assert_eq!(scalar(&Node::Signed(-1_234_567), Some("count"), None), "-1,234,567");
        assert_eq!(shown(0.25, "duration", "s"), "250 ms");
        assert_eq!(shown(75.0, "duration", "s"), "1 min 15 s");
        assert_eq!(shown(2.5, "duration", "h"), "2 h 30 min");
        assert_eq!(shown(40.0, "duration", "us"), "40 µs");
        assert_eq!(shown(3.0, "duration", "lightyear"), "3");
        assert_eq!(shown(1.0 / 3.0, "", "bit/By"), "0.3333 bit/By");
        assert_eq!(shown(80.0, "", "{character}"), "80 character");
        assert_eq!(shown(1e300, "", "1"), "1.0000e300");
        assert_eq!(scalar(&Node::Text("abc".into()), Some("bytes"), Some("By")), "abc");
    }
}
