// Loading, contexts, decoding, state, adapters, quantizing: llama.h with every exception caught.
#include "shim.h"
#include "guard.h"

#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "log.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>

#ifdef __linux__
#    include <sys/mman.h>
#    include <unistd.h>
#endif

extern "C" void mullama_init(void) {
    // Verbosity 0 is plain output, which only llama.cpp's programs write; errors are 1.
    common_log_set_verbosity_thold(-1);
}

namespace {

// A process that exits destroys ggml's static objects while a thread may still compute with them. So who computes holds
// the door, and exit shuts it: what is being computed ends first, and nothing begins after. A thread that comes too late
// sleeps until the process is gone.
std::shared_timed_mutex & exit_door() {
    static auto * door = new std::shared_timed_mutex; // never destroyed
    return *door;
}

void shut_exit_door() {
    // A batch that takes longer than this was lost anyway. Not unlocked again.
    static const bool shut = exit_door().try_lock_for(std::chrono::seconds(10));
    (void) shut;
}

// Handlers run in the reverse order of their registration, so this one must come after the objects that it protects,
// which ggml makes when it first loads, and more of them when it first computes: one for each.
template <int when> void watch_exit() {
    static const int registered = std::atexit(shut_exit_door);
    (void) registered;
}

template <typename F> auto computing(F && compute) {
    const std::shared_lock<std::shared_timed_mutex> open(exit_door());
    return compute();
}

} // namespace

extern "C" void mullama_string_free(char * text) {
    std::free(text);
}

extern "C" llama_model * mullama_model_load_files(
        const char ** paths, size_t n_paths, llama_model_params params, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (llama_model *) nullptr, [&] {
        watch_exit<2>();
        return computing([&] {
            return n_paths == 1 ? llama_model_load_from_file(paths[0], params)
                                : llama_model_load_from_splits(paths, n_paths, params);
        });
    });
}

namespace {

struct file_closer {
    void operator()(FILE * file) const { std::fclose(file); }
};
using file_ptr = std::unique_ptr<FILE, file_closer>;

file_ptr anonymous_file() {
#ifdef __linux__
    const int fd = memfd_create("mullama-model", MFD_CLOEXEC);
    if (fd < 0) {
        return nullptr;
    }
    FILE * file = fdopen(fd, "w+b");
    if (file == nullptr) {
        close(fd);
    }
    return file_ptr(file);
#else
    return file_ptr(std::tmpfile());
#endif
}

} // namespace

extern "C" llama_model * mullama_model_load_bytes(
        const void * data, size_t size, llama_model_params params, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (llama_model *) nullptr, [&] {
        const file_ptr file = anonymous_file();
        if (!file) {
            throw std::runtime_error("cannot make an anonymous file for the model");
        }
        if (std::fwrite(data, 1, size, file.get()) != size || std::fflush(file.get()) != 0) {
            throw std::runtime_error("cannot write the model to an anonymous file");
        }
        std::rewind(file.get());
        // The mapping that llama.cpp makes outlives the descriptor.
        watch_exit<2>();
        return computing([&] { return llama_model_load_from_file_ptr(file.get(), params); });
    });
}

extern "C" llama_context * mullama_context_new(
        llama_model * model, llama_context_params params, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (llama_context *) nullptr, [&] {
        llama_context * context = computing([&] { return llama_init_from_model(model, params); });
        watch_exit<0>();
        return context;
    });
}

extern "C" void mullama_context_free(llama_context * ctx) {
    computing([&] { llama_free(ctx); });
}

extern "C" void mullama_model_free(llama_model * model) {
    computing([&] { llama_model_free(model); });
}

extern "C" int32_t mullama_decode(llama_context * ctx, llama_batch batch, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (int32_t) MULLAMA_EXCEPTION, [&] {
        const int32_t status = computing([&] { return llama_decode(ctx, batch); });
        watch_exit<1>();
        return status;
    });
}

