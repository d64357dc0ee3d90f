//! Bulk memory instructions in pieces. One `memory.copy`, `memory.fill` or `memory.grow` takes as long as its size says, and
//! nothing can interrupt it. Here the large ones become calls of functions that do the same 64 KiB at a time. wasmtime looks
//! at the fuel between two pieces, so a slice, a budget or a deadline ends in the middle of 60 MB as it does in any loop.
//!
//! In the module and not in `guest/libc.c`: the compiler writes these instructions wherever it knows `memcpy` and `memset`.

use crate::files::Result;
use crate::module;
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{BlockType, CodeSection, Function, FunctionSection, MemArg, Module, TypeSection, ValType};
use wasmparser::{BinaryReader, CodeSectionReader, FunctionBody, Operator, Parser, Payload, TypeRef};

/// One page of wasm memory too.
const PIECE_BYTES: i32 = 65536;

/// The kernel's smallest page, and how many of them a wasm page is.
const KERNEL_PAGE_BYTES: u64 = 4096;
const KERNEL_PAGES: u64 = 16;

/// `nop`s that run for each wasm page by which memory grows. They generate no code, and each costs fuel (`host/engine.rs`).
/// Together they cost about what the kernel takes to make 16 fresh pages of 4 KiB and to take them back.
const NOPS_PER_PAGE: usize = 800;

/// Rewrites a module so that no bulk memory instruction works on more than 64 KiB.
pub(crate) fn in_pieces(module: &[u8]) -> Result<Vec<u8>> {
    let mut shape = Shape::default();
    let mut out = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(|error| format!("the guest isn't a wasm module: {error}"))?;
        match &payload {
            Payload::TypeSection(types) => {
                let mut section = TypeSection::new();
                RoundtripReencoder.parse_type_section(&mut section, types.clone())?;
                for ty in types.clone().into_iter_err_on_gc_types() {
                    shape.parameters.push(u32::try_from(ty?.params().len())?);
                }
                section.ty().function([ValType::I32; 3], []);
                section.ty().function([ValType::I32], [ValType::I32]);
                out.section(&section);
                continue;
            }
            Payload::ImportSection(imports) => {
                for import in imports.clone().into_imports() {
                    shape.imported += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::FunctionSection(functions) => {
                let mut section = FunctionSection::new();
                for ty in functions.clone() {
                    let ty = ty?;
                    section.function(ty);
                    shape.functions.push(ty);
                }
                let three = u32::try_from(shape.parameters.len())?;
                section.function(three).function(three).function(three + 1);
                out.section(&section);
                continue;
            }
            Payload::CodeSectionStart { range, .. } => {
                let bytes = module.get(range.clone()).ok_or("the code of the guest is cut short")?;
                let bodies = CodeSectionReader::new(BinaryReader::new(bytes, range.start))?;
                out.section(&code(&shape, bodies)?);
                continue;
            }
            _ => {}
        }
        module::copy(&mut out, &payload, module)?;
    }
    Ok(out.finish())
}

/// What the code needs to know of the module before it.
#[derive(Default)]
struct Shape {
    /// How many parameters a function of each type has.
    parameters: Vec<u32>,
    imported: u32,
    /// The type of each function that isn't imported.
    functions: Vec<u32>,
}

/// The functions that are added, by index, and the type that two of them have.
struct Added {
    copy: u32,
    fill: u32,
    grow: u32,
    three: u32,
}

fn code(shape: &Shape, bodies: CodeSectionReader<'_>) -> Result<CodeSection> {
    let first = shape.imported + u32::try_from(shape.functions.len())?;
    let three = u32::try_from(shape.parameters.len())?;
    let added = Added { copy: first, fill: first + 1, grow: first + 2, three };
    let mut section = CodeSection::new();
    for (body, ty) in bodies.into_iter().zip(&shape.functions) {
        let parameters = shape.parameters.get(usize::try_from(*ty)?).ok_or("a function of the guest has no type")?;
        section.function(&rewritten(&body?, *parameters, &added)?);
    }
    section.function(&copy()).function(&fill()).function(&grow());
    Ok(section)
}

/// A function of the module, with calls in place of what may be large.
fn rewritten(body: &FunctionBody<'_>, parameters: u32, added: &Added) -> Result<Function> {
    let mut locals = Vec::new();
    let mut length = parameters; // the index of a local of our own, after the others
    for group in body.get_locals_reader()? {
        let (count, ty) = group?;
        length += count;
        locals.push((count, RoundtripReencoder.val_type(ty)?));
    }
    locals.push((1, ValType::I32));
    let mut out = Function::new(locals);
    let mut constant = None; // what the instruction before left on the stack, if that is known
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        let operator = operators.read()?;
        let known = constant.take();
        match &operator {
            Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } if known.is_some_and(is_small) => {}
            Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } => {
                let large = if matches!(operator, Operator::MemoryCopy { .. }) { added.copy } else { added.fill };
                let mut sink = out.instructions();
                sink.local_tee(length).local_get(length).i32_const(PIECE_BYTES).i32_gt_u();
                sink.if_(BlockType::FunctionType(added.three)).call(large).else_();
                out.instruction(&RoundtripReencoder.instruction(operator)?);
                out.instructions().end();
                continue;
            }
            Operator::MemoryGrow { .. } => {
                out.instructions().call(added.grow);
                continue;
            }
            Operator::MemoryInit { .. }
            | Operator::TableInit { .. }
            | Operator::TableCopy { .. }
            | Operator::TableFill { .. }
            | Operator::TableGrow { .. } => {
                return Err(format!("the guest has {operator:?}, which build/bulk.rs can't do in pieces").into());
            }
            Operator::Nop => continue, // the only ones are those of `grow`
            Operator::I32Const { value } => constant = Some(*value),
            _ => {}
        }
        out.instruction(&RoundtripReencoder.instruction(operator)?);
    }
    Ok(out)
}

