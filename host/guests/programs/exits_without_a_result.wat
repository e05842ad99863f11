;; Says that it is done, and returns nothing.
;; contract: 2
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32 i32) (result i32) (global.get $exit))
