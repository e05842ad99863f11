;; Calls itself until its fiber's stack ends.
;; contract: 2
(func $deeper (param i64) (result i64)
  (i64.add (call $deeper (i64.add (local.get 0) (i64.const 1))) (i64.const 1)))
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32 i32) (result i32) (global.get $go_on))
(func (export "callback") (param i32 i32 i32) (result i32)
  (drop (call $deeper (i64.const 0)))
  (unreachable))
