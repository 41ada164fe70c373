// Text to tokens and back. llama.cpp throws here on a vocabulary without byte fallback and on bad token ids.
#include "shim.h"
#include "guard.h"

extern "C" int32_t mullama_tokenize(
        const llama_vocab * vocab, const char * text, int32_t text_len, llama_token * tokens, int32_t max,
        bool add_special, bool parse_special, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (int32_t) MULLAMA_EXCEPTION, [&] {
        return llama_tokenize(vocab, text, text_len, tokens, max, add_special, parse_special);
    });
}

extern "C" int32_t mullama_token_to_piece(
        const llama_vocab * vocab, llama_token token, char * buf, int32_t len, bool special, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (int32_t) MULLAMA_EXCEPTION, [&] {
        return llama_token_to_piece(vocab, token, buf, len, 0, special);
    });
}

extern "C" int32_t mullama_detokenize(
        const llama_vocab * vocab, const llama_token * tokens, int32_t n, char * text, int32_t max,
        bool remove_special, bool unparse_special, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (int32_t) MULLAMA_EXCEPTION, [&] {
        return llama_detokenize(vocab, tokens, n, text, max, remove_special, unparse_special);
    });
}
