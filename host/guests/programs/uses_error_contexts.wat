;; Makes an error context, which no contract knows.
;; contract: 2
;; beside:
(core func $new (canon error-context.new (memory $memory)))
(core instance $beside (export "new" (func $new)))
