# The wasm tag that a C++ throw carries. libc++abi expects the platform to define it, and here we are the platform.
.globl __cpp_exception
.tagtype __cpp_exception i32
__cpp_exception:
