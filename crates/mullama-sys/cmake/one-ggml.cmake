# One ggml for whisper.cpp and llama.cpp.
#
# CMake includes this file right after `project(whisper.cpp)`, because the environment variable
# CMAKE_PROJECT_whisper.cpp_INCLUDE names it (see .cargo/config.toml). whisper.cpp adds its own ggml only if no target
# of that name exists; here one is made that compiles against the headers of llama.cpp's ggml, and whisper.cpp's calls
# are resolved by the ggml that llama-cpp-sys-2 links. Two ggmls in one program do not link, or worse, do.

if (TARGET ggml)
    return() # whisper.cpp calls project() twice
endif()
enable_language(C CXX)

# The llama-cpp-sys-2 that this project locked. Several versions may lie in the registry, so cargo is asked. The project
# is the one whose folder this file lies in (or under).
set(mullama_cargo cargo)
if (DEFINED ENV{CARGO})
    set(mullama_cargo "$ENV{CARGO}")
endif()
execute_process(
    COMMAND "${mullama_cargo}" metadata --format-version 1 --offline
    WORKING_DIRECTORY "${CMAKE_CURRENT_LIST_DIR}"
    OUTPUT_VARIABLE mullama_metadata
    ERROR_VARIABLE mullama_error
    RESULT_VARIABLE mullama_result)
if (NOT mullama_result EQUAL 0)
    message(FATAL_ERROR "one-ggml.cmake: cargo metadata failed in ${CMAKE_CURRENT_LIST_DIR}: ${mullama_error}")
endif()
string(JSON mullama_count LENGTH "${mullama_metadata}" packages)
math(EXPR mullama_last "${mullama_count} - 1")
foreach (mullama_index RANGE ${mullama_last})
    string(JSON mullama_name GET "${mullama_metadata}" packages ${mullama_index} name)
    if (mullama_name STREQUAL "llama-cpp-sys-2")
        string(JSON mullama_manifest GET "${mullama_metadata}" packages ${mullama_index} manifest_path)
        break()
    endif()
endforeach()
if (NOT mullama_manifest)
    message(FATAL_ERROR "one-ggml.cmake: ${CMAKE_CURRENT_LIST_DIR} does not depend on llama-cpp-sys-2. Depend on mullama, or unset CMAKE_PROJECT_whisper.cpp_INCLUDE")
endif()
get_filename_component(mullama_llama "${mullama_manifest}" DIRECTORY)
message(STATUS "one ggml: whisper.cpp uses ${mullama_llama}/llama.cpp/ggml")

add_library(ggml INTERFACE)
target_include_directories(ggml INTERFACE $<BUILD_INTERFACE:${mullama_llama}/llama.cpp/ggml/include>)

# whisper-rs-sys always asks the linker for these three archives. Empty ones satisfy it.
file(WRITE "${CMAKE_BINARY_DIR}/one-ggml-empty.c" "typedef int mullama_one_ggml_empty;\n")
foreach (mullama_archive ggml ggml-base ggml-cpu)
    add_library(mullama-empty-${mullama_archive} STATIC "${CMAKE_BINARY_DIR}/one-ggml-empty.c")
    set_target_properties(mullama-empty-${mullama_archive} PROPERTIES OUTPUT_NAME ${mullama_archive})
    install(TARGETS mullama-empty-${mullama_archive} ARCHIVE DESTINATION lib)
    add_dependencies(ggml mullama-empty-${mullama_archive})
endforeach()
