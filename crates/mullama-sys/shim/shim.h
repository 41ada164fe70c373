// The functions through which mullama-core reaches llama.cpp wherever llama.cpp can throw, or offers only C++.
//
// Rules, the same for all of them:
// - no C++ exception leaves: it is caught, its text is written to `err` (truncated to `err_len` bytes, always
//   terminated), and the function returns the failure value given beside it;
// - `err` may be null;
// - a `char *` that is returned belongs to the caller, who gives it back with mullama_string_free.
#pragma once

#include "llama.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum mullama_status {
    MULLAMA_OK        = 0,
    MULLAMA_EXCEPTION = INT32_MIN + 1, // distinct from every status that llama.cpp itself returns
};

// Process-wide set-up: silences llama.cpp's `common` log (it would print from a thread of its own).
void mullama_init(void);

void mullama_string_free(char * text);

// --- model.cpp: loading, contexts, decoding, state; null or MULLAMA_EXCEPTION on failure

struct llama_model * mullama_model_load_files(
    const char ** paths, size_t n_paths, struct llama_model_params params, char * err, size_t err_len);

// Copies `size` bytes into an anonymous file (memfd on Linux, an unlinked temporary file elsewhere) and loads it.
struct llama_model * mullama_model_load_bytes(
    const void * data, size_t size, struct llama_model_params params, char * err, size_t err_len);

struct llama_context * mullama_context_new(
    struct llama_model * model, struct llama_context_params params, char * err, size_t err_len);

// As llama.cpp's functions, but not while the process exits: see model.cpp.
void mullama_context_free(struct llama_context * ctx);
void mullama_model_free(struct llama_model * model);

int32_t mullama_decode(struct llama_context * ctx, struct llama_batch batch, char * err, size_t err_len);

// 1: done, 0: refused, MULLAMA_EXCEPTION.
int32_t mullama_memory_seq_rm(
    struct llama_context * ctx, llama_seq_id seq, llama_pos from, llama_pos to, char * err, size_t err_len);
// Moves the positions of [from, to) by `delta`. 1: done, 0: this memory cannot shift, MULLAMA_EXCEPTION.
int32_t mullama_memory_seq_add(
    struct llama_context * ctx, llama_seq_id seq, llama_pos from, llama_pos to, llama_pos delta, char * err, size_t err_len);

// Makes `to` hold what `from` holds: below position `end`, or `whole`. Where each sequence has cells of its own only the
// whole can be copied (llama.cpp asserts it), and the copy is made with the next decode: `from` must not take up a saved
// state before. MULLAMA_OK or MULLAMA_EXCEPTION.
int32_t mullama_memory_seq_cp(
    struct llama_context * ctx, llama_seq_id from, llama_seq_id to, llama_pos end, bool whole, char * err, size_t err_len);

// Bytes, or 0 on failure.
size_t mullama_state_size(struct llama_context * ctx, llama_seq_id seq, char * err, size_t err_len);
size_t mullama_state_get(struct llama_context * ctx, llama_seq_id seq, uint8_t * dst, size_t size, char * err, size_t err_len);
size_t mullama_state_set(struct llama_context * ctx, llama_seq_id seq, const uint8_t * src, size_t size, char * err, size_t err_len);

struct llama_adapter_lora * mullama_lora_load(struct llama_model * model, const char * path, char * err, size_t err_len);
int32_t mullama_lora_set(
    struct llama_context * ctx, struct llama_adapter_lora ** adapters, size_t n, float * scales, char * err, size_t err_len);

int32_t mullama_quantize(
    const char * input, const char * output, const llama_model_quantize_params * params, char * err, size_t err_len);

// ggml's CPU thread pool, found through the backend registry so that it works with plug-in backends too.
// `poll` 0..100: how long an idle worker spins before it sleeps. Null: no CPU backend.
struct ggml_threadpool;
struct ggml_threadpool * mullama_threadpool_new(int32_t n_threads, uint32_t poll);
void                     mullama_threadpool_free(struct ggml_threadpool * pool);

