;; Calls a sentence the JSON Schema of its parameters.
(func (export "describe") (result i32)
  (i32.store (i32.const 100) (i32.const 144))
  (i32.store (i32.const 104) (i32.const 21))
  (i32.const 64))
