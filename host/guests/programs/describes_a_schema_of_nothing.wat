;; Gives `true` for the JSON Schema of its reports, which the contract does not allow.
(data (i32.const 1024) "true")
(func (export "describe") (result i32)
  (i32.store (i32.const 108) (i32.const 1024))
  (i32.store (i32.const 112) (i32.const 4))
  (i32.const 64))
