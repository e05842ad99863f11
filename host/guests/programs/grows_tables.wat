;; Two tables, both grown for ever.
(table $one 0 funcref)
(table $two 0 funcref)
(func (export "analyze") (param i32 i32 i64 i32 i32 i32) (result i32)
  (loop $more
    (drop (table.grow $one (ref.null func) (i32.const 10000)))
    (drop (table.grow $two (ref.null func) (i32.const 10000)))
    (br $more))
  (unreachable))
