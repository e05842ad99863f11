//! What a server's log says of trouble.

/// Leases that ended by themselves, and lines that are warnings or errors.
pub(crate) fn read_log(text: &str) -> (u64, u64) {
    let ended = text.lines().filter(|line| line.contains("leases ended by themselves"));
    let leases = ended.filter_map(|line| {
        let number = line.split("leases=").nth(1)?;
        let end = number.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(number.len());
        number[..end].parse::<u64>().ok()
    });
    let warnings = text.lines().filter(|line| line.contains(" WARN ") || line.contains("ERROR ")).count();
    (leases.sum(), warnings as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_says_how_many_leases_ended() {
        let log = "T  INFO filemill_server::maintenance::expire: leases ended by themselves leases=3\n\
                   T  WARN request{route=\"/v1\"}: answered status=503\n\
                   T ERROR x: y\n\
                   T  INFO leases ended by themselves leases=12 more=1\n";
        assert_eq!(read_log(log), (15, 2));
    }
}
