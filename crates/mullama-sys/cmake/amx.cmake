# Leaves llama.cpp's matrix code for Intel's AMX out where GCC compiles it; AVX-512 with VNNI takes its place.
#
# - GCC's `_tile_loadconfig` (seen in 12.2) tells the compiler of 8 of the 64 bytes that it reads. The optimizer drops the
#   stores of the others, `ldtilecfg` reads what lay on the stack, and the process ends with a general protection fault or
#   hangs: with any Q8_0 or Q4_0 model on a CPU with AMX.
# - Where that is mended the results are still far from those of every other path: log-probabilities 0.1 and more apart
#   (seen with the Q8_0 models of the tests, 54 of 120 recorded completions).
#
# CMake includes this file right after `project(llama.cpp)`, because the environment variable
# CMAKE_PROJECT_llama.cpp_INCLUDE names it (see .cargo/config.toml).

if (CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    # At the end of the project, when the target is there. A path with spaces stays one argument.
    cmake_language(EVAL CODE
        "cmake_language(DEFER CALL target_compile_options ggml-cpu PRIVATE [[\$<\$<COMPILE_LANGUAGE:CXX>:SHELL:-include \"${CMAKE_CURRENT_LIST_DIR}/amx.h\">]])")
endif()
