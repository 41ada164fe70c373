// llama.cpp's common_sampler: the sampler chain, grammar and reasoning budget exactly as its server runs them.
#include "shim.h"
#include "guard.h"

#include "common.h"
#include "json-schema-to-grammar.h"
#include "json.h"
#include "llama-grammar.h"
#include "sampling.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct sampler_deleter {
    void operator()(common_sampler * sampler) const { common_sampler_free(sampler); }
};

template <typename T> void read(const common_json & from, const char * key, T & into) {
    if (from.contains(key) && !from.at(key).is_null()) {
        into = from.at(key).get<T>();
    }
}

std::vector<std::string> strings(const common_json & from, const char * key) {
    std::vector<std::string> result;
    if (from.contains(key) && !from.at(key).is_null()) {
        const common_json & list = from.at(key);
        for (size_t i = 0; i < list.size(); i++) {
            result.push_back(list.at(i).get<std::string>());
        }
    }
    return result;
}

// How many ways there are to begin each rule. llama.cpp walks them all, in its check for left recursion and when it puts
// its first stacks together, so that 40 short rules can mean 2^40 steps.
class beginnings {
  public:
    explicit beginnings(const llama_grammar_rules & rules) :
        rules(rules), nullable(rules.size(), false), counts(rules.size(), 0), open(rules.size(), false) {
        for (bool changed = true; changed;) {
            changed = false;
            for (size_t i = 0; i < rules.size(); i++) {
                if (!nullable[i] && can_be_empty(rules[i])) {
                    nullable[i] = changed = true;
                }
            }
        }
    }

    uint64_t of(uint32_t id) {
        if (counts[id] != 0) {
            return counts[id];
        }
        if (open[id]) {
            return 1; // left recursion, real or through what may be empty: llama.cpp decides
        }
        open[id] = true;
        uint64_t sum   = 1;
        bool     first = true; // of what follows, so far only what may be empty
        for (const auto & element : rules[id]) {
            switch (element.type) {
                case LLAMA_GRETYPE_ALT:
                    first = true;
                    break;
                case LLAMA_GRETYPE_RULE_REF:
                    if (first) {
                        sum += of(element.value);
                        first = nullable[element.value];
                    }
                    break;
                default:
                    sum += first && element.type != LLAMA_GRETYPE_END ? 1 : 0;
                    first = false;
            }
            if (sum > limit) {
                throw std::runtime_error("it is too ambiguous: a rule has more than 100000 ways to begin");
            }
        }
        open[id] = false;
        return counts[id] = sum;
    }

  private:
    static constexpr uint64_t limit = 100000;

    bool can_be_empty(const llama_grammar_rule & rule) const {
        bool empty = true;
        for (const auto & element : rule) {
            if (element.type == LLAMA_GRETYPE_ALT || element.type == LLAMA_GRETYPE_END) {
                if (empty) {
                    return true;
                }
                empty = true;
            } else {
                empty = empty && element.type == LLAMA_GRETYPE_RULE_REF && nullable[element.value];
            }
        }
        return false;
    }

    const llama_grammar_rules & rules;
    std::vector<bool>           nullable;
    std::vector<uint64_t>       counts;
    std::vector<bool>           open;
};

