;; Returns with streams, sets and a call that has not ended, none of them dropped.
;; contract: 2
(func $analyze (export "analyze")
  (param $name i32) (param $name_len i32) (param $size i64) (param $bytes i32) (param $input i32) (param $parameters i32)
  (param $parameters_len i32) (result i32)
  (local $times i32)
  (loop $more
    (drop (call $stream_new))
    (drop (call $set_new))
    (drop (call $start_ended (local.get $input) (i32.const 16)))
    (local.set $times (i32.add (local.get $times) (i32.const 1)))
    (br_if $more (i32.lt_u (local.get $times) (i32.const 100))))
  (call $report_nothing)
  (global.get $exit))
