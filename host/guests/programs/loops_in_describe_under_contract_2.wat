;; Never says what it is.
;; contract: 2
(func (export "describe") (result i32)
  (loop $for_ever (br $for_ever))
  (unreachable))
