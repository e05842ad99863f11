;; Starts and cancels calls for ever.
;; contract: 2
(func $analyze (export "analyze")
  (param $name i32) (param $name_len i32) (param $size i64) (param $bytes i32) (param $input i32) (param $parameters i32)
  (param $parameters_len i32) (result i32)
  (local $subtask i32)
  (loop $more
    (local.set $subtask (i32.shr_u (call $start_ended (local.get $input) (i32.const 16)) (i32.const 4)))
    (drop (call $subtask_cancel (local.get $subtask)))
    (call $subtask_drop (local.get $subtask))
    (br $more))
  (unreachable))
