;; Never returns from its callback.
;; contract: 2
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32 i32) (result i32) (global.get $go_on))
(func (export "callback") (param i32 i32 i32) (result i32)
  (loop $for_ever (br $for_ever))
  (unreachable))
