;; Waits when it is asked what it is.
;; contract: 2
(func (export "describe") (result i32)
  (drop (call $set_wait (call $set_new) (i32.const 16)))
  (i32.const 64))
