;; Has the version `one`.
(data (i32.const 1024) "one")
(func (export "describe") (result i32)
  (i32.store (i32.const 72) (i32.const 1024))
  (i32.store (i32.const 76) (i32.const 3))
  (i32.const 64))