// The errors of llama_grammar_parser::parse go to stderr; this loop is the same and lets them out.
void parse_grammar(const llama_vocab * vocab, const char * grammar) {
    llama_grammar_parser parser(vocab);
    const char * pos = grammar;
    auto skip_space = [](const char * at) {
        while (*at == ' ' || *at == '\t' || *at == '#' || *at == '\r' || *at == '\n') {
            if (*at == '#') {
                while (*at && *at != '\r' && *at != '\n') {
                    at++;
                }
            } else {
                at++;
            }
        }
        return at;
    };
    pos = skip_space(pos);
    while (*pos) {
        pos = parser.parse_rule(pos);
    }
    for (const auto & rule : parser.rules) {
        if (rule.empty()) {
            throw std::runtime_error("a rule is referenced but not defined");
        }
    }
    for (const auto & rule : parser.rules) {
        for (const auto & element : rule) {
            if (element.type != LLAMA_GRETYPE_RULE_REF) {
                continue;
            }
            if (element.value >= parser.rules.size() || parser.rules[element.value].empty()) {
                for (const auto & symbol : parser.symbol_ids) {
                    if (symbol.second == element.value) {
                        throw std::runtime_error("undefined rule '" + symbol.first + "'");
                    }
                }
                throw std::runtime_error("undefined rule");
            }
        }
    }
    if (parser.symbol_ids.find("root") == parser.symbol_ids.end()) {
        throw std::runtime_error("no rule named 'root'");
    }
    beginnings ways(parser.rules);
    for (uint32_t id = 0; id < parser.rules.size(); id++) {
        ways.of(id);
    }
}

// Ambiguous grammars (many ways to read the same text) make llama.cpp's stacks multiply, and nothing can interrupt it
// later. So the way of most stacks is walked a few characters, against the clock.
void refuse_slow_grammar(const llama_vocab * vocab, const char * text) {
    const auto start = std::chrono::steady_clock::now();
    struct deleter {
        void operator()(llama_grammar * grammar) const { llama_grammar_free_impl(grammar); }
    };
    std::unique_ptr<llama_grammar, deleter> grammar(llama_grammar_init_impl(vocab, text, "root", false, nullptr, 0, nullptr, 0));
    if (!grammar) {
        throw std::runtime_error("the grammar is left-recursive");
    }
    for (int step = 0; step < 16; step++) {
        std::map<uint32_t, size_t> counts;
        for (const auto & stack : llama_grammar_get_stacks(grammar.get())) {
            if (!stack.empty() && stack.back()->type == LLAMA_GRETYPE_CHAR) {
                counts[stack.back()->value]++;
            }
        }
        if (counts.empty()) {
            return;
        }
        const auto most = std::max_element(counts.begin(), counts.end(), [](const auto & a, const auto & b) { return a.second < b.second; });
        llama_grammar_accept(grammar.get(), most->first);
        const size_t stacks = llama_grammar_get_stacks(grammar.get()).size();
        if (stacks > 2048) {
            throw std::runtime_error("it is too ambiguous: after " + std::to_string(step + 1) + " characters there are " + std::to_string(stacks) + " ways to go on");
        }
        const auto spent = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start).count();
        if (spent > 500) {
            throw std::runtime_error("it is too ambiguous: " + std::to_string(step + 1) + " characters took " + std::to_string(spent) + " ms");
        }
    }
}

void read_grammar(const common_json & from, const llama_vocab * vocab, common_params_sampling & params) {
    std::string text;
    std::string type = "user";
    read(from, "grammar", text);
    read(from, "grammar_type", type);
    if (text.empty()) {
        return;
    }
    parse_grammar(vocab, text.c_str());
    if (type == "user") {
        refuse_slow_grammar(vocab, text.c_str());
    }
    params.grammar = common_grammar(
        type == "tool_calls"      ? COMMON_GRAMMAR_TYPE_TOOL_CALLS
        : type == "output_format" ? COMMON_GRAMMAR_TYPE_OUTPUT_FORMAT
                                  : COMMON_GRAMMAR_TYPE_USER,
        text);
    read(from, "grammar_lazy", params.grammar_lazy);

    for (const auto & token : strings(from, "preserved_tokens")) {
        const auto ids = common_tokenize(vocab, token, /* add_special */ false, /* parse_special */ true);
        if (ids.size() == 1) {
            params.preserved_tokens.insert(ids[0]);
        }
    }
    if (from.contains("grammar_triggers") && !from.at("grammar_triggers").is_null()) {
        const common_json & triggers = from.at("grammar_triggers");
        for (size_t i = 0; i < triggers.size(); i++) {
            common_grammar_trigger trigger;
            trigger.type  = (common_grammar_trigger_type) triggers.at(i).at("type").get<int>();
            trigger.value = triggers.at(i).at("value").get<std::string>();
            if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD) {
                // As llama.cpp's server does: a word that is one preserved token is watched for as a token.
                const auto ids = common_tokenize(vocab, trigger.value, false, true);
                if (ids.size() == 1 && params.preserved_tokens.count(ids[0]) != 0) {
                    trigger.type  = COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN;
                    trigger.token = ids[0];
                }
            } else if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN) {
                trigger.token = triggers.at(i).at("token").get<int>();
            }
            params.grammar_triggers.push_back(std::move(trigger));
        }
    }
    if (params.grammar_lazy && params.grammar_triggers.empty()) {
        throw std::invalid_argument("a lazy grammar needs at least one trigger");
    }
}

