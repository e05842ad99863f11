;; Goes on reading a stream whose other end was dropped.
;; contract: 2
(func $analyze (export "analyze")
  (param $name i32) (param $name_len i32) (param $size i64) (param $bytes i32) (param $input i32) (param $parameters i32)
  (param $parameters_len i32) (result i32)
  (loop $more
    (drop (call $read (local.get $bytes) (i32.const 1024) (i32.const 1024)))
    (br $more))
  (unreachable))
