;; Describes itself with 100,000 media types that are all the same 20 bytes.
;; memory: 64
(func (export "describe") (result i32)
  (local $at i32)
  (local.set $at (i32.const 1000000))
  (loop $more
    (i32.store (local.get $at) (i32.const 0))
    (i32.store offset=4 (local.get $at) (i32.const 20))
    (local.set $at (i32.add (local.get $at) (i32.const 8)))
    (br_if $more (i32.lt_u (local.get $at) (i32.const 1800000))))
  (i32.store (i32.const 88) (i32.const 1000000))
  (i32.store (i32.const 92) (i32.const 100000))
  (i32.const 64))
