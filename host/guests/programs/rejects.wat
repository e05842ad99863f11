;; Fails with the case that the file's size names: unsupported, malformed, failed. The text ends in an escape sequence.
(func (export "analyze") (param i32 i32) (param $size i64) (param i32 i32 i32) (result i32)
  (call $fail (i32.wrap_i64 (local.get $size))))
