//! One budget for all memories and tables of a component.

use wasmtime::ResourceLimiter;

use super::stop::Stop;

/// What wasmtime keeps for each element of a table.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

/// Counts what the guest has; in WebAssembly nothing ever shrinks, so that this is the peak as well.
///
/// A growth beyond the limit ends the run instead of answering −1: most engines would only abort then, with a trap
/// that says nothing, and a hostile one would ask for ever.
pub(super) struct Memory {
    used_bytes: usize,
    limit_bytes: usize,
}

impl Memory {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { used_bytes: 0, limit_bytes }
    }

    pub(super) fn peak_bytes(&self) -> u64 {
        self.used_bytes as u64
    }

    fn grow(&mut self, current_bytes: usize, desired_bytes: usize) -> wasmtime::Result<bool> {
        let used = self.used_bytes.saturating_add(desired_bytes.saturating_sub(current_bytes));
        if used > self.limit_bytes {
            return Err(Stop::Memory { limit_bytes: self.limit_bytes }.into());
        }
        self.used_bytes = used;
        Ok(true)
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        // Beyond the memory's own maximum the growth fails anyway, and must not be counted.
        if maximum.is_some_and(|maximum| desired > maximum) && desired <= self.limit_bytes {
            return Ok(false);
        }
        self.grow(current, desired)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.grow(current.saturating_mul(TABLE_ELEMENT_BYTES), desired.saturating_mul(TABLE_ELEMENT_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_share_one_budget() {
        let mut memory = Memory::new(200_000);
        assert!(memory.memory_growing(0, 65_536, None).expect("fits"));
        assert!(memory.memory_growing(0, 65_536, None).expect("a second memory fits"));
        assert!(memory.table_growing(0, 1_000, None).expect("8,000 bytes fit"));
        assert_eq!(memory.peak_bytes(), 139_072);
        let over = memory.memory_growing(65_536, 131_072, None).expect_err("is over");
        assert_eq!(over.downcast_ref(), Some(&Stop::Memory { limit_bytes: 200_000 }));
        memory.table_growing(1_000, usize::MAX, None).expect_err("is over");
        assert_eq!(memory.peak_bytes(), 139_072);
    }

    #[test]
    fn what_a_module_may_not_have_by_its_own_declaration_is_not_counted() {
        let mut memory = Memory::new(1 << 20);
        assert!(!memory.memory_growing(65_536, 131_072, Some(65_536)).expect("is refused"));
        assert!(!memory.table_growing(10, 20, Some(15)).expect("is refused"));
        assert_eq!(memory.peak_bytes(), 0);
    }
}
