;; Has an asynchronous function without a callback, whose every call would keep a stack.
;; contract: 2
;; beside:
(core module $m (func (export "f")))
(core instance $m (instantiate $m))
(func $stackful async (canon lift (core func $m "f") async))
(core instance $beside)
