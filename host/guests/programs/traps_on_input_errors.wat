;; Reads until there is an error, and gives up.
(func (export "analyze") (param i32 i32 i64) (param $input i32) (param i32 i32) (result i32)
  (loop $more
    (call $reset)
    (call $read (local.get $input) (i64.const 100) (i32.const 16))
    (br_if $more (i32.eqz (i32.load8_u (i32.const 16)))))
  (unreachable))