void read_reasoning(const common_json & from, const llama_vocab * vocab, common_params_sampling & params) {
    read(from, "generation_prompt", params.generation_prompt);
    std::string start;
    read(from, "thinking_start_tag", start);
    const auto ends = strings(from, "thinking_end_tags");
    if (start.empty() || ends.empty()) {
        return;
    }
    read(from, "reasoning_budget_tokens", params.reasoning_budget_tokens);
    read(from, "reasoning_control", params.reasoning_control);
    params.reasoning_budget_start = common_tokenize(vocab, start, false, true);
    for (const auto & end : ends) {
        params.reasoning_budget_end.push_back(common_tokenize(vocab, end, false, true));
    }
    params.reasoning_budget_forced = params.reasoning_budget_end[0];
}

common_params_sampling read_params(const common_json & from, const llama_vocab * vocab) {
    common_params_sampling params;
    params.no_perf = true;
    read(from, "seed", params.seed);
    read(from, "min_keep", params.min_keep);
    read(from, "top_k", params.top_k);
    read(from, "top_p", params.top_p);
    read(from, "min_p", params.min_p);
    read(from, "xtc_probability", params.xtc_probability);
    read(from, "xtc_threshold", params.xtc_threshold);
    read(from, "typical_p", params.typ_p);
    read(from, "temperature", params.temp);
    read(from, "dynatemp_range", params.dynatemp_range);
    read(from, "dynatemp_exponent", params.dynatemp_exponent);
    read(from, "repeat_last_n", params.penalty_last_n);
    read(from, "repeat_penalty", params.penalty_repeat);
    read(from, "frequency_penalty", params.penalty_freq);
    read(from, "presence_penalty", params.penalty_present);
    read(from, "dry_multiplier", params.dry_multiplier);
    read(from, "dry_base", params.dry_base);
    read(from, "dry_allowed_length", params.dry_allowed_length);
    read(from, "dry_penalty_last_n", params.dry_penalty_last_n);
    read(from, "adaptive_target", params.adaptive_target);
    read(from, "adaptive_decay", params.adaptive_decay);
    read(from, "mirostat", params.mirostat);
    read(from, "mirostat_tau", params.mirostat_tau);
    read(from, "mirostat_eta", params.mirostat_eta);
    read(from, "top_n_sigma", params.top_n_sigma);
    if (from.contains("dry_sequence_breakers")) {
        params.dry_sequence_breakers = strings(from, "dry_sequence_breakers");
    }
    if (from.contains("samplers")) {
        params.samplers = common_sampler_types_from_names(strings(from, "samplers"));
    }
    if (from.contains("logit_bias")) {
        const common_json & biases = from.at("logit_bias");
        for (size_t i = 0; i < biases.size(); i++) {
            // JSON has no infinity: null is the bias that forbids a token.
            const common_json & bias = biases.at(i).at(1);
            params.logit_bias.push_back({ biases.at(i).at((size_t) 0).get<int>(),
                                          bias.is_null() ? -std::numeric_limits<float>::infinity() : bias.get<float>() });
        }
    }
    bool ignore_eos = false;
    read(from, "ignore_eos", ignore_eos);
    if (ignore_eos) {
        const int32_t n_vocab = llama_vocab_n_tokens(vocab);
        for (llama_token id = 0; id < n_vocab; id++) {
            if (llama_vocab_is_eog(vocab, id)) {
                params.logit_bias.push_back({ id, -std::numeric_limits<float>::infinity() });
            }
        }
    }
    read_grammar(from, vocab, params);
    read_reasoning(from, vocab, params);
    if (!params.grammar_lazy && common_grammar_needs_prefill(params.grammar)) {
        // What the template wrote is fed to the grammar; an end token among it would abort the process.
        for (const llama_token token : common_tokenize(vocab, params.generation_prompt, false, true)) {
            if (llama_vocab_is_eog(vocab, token)) {
                throw std::invalid_argument("the beginning of the answer contains an end token, which the grammar cannot follow");
            }
        }
    }
    return params;
}

} // namespace

