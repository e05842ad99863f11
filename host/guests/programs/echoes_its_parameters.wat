;; Reports its parameters, and logs the file's name.
(func (export "analyze")
  (param $name i32) (param $name_len i32) (param i64 i32) (param $parameters i32) (param $parameters_len i32)
  (result i32)
  (call $log (i32.const 0) (local.get $name) (local.get $name_len))
  (call $report (local.get $parameters) (local.get $parameters_len)))
