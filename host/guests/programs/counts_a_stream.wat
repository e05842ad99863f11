;; A good engine: reads its stream to the end, says how far it is, and reports {"bytes":N}.
;; contract: 2
(data (i32.const 1024) "{\"bytes\":")
(data (i32.const 1100) "counting")
(func (export "analyze")
  (param $name i32) (param $name_len i32) (param $size i64) (param $bytes i32) (param $input i32) (param $parameters i32)
  (param $parameters_len i32) (result i32)
  (local $sum i64) (local $done i32)
  (call $log (i32.const 1) (i32.const 1100) (i32.const 8))
  (loop $more
    (local.set $done (call $read (local.get $bytes) (i32.const 131072) (i32.const 1048576)))
    (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (i32.shr_u (local.get $done) (i32.const 4)))))
    (br_if $more (i32.eqz (i32.and (local.get $done) (i32.const 15)))))
  (call $drop_readable (local.get $bytes))
  (call $ended (local.get $input) (i32.const 16))
  (call $drop_input (local.get $input))
  (if (i32.load8_u (i32.const 16)) (then (call $fail (i32.const 2)) (return (global.get $exit))))
  (call $progress (i32.const 1000))
  (call $report_number (i32.const 1024) (i32.const 9) (local.get $sum))
  (global.get $exit))

;; A report of the given prefix, a decimal number and a closing brace.
(func $report_number (param $prefix i32) (param $prefix_len i32) (param $number i64)
  (local $at i32) (local $power i64)
  (memory.copy (i32.const 2048) (local.get $prefix) (local.get $prefix_len))
  (local.set $at (i32.add (i32.const 2048) (local.get $prefix_len)))
  (local.set $power (i64.const 1))
  (block $found (loop $longer
    (br_if $found (i64.lt_u (i64.div_u (local.get $number) (local.get $power)) (i64.const 10)))
    (local.set $power (i64.mul (local.get $power) (i64.const 10)))
    (br $longer)))
  (loop $digit
    (i32.store8 (local.get $at)
      (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (i64.div_u (local.get $number) (local.get $power)) (i64.const 10)))))
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (local.set $power (i64.div_u (local.get $power) (i64.const 10)))
    (br_if $digit (i64.ne (local.get $power) (i64.const 0))))
  (i32.store8 (local.get $at) (i32.const 125))
  (call $report (i32.const 2048) (i32.sub (i32.add (local.get $at) (i32.const 1)) (i32.const 2048))))