struct mullama_sampler {
    std::unique_ptr<common_sampler, sampler_deleter> inner;
};

extern "C" mullama_sampler * mullama_sampler_new(
        const llama_model * model, const char * params, size_t params_len, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (mullama_sampler *) nullptr, [&] {
        const auto json     = common_json::parse(std::string(params, params_len));
        auto       settings = read_params(json, llama_model_get_vocab(model));
        auto       sampler  = std::make_unique<mullama_sampler>();
        sampler->inner.reset(common_sampler_init(model, settings));
        if (!sampler->inner) {
            throw std::runtime_error("llama.cpp made no sampler");
        }
        return sampler.release();
    });
}

extern "C" void mullama_sampler_free(mullama_sampler * sampler) {
    delete sampler;
}

extern "C" llama_token mullama_sampler_sample(
        mullama_sampler * sampler, llama_context * ctx, int32_t idx, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (llama_token) MULLAMA_EXCEPTION, [&]() -> llama_token {
        common_sampler *  inner = sampler->inner.get();
        const llama_token token = common_sampler_sample(inner, ctx, idx);
        // Accepting a token that the grammar forbids would abort the process, so a row on which nothing was left
        // (all logits -inf, or not numbers) must not get as far as that.
        const llama_token_data_array * rows = common_sampler_get_candidates(inner, /* do_sort */ false);
        if (rows->selected < 0 || (size_t) rows->selected >= rows->size || !std::isfinite(rows->data[rows->selected].logit)) {
            return LLAMA_TOKEN_NULL;
        }
        return token;
    });
}

extern "C" int32_t mullama_sampler_accept(
        mullama_sampler * sampler, llama_token token, bool generated, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (int32_t) MULLAMA_EXCEPTION, [&]() -> int32_t {
        common_sampler_accept(sampler->inner.get(), token, generated);
        return MULLAMA_OK;
    });
}

extern "C" bool mullama_sampler_end_reasoning(mullama_sampler * sampler) {
    return common_sampler_reasoning_budget_force(sampler->inner.get());
}

extern "C" uint32_t mullama_sampler_seed(const mullama_sampler * sampler) {
    return common_sampler_get_seed(sampler->inner.get());
}

extern "C" int32_t mullama_grammar_check(const llama_vocab * vocab, const char * grammar, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (int32_t) MULLAMA_EXCEPTION, [&]() -> int32_t {
        parse_grammar(vocab, grammar);
        refuse_slow_grammar(vocab, grammar);
        return MULLAMA_OK;
    });
}

extern "C" char * mullama_json_schema_to_grammar(const char * schema, size_t schema_len, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (char *) nullptr, [&] {
        return mullama_new_string(json_schema_to_grammar(common_json::parse(std::string(schema, schema_len))));
    });
}
