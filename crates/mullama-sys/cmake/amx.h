// Included before every C++ file of ggml's CPU backend; see amx.cmake.
#pragma once

#if defined(__GNUC__) && !defined(__clang__)
#    undef __AMX_INT8__ // what ggml asks before it compiles its code for AMX
#endif
