;; Reads until there is nothing more, for whatever reason, and reports success.
(data (i32.const 1024) "{}")
(func (export "analyze") (param i32 i32 i64) (param $input i32) (param i32 i32) (result i32)
  (block $done (loop $more
    (call $reset)
    (call $read (local.get $input) (i64.const 100) (i32.const 16))
    (br_if $done (i32.load8_u (i32.const 16)))
    (br_if $more (i32.load (i32.const 24)))))
  (call $report (i32.const 1024) (i32.const 2)))
