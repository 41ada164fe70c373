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

# The llama-cpp-sys-2 that this project locked. Several versions may lie in the registry, so the version is read from
# the Cargo.lock of the project whose folder this file lies in (or under).
set(mullama_project "${CMAKE_CURRENT_LIST_DIR}")
while (NOT EXISTS "${mullama_project}/Cargo.lock")
    get_filename_component(mullama_parent "${mullama_project}" DIRECTORY)
    if (mullama_parent STREQUAL mullama_project)
        message(FATAL_ERROR "one-ggml.cmake: no Cargo.lock above ${CMAKE_CURRENT_LIST_DIR}; put the file into the project's .cargo folder")
    endif()
    set(mullama_project "${mullama_parent}")
endwhile()

# Asked first: cargo knows vendored and patched packages too. It answers only when every package of every platform has
# been downloaded, which `cargo build` does not do; then the registry's folder is looked into.
set(mullama_cargo cargo)
if (DEFINED ENV{CARGO})
    set(mullama_cargo "$ENV{CARGO}")
endif()
execute_process(
    COMMAND "${mullama_cargo}" metadata --format-version 1 --offline --locked
    WORKING_DIRECTORY "${mullama_project}"
    OUTPUT_VARIABLE mullama_metadata
    ERROR_QUIET
    RESULT_VARIABLE mullama_result)
if (mullama_result EQUAL 0)
    string(JSON mullama_count LENGTH "${mullama_metadata}" packages)
    math(EXPR mullama_last "${mullama_count} - 1")
    foreach (mullama_index RANGE ${mullama_last})
        string(JSON mullama_name GET "${mullama_metadata}" packages ${mullama_index} name)
        if (mullama_name STREQUAL "llama-cpp-sys-2")
            string(JSON mullama_manifest GET "${mullama_metadata}" packages ${mullama_index} manifest_path)
            get_filename_component(mullama_llama "${mullama_manifest}" DIRECTORY)
            break()
        endif()
    endforeach()
else()
    file(READ "${mullama_project}/Cargo.lock" mullama_lock)
    string(REGEX MATCH "name = \"llama-cpp-sys-2\"[\r\n]+version = \"([^\"]+)\"" mullama_match "${mullama_lock}")
    set(mullama_version "${CMAKE_MATCH_1}")
    if (DEFINED ENV{CARGO_HOME})
        set(mullama_home "$ENV{CARGO_HOME}")
    elseif (DEFINED ENV{HOME})
        set(mullama_home "$ENV{HOME}/.cargo")
    else()
        set(mullama_home "$ENV{USERPROFILE}/.cargo")
    endif()
    if (mullama_version)
        file(GLOB mullama_found "${mullama_home}/registry/src/*/llama-cpp-sys-2-${mullama_version}")
        foreach (mullama_candidate ${mullama_found})
            if (EXISTS "${mullama_candidate}/llama.cpp/ggml/include/ggml.h")
                set(mullama_llama "${mullama_candidate}")
                break()
            endif()
        endforeach()
    endif()
endif()
if (NOT mullama_llama)
    message(FATAL_ERROR "one-ggml.cmake: the llama-cpp-sys-2 of ${mullama_project}/Cargo.lock was not found. Depend on mullama, run `cargo fetch`, or unset CMAKE_PROJECT_whisper.cpp_INCLUDE")
endif()
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