fn is_small(length: i32) -> bool {
    (0..=PIECE_BYTES).contains(&length)
}

/// `copy(to, from, length)`
fn copy() -> Function {
    let (to, from, length) = (0, 1, 2);
    let mut out = Function::new([]);
    check_bounds(&mut out, to, length);
    check_bounds(&mut out, from, length);
    let mut sink = out.instructions();
    // If the target begins in the source, from the end: no piece is overwritten before it was copied.
    sink.local_get(to).local_get(from).i32_sub().local_get(length).i32_lt_u().if_(BlockType::Empty);
    {
        sink.loop_(BlockType::Empty);
        sink.local_get(length).i32_const(PIECE_BYTES).i32_gt_u().if_(BlockType::Empty);
        sink.local_get(length).i32_const(PIECE_BYTES).i32_sub().local_set(length);
        sink.local_get(to).local_get(length).i32_add();
        sink.local_get(from).local_get(length).i32_add();
        sink.i32_const(PIECE_BYTES).memory_copy(0, 0);
        sink.br(1).end().end();
    }
    sink.else_();
    {
        sink.loop_(BlockType::Empty);
        sink.local_get(length).i32_const(PIECE_BYTES).i32_gt_u().if_(BlockType::Empty);
        sink.local_get(to).local_get(from).i32_const(PIECE_BYTES).memory_copy(0, 0);
        sink.local_get(to).i32_const(PIECE_BYTES).i32_add().local_set(to);
        sink.local_get(from).i32_const(PIECE_BYTES).i32_add().local_set(from);
        sink.local_get(length).i32_const(PIECE_BYTES).i32_sub().local_set(length);
        sink.br(1).end().end();
    }
    sink.end();
    sink.local_get(to).local_get(from).local_get(length).memory_copy(0, 0).end();
    out
}

/// `fill(to, byte, length)`
fn fill() -> Function {
    let (to, byte, length) = (0, 1, 2);
    let mut out = Function::new([]);
    check_bounds(&mut out, to, length);
    let mut sink = out.instructions();
    sink.loop_(BlockType::Empty);
    sink.local_get(length).i32_const(PIECE_BYTES).i32_gt_u().if_(BlockType::Empty);
    sink.local_get(to).local_get(byte).i32_const(PIECE_BYTES).memory_fill(0);
    sink.local_get(to).i32_const(PIECE_BYTES).i32_add().local_set(to);
    sink.local_get(length).i32_const(PIECE_BYTES).i32_sub().local_set(length);
    sink.br(1).end().end();
    sink.local_get(to).local_get(byte).local_get(length).memory_fill(0).end();
    out
}

/// Traps unless all of a range is in memory, as the instruction does before its first byte.
fn check_bounds(out: &mut Function, start: u32, length: u32) {
    let mut sink = out.instructions();
    sink.local_get(start).i64_extend_i32_u().local_get(length).i64_extend_i32_u().i64_add();
    sink.memory_size(0).i64_extend_i32_u().i64_const(16).i64_shl();
    sink.i64_gt_u().if_(BlockType::Empty).unreachable().end();
}

/// `grow(pages)` returns the number of pages before, or -1. Memory grows at once, so that a limit refuses all of it. Each page is
/// then paid for and written to, between two looks at the fuel: the kernel makes its pages now, and no later write of the script
/// waits for it. A growth by one page is not written to. It is a stock of small blocks, and what is never used of it takes no memory.
fn grow() -> Function {
    let (pages, before, at, touches) = (0, 1, 2, 3);
    let mut out = Function::new([(3, ValType::I32)]);
    let mut sink = out.instructions();
    sink.local_get(pages).memory_grow(0).local_tee(before);
    sink.i32_const(-1).i32_eq().if_(BlockType::Empty).i32_const(-1).return_().end();
    sink.local_get(before).i32_const(16).i32_shl().local_set(at);
    sink.local_get(pages).i32_const(1).i32_gt_u().local_set(touches);
    sink.loop_(BlockType::Empty);
    sink.local_get(pages).if_(BlockType::Empty);
    for _ in 0..NOPS_PER_PAGE {
        sink.nop();
    }
    sink.local_get(touches).if_(BlockType::Empty);
    for offset in (0..KERNEL_PAGES).map(|page| page * KERNEL_PAGE_BYTES) {
        sink.local_get(at).i32_const(0).i32_store8(MemArg { offset, align: 0, memory_index: 0 });
    }
    sink.end();
    sink.local_get(at).i32_const(PIECE_BYTES).i32_add().local_set(at);
    sink.local_get(pages).i32_const(1).i32_sub().local_set(pages);
    sink.br(1).end().end();
    sink.local_get(before).end();
    out
}
