// Luau ships what is new behind flags, and much of it switched off: mends of faults too, which the `luau` program has on.
// Each flag of this release was read. On is what mends something and is whole by itself; of the others, each has its
// reason at the end. The build fails when Luau has a flag that isn't named here: whoever moves to that release reads it.

#include "flags.h"

#include "Luau/Common.h"

LUAU_FASTFLAG(LuauCompileConcatTargetTop)
LUAU_FASTFLAG(LuauCompileNoFoldVectorEqW)
LUAU_FASTFLAG(LuauCompileRecursiveAliases)
LUAU_FASTFLAG(LuauCompileUndoEmitAdjust)
LUAU_FASTFLAG(LuauIntegerLibrary)
LUAU_FASTFLAG(LuauNoDuplicateBinaryPrefix)
LUAU_DYNAMIC_FASTFLAG(LuauOptimizeStringSplit)
LUAU_FASTFLAG(LuauSandboxFreezesVectorMetatable)
LUAU_FASTFLAG(LuauTableArrayAdjustCheck)
LUAU_DYNAMIC_FASTFLAG(LuauTableMoveTimeoutFix)

void motu::set_flags() {
    // a table's array never gets a negative size: `table.move` to the end of all indices wrote over the whole memory
    FFlag::LuauTableArrayAdjustCheck.value = true;
    // `table.move` over a long range that is nearly empty takes the time of its elements
    DFFlag::LuauTableMoveTimeoutFix.value = true;
    // `string.split` doesn't look at each byte by itself
    DFFlag::LuauOptimizeStringSplit.value = true;
    // a type that refers to itself twice doesn't send the compiler round for ever
    FFlag::LuauCompileRecursiveAliases.value = true;
    // long nested `..` doesn't run out of registers
    FFlag::LuauCompileConcatTargetTop.value = true;
    // constant vectors are compared as the VM compares them
    FFlag::LuauCompileNoFoldVectorEqW.value = true;
    // what the bytecode says of a local's life is right after a jump was taken back
    FFlag::LuauCompileUndoEmitAdjust.value = true;
    // 0b0b1 is no number
    FFlag::LuauNoDuplicateBinaryPrefix.value = true;
    // no script can change the metatable of vectors
    FFlag::LuauSandboxFreezesVectorMetatable.value = true;
    // or no script could make a 64-bit integer
    FFlag::LuauIntegerLibrary.value = true;
}

// Off, for they mend what can't happen here, since running out of memory ends the instance: LuauTableRobustOom,
// LuauTableArrayShrinkOrder (and either takes more memory for a table that grows).
//
// Off, for they make something faster, and no more: LuauCallLuauTm, LuauCompileCleanBlockDeadClose, LuauCompileFastpcall,
// LuauCompileIifeInline, LuauCompileLoopUnrollZero, LuauCompileMoveElision, LuauFastpcall, LuauFrozenMetaButterfly,
// LuauIntegerBufferFastcalls, LuauIntegerFastcalls, LuauPcallOptimize, and LuauSplitTableLookups, which changes what `#` is
// of a table with holes.
//
// Off, for it costs each turn of each loop a look at the collector: LuauBackedgeHeapCheck. It mends that a loop which only
// makes a table larger collects nothing meanwhile; the memory limit is what that runs into.
//
// Off, for it changes what `math.noise` gives, and the `luau` program has it off: FixMathNoisePrecision.
//
// Off, for what they add may change, or go, before it is Luau's: DebugLuauNoInline, DebugLuauParseExactTables,
// DebugLuauUserDefinedClasses, DebugLuauUserDefinedClassesRuntime, LuauExperimentalIfLocalSyntax, LuauExportValueSyntax,
// LuauExportedTypesParticipateInScc, LuauIntegerType2, LuauOptimizeExportTable.
//
// Off, for nothing here uses what they are of. Native code: LuauBytecodeCostModel, LuauCallFeedback,
// LuauCompileEmitVectorDouble, LuauCostModel, LuauEmitCallFeedback, LuauLoadRemapOptionalUserdata, LuauPromoteProto,
// LuauVirtualBcBuilder. An embedder's own: DebugLuauCoroutineFinally, LuauBufferCage, LuauEasyStateInit,
// LuauFastpcallInterrupt, LuauGcTraceUdata, LuauNewPointerEncode. Tools: DebugLuauTimeTracing, LuauEnumMoreEdges,
// LuauPrettyPrintVisualizeIndexerAccess, LuauSingleTypeOptionalPackReturnsAttributeParens. Analysis:
// DebugLuauReportReturnTypeVariadicWithTypeSuffix, LuauAllowGlobalDeclarationToBeCalledClass, LuauSolverV2. Luau's own
// `require`: LuauCyclicRequireShortCircuit, LuauRbsConfigAliasResolution, LuauSelfIsSelfAndAlwaysSelf.
//
// Left as they are, for they are no switches: LuauCompileInlineDepth, LuauCompileInlineThreshold,
// LuauCompileInlineThresholdMaxBoost, LuauCompileLoopUnrollThreshold, LuauCompileLoopUnrollThresholdMaxBoost,
// LuauInlineHitsThreshold, LuauParseErrorLimit, LuauTypeLengthLimit, and LuauRecursionLimit: the wasm stack has room for
// what nests 1,000 deep, as native Luau takes it (tests/all/limits/nesting.rs).