extern "C" int32_t mullama_memory_seq_rm(
        llama_context * ctx, llama_seq_id seq, llama_pos from, llama_pos to, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (int32_t) MULLAMA_EXCEPTION, [&]() -> int32_t {
        const llama_memory_t memory = llama_get_memory(ctx);
        return memory != nullptr && llama_memory_seq_rm(memory, seq, from, to) ? 1 : 0;
    });
}

extern "C" int32_t mullama_memory_seq_add(
        llama_context * ctx, llama_seq_id seq, llama_pos from, llama_pos to, llama_pos delta, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (int32_t) MULLAMA_EXCEPTION, [&]() -> int32_t {
        const llama_memory_t memory = llama_get_memory(ctx);
        if (memory == nullptr || !llama_memory_can_shift(memory)) {
            return 0; // llama_memory_seq_add would abort later, in the shift itself
        }
        llama_memory_seq_add(memory, seq, from, to, delta);
        return 1;
    });
}

extern "C" int32_t mullama_memory_seq_cp(
        llama_context * ctx, llama_seq_id from, llama_seq_id to, llama_pos end, bool whole, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (int32_t) MULLAMA_EXCEPTION, [&]() -> int32_t {
        const llama_memory_t memory = llama_get_memory(ctx);
        if (memory == nullptr) {
            throw std::runtime_error("this model keeps no memory");
        }
        // llama.cpp asserts that a copy between streams is of everything.
        llama_memory_seq_cp(memory, from, to, -1, whole ? -1 : end);
        return MULLAMA_OK;
    });
}

extern "C" size_t mullama_state_size(llama_context * ctx, llama_seq_id seq, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (size_t) 0, [&] { return llama_state_seq_get_size(ctx, seq); });
}

extern "C" size_t mullama_state_get(
        llama_context * ctx, llama_seq_id seq, uint8_t * dst, size_t size, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (size_t) 0, [&] { return llama_state_seq_get_data(ctx, dst, size, seq); });
}

extern "C" size_t mullama_state_set(
        llama_context * ctx, llama_seq_id seq, const uint8_t * src, size_t size, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (size_t) 0, [&] { return llama_state_seq_set_data(ctx, src, size, seq); });
}

extern "C" llama_adapter_lora * mullama_lora_load(llama_model * model, const char * path, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (llama_adapter_lora *) nullptr, [&] { return llama_adapter_lora_init(model, path); });
}

extern "C" int32_t mullama_lora_set(
        llama_context * ctx, llama_adapter_lora ** adapters, size_t n, float * scales, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (int32_t) MULLAMA_EXCEPTION, [&] { return llama_set_adapters_lora(ctx, adapters, n, scales); });
}

extern "C" int32_t mullama_quantize(
        const char * input, const char * output, const llama_model_quantize_params * params, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (int32_t) MULLAMA_EXCEPTION, [&] { return (int32_t) llama_model_quantize(input, output, params); });
}

namespace {

ggml_backend_reg_t cpu_registry() {
    const ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    return cpu == nullptr ? nullptr : ggml_backend_dev_backend_reg(cpu);
}

} // namespace

extern "C" ggml_threadpool * mullama_threadpool_new(int32_t n_threads, uint32_t poll) {
    const ggml_backend_reg_t registry = cpu_registry();
    if (registry == nullptr) {
        return nullptr;
    }
    const auto create = (decltype(ggml_threadpool_new) *) ggml_backend_reg_get_proc_address(registry, "ggml_threadpool_new");
    if (create == nullptr) {
        return nullptr;
    }
    ggml_threadpool_params params = ggml_threadpool_params_default(n_threads);
    params.poll = poll;
    return create(&params);
}

extern "C" void mullama_threadpool_free(ggml_threadpool * pool) {
    const ggml_backend_reg_t registry = cpu_registry();
    if (pool == nullptr || registry == nullptr) {
        return;
    }
    const auto destroy = (decltype(ggml_threadpool_free) *) ggml_backend_reg_get_proc_address(registry, "ggml_threadpool_free");
    if (destroy != nullptr) {
        computing([&] { destroy(pool); });
    }
}
