;; Goes on reading after the end, 1,000 times, and reports when each of them was empty.
(data (i32.const 1024) "{}")
(func (export "analyze") (param i32 i32 i64) (param $input i32) (param i32 i32) (result i32)
  (local $rounds i32)
  (loop $more
    (call $reset)
    (call $read (local.get $input) (i64.const -1) (i32.const 16))
    (br_if $more (i32.load (i32.const 24))))
  (loop $again
    (call $read (local.get $input) (i64.const 1) (i32.const 16))
    (if (i32.load8_u (i32.const 16)) (then unreachable))
    (if (i32.load (i32.const 24)) (then unreachable))
    (local.set $rounds (i32.add (local.get $rounds) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $rounds) (i32.const 1000))))
  (call $report (i32.const 1024) (i32.const 2)))
