;; A provider for measurements: what a call costs, what crosses, and what it calls of WASI.
(component
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock (export "now" (func (result u64)))))
  (import "wasi:random/random@0.2.0"
    (instance $random (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))

  ;; memory, and a stack of blocks in it that lasts for a call
  (core module $heap
    (memory (export "memory") 128)
    (global $at (mut i32) (i32.const 65536))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $block i32)
      (local.set $block (i32.and (i32.add (global.get $at) (i32.const 7)) (i32.const -8)))
      (global.set $at (i32.add (local.get $block) (local.get 3)))
      (local.get $block))
    (func (export "reset") (global.set $at (i32.const 65536)))
    (func (export "done") (param i32) (global.set $at (i32.const 65536))))
  (core instance $heap (instantiate $heap))
  (core func $now (canon lower (func $clock "now")))
  (core func $bytes
    (canon lower (func $random "get-random-bytes") (memory (core memory $heap "memory")) (realloc (core func $heap "realloc"))))

  (core module $fns
    (import "heap" "memory" (memory 128))
    (import "heap" "reset" (func $reset))
    (import "wasi" "now" (func $now (result i64)))
    (import "wasi" "bytes" (func $bytes (param i64 i32)))
    (func (export "nothing"))
    (func (export "add") (param f64 f64) (result f64) (f64.add (local.get 0) (local.get 1)))
    (func (export "count") (param i32 i32) (result i32) (local.get 1))
    ;; gives a list back
    (func (export "echo") (param i32 i32) (result i32)
      (i32.store (i32.const 0) (local.get 0))
      (i32.store (i32.const 4) (local.get 1))
      (i32.const 0))
    (func (export "spin") (param $n i32) (result i32)
      (local $x i32)
      (loop $again
        (local.set $x (i32.xor (local.get $x) (local.get $n)))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.get $x))
    (func (export "clock") (param $n i32)
      (loop $again
        (drop (call $now))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    (func (export "dice") (param $n i32)
      (loop $again
        (call $reset)
        (call $bytes (i64.const 1024) (i32.const 0))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
  (core instance $i (instantiate $fns
    (with "heap" (instance $heap))
    (with "wasi" (instance (export "now" (func $now)) (export "bytes" (func $bytes))))))

  (func $nothing (canon lift (core func $i "nothing")))
  (func $add (param "a" f64) (param "b" f64) (result f64) (canon lift (core func $i "add")))
  (func $numbers (param "all" (list f64)) (result u32)
    (canon lift (core func $i "count")
      (memory (core memory $heap "memory")) (realloc (core func $heap "realloc")) (post-return (core func $heap "done"))))
  (func $bytes-back (param "all" (list u8)) (result (list u8))
    (canon lift (core func $i "echo")
      (memory (core memory $heap "memory")) (realloc (core func $heap "realloc")) (post-return (core func $heap "done"))))
  (func $texts (param "all" (list string)) (result (list string))
    (canon lift (core func $i "echo")
      (memory (core memory $heap "memory")) (realloc (core func $heap "realloc")) (post-return (core func $heap "done"))))
  (func $spin (param "n" u32) (result u32) (canon lift (core func $i "spin")))
  (func $clock (param "n" u32) (canon lift (core func $i "clock")))
  (func $dice (param "n" u32) (canon lift (core func $i "dice")))
  (instance $fns
    (export "nothing" (func $nothing))
    (export "add" (func $add))
    (export "numbers" (func $numbers))
    (export "bytes" (func $bytes-back))
    (export "texts" (func $texts))
    (export "spin" (func $spin))
    (export "clock" (func $clock))
    (export "dice" (func $dice)))
  (export "bench:provider/fns@1.0.0" (instance $fns)))
