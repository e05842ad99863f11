;; Waits for something in a set that it does not have.
;; contract: 2
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32 i32) (result i32) (call $wait_for (i32.const 12345)))
