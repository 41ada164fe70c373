// Included before every C++ file of ggml's CPU backend; see amx.cmake.
#pragma once

#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)
#    include <immintrin.h>
// In the place of GCC's own, which states 8 bytes of the 64.
#    define _tile_loadconfig(config) \
        __asm__ volatile("ldtilecfg\t%0" ::"m"(*reinterpret_cast<const char(*)[64]>(config)))
#endif
