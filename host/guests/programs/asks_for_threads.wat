;; Asks how many threads it may start.
;; contract: 2
;; beside:
(core func $threads (canon thread.available_parallelism))
(core instance $beside (export "threads" (func $threads)))
