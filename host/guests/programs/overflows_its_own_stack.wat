;; Lets the stack that it keeps in its memory grow below the memory's beginning.
(global $stack (mut i32) (i32.const 65536))
(func $deeper (result i32)
  (global.set $stack (i32.sub (global.get $stack) (i32.const 4096)))
  (i32.store (global.get $stack) (i32.const 0))
  (i32.add (call $deeper) (i32.const 1)))
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32) (result i32)
  (call $deeper))
