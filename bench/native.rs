//! The peer: native Luau through mlua, as a service would use it today.

use anyhow::ensure;
use mlua::chunk::{ChunkMode, Compiler};
use mlua::{Function, Lua, Table};

/// The switches of Luau that `guest/flags.cpp` sets.
const FLAGS: [&str; 10] = [
    "LuauTableArrayAdjustCheck",
    "LuauTableMoveTimeoutFix",
    "LuauOptimizeStringSplit",
    "LuauCompileRecursiveAliases",
    "LuauCompileConcatTargetTop",
    "LuauCompileNoFoldVectorEqW",
    "LuauCompileUndoEmitAdjust",
    "LuauNoDuplicateBinaryPrefix",
    "LuauSandboxFreezesVectorMetatable",
    "LuauIntegerLibrary",
];

/// Sets the peer's switches as Motu's are: both run the same code. Before the first VM.
pub(crate) fn set_flags() -> anyhow::Result<()> {
    for flag in FLAGS {
        ensure!(Lua::set_fflag(flag, true).is_ok(), "the peer's Luau has no switch {flag}");
    }
    Ok(())
}

/// What Motu compiles with.
pub(crate) fn compiler() -> Compiler {
    Compiler::new().set_optimization_level(2).set_debug_level(1).set_type_info_level(1)
}

/// A VM with the standard library, sandboxed, and one handler of a bundle.
pub(crate) struct Native {
    pub(crate) handler: Function,
    _lua: Lua,
}

impl Native {
    /// Loads a bundle from source.
    pub(crate) fn from_source(source: &str, event: &str) -> mlua::Result<Native> {
        Native::new(source.as_bytes(), ChunkMode::Text, event)
    }

    /// Loads a bundle from bytecode, as [`compiler`] made it.
    pub(crate) fn from_bytecode(bytecode: &[u8], event: &str) -> mlua::Result<Native> {
        Native::new(bytecode, ChunkMode::Binary, event)
    }

    fn new(code: &[u8], mode: ChunkMode, event: &str) -> mlua::Result<Native> {
        let lua = Lua::new();
        #[cfg(feature = "jit")]
        lua.enable_jit(false);
        lua.set_compiler(compiler());
        lua.sandbox(true)?;
        let handlers: Table = lua.load(code).set_mode(mode).set_name("=init.luau").eval()?;
        Ok(Native { handler: handlers.get(event)?, _lua: lua })
    }
}

/// The name and release of the native Luau.
pub(crate) fn version() -> mlua::Result<String> {
    let lua = Lua::new();
    let version: String = lua.globals().get("_VERSION")?;
    Ok(format!("native {version}"))
}