// --- vocab.cpp: negative results as llama.cpp's functions of the same name, MULLAMA_EXCEPTION when they threw

int32_t mullama_tokenize(
    const struct llama_vocab * vocab, const char * text, int32_t text_len, llama_token * tokens, int32_t max,
    bool add_special, bool parse_special, char * err, size_t err_len);
int32_t mullama_token_to_piece(
    const struct llama_vocab * vocab, llama_token token, char * buf, int32_t len, bool special, char * err, size_t err_len);
int32_t mullama_detokenize(
    const struct llama_vocab * vocab, const llama_token * tokens, int32_t n, char * text, int32_t max,
    bool remove_special, bool unparse_special, char * err, size_t err_len);

// --- sampler.cpp: llama.cpp's common_sampler

struct mullama_sampler;

// `params`: a JSON object; the names are those of llama.cpp's server. Null on failure.
struct mullama_sampler * mullama_sampler_new(
    const struct llama_model * model, const char * params, size_t params_len, char * err, size_t err_len);
void mullama_sampler_free(struct mullama_sampler * sampler);

// Samples from output row `idx` of the last decode. Does not accept. MULLAMA_EXCEPTION on failure;
// LLAMA_TOKEN_NULL (-1) when no token is possible: the grammar allows none, or the logits are not numbers.
llama_token mullama_sampler_sample(
    struct mullama_sampler * sampler, struct llama_context * ctx, int32_t idx, char * err, size_t err_len);
// `generated`: false for prompt tokens, which feed the penalties but not the grammar.
int32_t mullama_sampler_accept(
    struct mullama_sampler * sampler, llama_token token, bool generated, char * err, size_t err_len);
// Makes the model end its thoughts: the tokens of the template's end tag come next. False: it is not thinking, or
// `reasoning_control` was not among the parameters.
bool mullama_sampler_end_reasoning(struct mullama_sampler * sampler);
uint32_t mullama_sampler_seed(const struct mullama_sampler * sampler);

// Parses a GBNF grammar without building a sampler. MULLAMA_OK or MULLAMA_EXCEPTION.
int32_t mullama_grammar_check(const struct llama_vocab * vocab, const char * grammar, char * err, size_t err_len);
// GBNF text, or null.
char * mullama_json_schema_to_grammar(const char * schema, size_t schema_len, char * err, size_t err_len);

// --- chat.cpp: llama.cpp's chat engine (common/chat.h)

struct mullama_chat_templates;
struct mullama_chat_parser;

// `model` may be null when `source` is given; an empty `source` takes the model's own template. bos and eos override
// the model's. Null on failure.
struct mullama_chat_templates * mullama_chat_templates_new(
    const struct llama_model * model, const char * source, const char * bos, const char * eos, char * err, size_t err_len);
void mullama_chat_templates_free(struct mullama_chat_templates * templates);
bool mullama_chat_templates_explicit(const struct mullama_chat_templates * templates);
// Which of the template's capabilities are on, as a JSON object of booleans, or null.
char * mullama_chat_templates_caps(const struct mullama_chat_templates * templates, char * err, size_t err_len);
// Renders. `request` and the result are JSON objects; see mullama-core's chat module for the fields. Null on failure.
char * mullama_chat_render(
    const struct mullama_chat_templates * templates, const char * request, size_t request_len, char * err, size_t err_len);

// A parser for the answers to one rendered prompt. `rendered`: what mullama_chat_render returned. Null on failure.
struct mullama_chat_parser * mullama_chat_parser_new(
    const char * rendered, size_t rendered_len, char * err, size_t err_len);
void mullama_chat_parser_free(struct mullama_chat_parser * parser);
// The answer as far as it goes (`partial`) or whole, as a JSON message in OpenAI's shape. Null on failure.
char * mullama_chat_parse(
    const struct mullama_chat_parser * parser, const char * text, size_t text_len, bool partial, char * err, size_t err_len);

#ifdef __cplusplus
}
#endif
