;; Calls itself `../../etc`.
(data (i32.const 1024) "../../etc")
(func (export "describe") (result i32)
  (i32.store (i32.const 64) (i32.const 1024))
  (i32.store (i32.const 68) (i32.const 9))
  (i32.const 64))
